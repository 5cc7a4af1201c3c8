"""A store on a base is short, and what is hard about files is in one module."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

STORES = {
    "builtin_plugins/imageport_builtin/file_store.py": 60,
    "contrib/imageport-named-files/src/imageport_named_files/store.py": 50,
    "contrib/imageport-openstack/src/imageport_openstack/store.py": 90,
    "contrib/imageport-s3/src/imageport_s3/store.py": 60,
    "docs/tutorial/first-plugin/src/imageport_first/archive.py": 60,
}


@pytest.mark.parametrize("path", STORES)
def test_a_store_is_short(path: str) -> None:
    lines = [line for line in (REPOSITORY / path).read_text().splitlines() if line.strip()]
    print(f"{path}: {len(lines)} lines without blank ones")
    assert len(lines) <= STORES[path]


def test_nameless_files_are_in_one_module() -> None:
    folders = ("core", "builtin_plugins", "contrib", "docs")
    sources = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    assert len(sources) > 100
    uses = [path.name for path in sources if {"O_TMPFILE", "src_dir_fd"} & set(_words(path))]
    assert uses == ["atomic_file.py"]


def _words(path: Path) -> list[str]:
    return path.read_text().replace("(", " ").replace(".", " ").replace("=", " ").split()
