from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

from imageport_glance.from_glance.conversion import ConvertedSite, convert

FILES = Path(__file__).parent / "files"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """Return the real command in a separate folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def kolla() -> list[Path]:
    """Return the configuration of a large installation."""
    names = ("kolla-glance-api.conf", "kolla-glance-image-import.conf", "policy.yaml")
    return [FILES / name for name in (*names, "property-protections-roles.conf")]


@pytest.fixture
def converted(tmp_path: Path) -> Callable[..., ConvertedSite]:
    """Return a function that moves over from the configuration it is given."""

    def converted_from(*texts: str) -> ConvertedSite:
        paths = []
        for number, text in enumerate(texts):
            paths.append(tmp_path / f"glance-{number}.conf")
            paths[-1].write_text(text)
        return convert([str(path) for path in paths])

    return converted_from
