"""A method declares whether it copies; validate, plan and run judge it alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine
from tests.plugin_folder import PluginFolder

METHOD = """
    from imageport import ImageData, NoConfig, Plugin, hookimpl


    class Fetch(Plugin[NoConfig]):
        '''Fetch images, or copy them.'''

        {facts}

        @hookimpl
        def stage(self):
            return ImageData.from_chunks(lambda: iter([bytes(4096)]))
"""

PIPELINE = """
name: p
source: {use: acme-fetch}
steps:
  - use: no_op
stores:
  - {use: file, id: one, with: {directory: one}}
"""

Judge = Callable[[str], dict[str, tuple[int, str]]]


@pytest.fixture
def judge(plugin_folder: PluginFolder, tmp_path: Path) -> Judge:
    """Return a function that gives exit code and output of three commands, for a method with some facts."""
    command = CommandLine(tmp_path)
    (tmp_path / "p.yaml").write_text(PIPELINE)

    def judge_method(facts: str) -> dict[str, tuple[int, str]]:
        source = METHOD.replace("{facts}", "\n        ".join(facts.splitlines()))
        plugin_folder.install("acme-fetch", {"acme-fetch": "acme_fetch:Fetch"}, {"acme_fetch": source})
        answers = {}
        for name in ("validate", "plan", "run"):
            done = command.any_end(name, "p.yaml")
            answers[name] = (done.code, done.out + done.err)
        return answers

    return judge_method


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            'starts_from = frozenset({"queued", "active"})',
            "starts from active images, whose bytes never change, and does not declare copies = True",
        ),
        (
            'starts_from = frozenset({"active"})',
            "starts from active images, whose bytes never change, and does not declare copies = True",
        ),
        (
            'starts_from = frozenset({"queued", "active"})\ncopies = True',
            "copies the bytes of active images, and declares that it starts from: active, queued",
        ),
        ("copies = True", "copies the bytes of active images, and declares that it starts from: queued"),
        (
            'starts_from = frozenset({"active"})\ncopies = "yes"',
            "declares copies = 'yes', which is of the wrong type",
        ),
    ],
)
def test_facts_that_contradict_each_other_are_refused_alike(judge: Judge, facts: str, reason: str) -> None:
    for command, (code, output) in judge(facts).items():
        assert code == 2, command
        assert f"p.yaml:3:10: source.use: plugin 'acme-fetch' of acme-fetch 1.0 {reason}" in output, command
        assert "update or uninstall acme-fetch" in output, command


def test_steps_below_a_method_that_copies_are_refused_alike(judge: Judge) -> None:
    facts = 'starts_from = frozenset({"active"})\ncopies = True'
    for command, (code, output) in judge(facts).items():
        assert code == 2, command
        assert (
            "p.yaml:4:1: steps: 'acme-fetch' copies the stored bytes as they are, so no steps run: remove them"
            in output
        ), command


def test_a_method_that_does_not_copy_runs_with_its_steps(judge: Judge) -> None:
    answers = judge('starts_from = frozenset({"queued", "uploading"})')
    assert {command: code for command, (code, _) in answers.items()} == {"validate": 0, "plan": 0, "run": 0}
