from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
GUARDED = REPOSITORY / "core/imageport/http"
#: Servers for the tests of plugins; no import uses them.
FOR_TESTS = REPOSITORY / "core/imageport/testing"

#: Whatever can open a connection; a socket is also what knows the name of the machine.
DOORS = (
    "socket",
    "ssl",
    "http.client",
    "urllib.request",
    "urllib3",
    "ftplib",
    "requests",
    "httpx",
    "aiohttp",
)
HARMLESS = {"socket.gethostname"}


def doors(source: str) -> Iterator[str]:
    """Return what *source* uses that could reach the network."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name != "socket"]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "socket"
        ):
            names = [f"socket.{node.attr}"]
        for name in names:
            if name not in HARMLESS and f"{name}.".startswith(tuple(f"{door}." for door in DOORS)):
                yield name


#: Sockets that lead to a program of this machine only: the family of the one that connects is AF_UNIX.
LOCAL = {"nbd.py": ["socket.socket"], "qemu_export.py": ["socket.socket", "socket.socket", "socket.AF_UNIX"]}


def test_there_is_one_way_to_the_network() -> None:
    """Every url is judged where connections are made. In Glance the tasks for imports and for OVF had their own way."""
    sources = [
        path
        for folder in ("core", "builtin_plugins")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if not any(path.is_relative_to(folder) for folder in (GUARDED, FOR_TESTS))
    ]
    assert len(sources) > 100
    assert {path.name: found for path in sources if (found := list(doors(path.read_text())))} == LOCAL


def test_another_way_would_be_seen() -> None:
    assert list(doors("import socket\nsocket.create_connection(('a', 1))")) == ["socket.create_connection"]
    assert list(doors("from urllib.request import urlopen")) == ["urllib.request.urlopen"]
    assert list(doors("import http.client\nfrom urllib.parse import quote")) == ["http.client"]
    assert set(doors((GUARDED / "connections.py").read_text())) > {"ssl"}
