"""Every command of Imageport keeps the promises of commands."""

from __future__ import annotations

import pytest

from imageport.cli.commands import GROUP, InstalledCommand
from imageport.plugins.entry_points import entry_points
from imageport.testing import CommandConformance

OWN = sorted(name for name, command in entry_points(GROUP, InstalledCommand).items() if command.is_own)


@pytest.fixture(params=OWN, autouse=True)
def command(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the command under test."""
    monkeypatch.setattr(TestCommands, "command", request.param)


class TestCommands(CommandConformance):
    command = "run"
