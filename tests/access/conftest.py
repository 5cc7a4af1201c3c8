"""The command in a separate folder, with a site file that tests write; and new databases, SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.catalog.conftest import postgresql, postgresql_socket, url
from tests.cli.command_line import CommandLine

__all__ = ["postgresql", "postgresql_socket", "url"]


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)
