"""The promises that every command keeps, as tests to inherit."""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest

from imageport.cli.commands import GROUP, InstalledCommand
from imageport.errors import ExitCode
from imageport.plugins.entry_points import entry_points
from imageport.testing.clauses import PATIENCE, require
from imageport.testing.command import RunImageport
from imageport.testing.imports import examine_import, require_light


class CommandConformance:
    """Tests of a command.

    Inherit from it, and name the command as its entry point does::

        class TestLabStatus(CommandConformance):
            command = "lab-status"
    """

    role: ClassVar[str] = "command"
    command: ClassVar[str]
    patience: ClassVar[float] = PATIENCE

    def test_the_command_can_be_imported(self) -> None:
        """Name a function with typer parameters, or a typer.Typer, in the entry point."""
        self._installed().load()

    def test_help_explains_the_command(self, run_imageport: RunImageport) -> None:
        """Write a docstring for the function, whose first sentence is the line in the list of commands."""
        done = run_imageport(*self._words(), "--help")
        require(done.exit_code == 0, f"--help ended with exit code {done.exit_code}: {done.stderr[-200:]}")
        require("Usage: " in done.stdout, "--help prints no usage")
        summary = self._installed().load().get_short_help_str()
        require(summary, "the command has no docstring")

    def test_a_wrong_option_is_refused_without_a_traceback(self, run_imageport: RunImageport) -> None:
        """Leave the reading of arguments to typer, and raise UsageError for what it cannot check."""
        done = run_imageport(*self._words(), "--no-such-option")
        require(done.exit_code == ExitCode.USAGE, f"a wrong option ended with exit code {done.exit_code}")
        shown = done.stdout + done.stderr
        require(
            "Traceback" not in shown and "internal error" not in shown, "a wrong option showed a traceback"
        )

    @pytest.mark.parametrize("argument", ["", "no such thing", "-", "\udcff"])
    def test_no_argument_shows_a_traceback(self, run_imageport: RunImageport, argument: str) -> None:
        """Raise UsageError, or another error of imageport, for everything that a user may write."""
        done = run_imageport(*self._words(), argument)
        shown = done.stdout + done.stderr
        require(
            "Traceback" not in shown and "internal error" not in shown,
            f"the argument {argument!r} showed: {shown.strip()[-200:]}",
        )

    def test_the_import_of_the_module_does_no_work(self) -> None:
        """Do work in the command: a module only defines names, and changes nothing of others."""
        installed = self._installed()
        installed.load()
        module = sys.modules[installed.value.partition(":")[0].strip()]
        require_light(examine_import(module, self.patience), also=("typer", "click", "rich"))

    def _installed(self) -> InstalledCommand:
        found = entry_points(GROUP, InstalledCommand)
        require(self.command in found, f"there is not any command called '{self.command}'")
        return found[self.command]

    def _words(self) -> list[str]:
        return self.command.split(".")
