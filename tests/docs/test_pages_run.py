from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from ruamel.yaml import YAML
from tests.markdown import PIP_WITHOUT_NETWORK, Block, blocks_of, play

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted(DOCS.glob("tutorial/*.md"))
#: Pages that need a package and its server: the tests of the package play them.
WITH_SERVERS = {"store-in-s3.md"}
HOW_TOS = sorted(page for page in DOCS.glob("how-to/*.md") if page.name not in WITH_SERVERS)
NAMES = [f"{page.parent.name}/{page.name}" for page in (*TUTORIALS, *HOW_TOS)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """pip installs into a folder of the test, with what is on this machine."""
    site = str(tmp_path / "site-packages")
    return {
        "PYTHONPATH": site,
        "PIP_TARGET": site,
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_QUIET": "1",
        **PIP_WITHOUT_NETWORK,
    }


@pytest.fixture
def stand_ins(postgresql_socket: Path) -> dict[str, str]:
    """The database of the pages is one that the test has started."""
    name = f"docs_{uuid.uuid4().hex}"
    with psycopg.connect(
        host=str(postgresql_socket), user="imageport", dbname="postgres", autocommit=True
    ) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    url = f"postgresql+psycopg://imageport@/{name}?host={quote(str(postgresql_socket))}"
    return {"postgresql+psycopg://imageport:password@db.example.org/imageport": url}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_runs_as_it_is_written(
    name: str, tmp_path: Path, environment: dict[str, str], stand_ins: dict[str, str]
) -> None:
    home = tmp_path / "you"
    home.mkdir()
    names = [block.file_name or "" for block in blocks_of(DOCS / name)]
    of_the_machine = [file for file in names if file.startswith("/")]
    before = [state(file) for file in of_the_machine]
    play(DOCS / name, home, environment, stand_ins)
    assert [state(file) for file in of_the_machine] == before
    assert all((home / file[1:]).is_file() for file in of_the_machine)


def state(name: str) -> tuple[int, int, int] | None:
    """Return what changes when the file called *name* is written, or None when there is none."""
    path = Path(name)
    if not path.exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def test_the_first_plugin_is_the_one_of_the_tutorial() -> None:
    """What authors copy from the page, and the package beside it, are the same."""
    package = DOCS / "tutorial" / "first-plugin"
    files = {
        path.relative_to(package).as_posix(): path.read_text()
        for path in package.rglob("*.*")
        if path.stat().st_size
    }
    shown: dict[str, str] = {}
    for block in blocks_of(DOCS / "tutorial" / "first-plugin.md"):
        name, _, text = block.text.partition("\n")
        shown.setdefault(name.removeprefix("# "), text)
    assert {name: shown.get(name) for name in files} == files


def fragments() -> Iterator[Block]:
    for page in DOCS.rglob("*.md"):
        yield from (block for block in blocks_of(page) if block.language == "yaml" and not block.file_name)


def test_fragments_of_yaml_are_yaml() -> None:
    for block in fragments():
        YAML(typ="safe").load(block.text)
