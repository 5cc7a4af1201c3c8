from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

from imageport.moving.from_glance import Moved, move

FILES = Path(__file__).parent / "files"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """Return the real command in a folder of its own."""
    return CommandLine(tmp_path)


@pytest.fixture
def kolla() -> list[Path]:
    """Return the configuration of a large installation."""
    names = ("kolla-glance-api.conf", "kolla-glance-image-import.conf", "policy.yaml")
    return [FILES / name for name in (*names, "property-protections-roles.conf")]


@pytest.fixture
def moved(tmp_path: Path) -> Callable[..., Moved]:
    """Return a function that moves over from the configuration it is given."""

    def moved_from(*texts: str) -> Moved:
        paths = []
        for number, text in enumerate(texts):
            paths.append(tmp_path / f"glance-{number}.conf")
            paths[-1].write_text(text)
        return move([str(path) for path in paths])

    return moved_from
