"""A publisher with keys of every kind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.imageport_builtin.verification.gpg import LONG_AGO, Gpg
from tests.imageport_builtin.verification.imports import Imports

from imageport.testing.command import RunImageport
from imageport.testing.http_server import HttpServer


@pytest.fixture(scope="session")
def gpg() -> Iterator[Gpg]:
    """gpg with the keys ``publisher``, ``stranger``, ``old`` (RSA) and ``expired``."""
    with tempfile.TemporaryDirectory(prefix="gpg", ignore_cleanup_errors=True) as home:
        made = Gpg(Path(home))
        made.make_key("publisher")
        made.make_key("stranger")
        made.make_key("old", algorithm="rsa2048")
        made.make_key("expired", *LONG_AGO, expires="30d")
        yield made
        made.stop()


@pytest.fixture
def keyring(gpg: Gpg, tmp_path: Path) -> Path:
    """The file of an operator who trusts ``publisher``, ``old`` and ``expired``."""
    path = tmp_path / "publishers.asc"
    path.write_bytes(gpg.certificates("publisher", "old", "expired"))
    return path


@pytest.fixture
def imports(run_imageport: RunImageport, http_server: HttpServer, gpg: Gpg) -> Imports:
    """Whole imports, by an operator who trusts ``publisher``."""
    made = Imports(run_imageport, http_server)
    (made.folder / "publishers.asc").write_bytes(gpg.certificates("publisher"))
    return made
