"""The way from an empty folder to a certified plugin has few commands and few lines to type."""

from __future__ import annotations

from pathlib import Path

from tests.markdown import blocks_of

PAGE = Path(__file__).parents[2] / "docs/tutorial/certified-plugin.md"


def test_the_tutorial_has_six_commands_and_fifteen_lines() -> None:
    blocks = blocks_of(PAGE)
    commands = [line for block in blocks for line in block.text.splitlines() if line.startswith("$ ")]
    typed = [
        line
        for block in blocks
        if block.file_name
        for line in block.text.splitlines()[1:]  # the first one is the name of the file
        if line.strip()
    ]
    assert 4 <= len(commands) <= 6
    assert 8 <= len(typed) <= 15
    assert any("plugins certify" in command for command in commands)
