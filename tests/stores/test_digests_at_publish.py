"""The digests of a server are compared with those of the image before a copy can be seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from imageport import Context, Image, Location
from imageport.testing import Finished, MemoryStore, run_pipeline
from imageport.testing.memory_store import MemoryCopy

BODY = b"boot me" + bytes(100_000)


class Server(MemoryStore):
    """Compute digests of what it has got."""

    names: ClassVar[tuple[str, ...]] = ()
    content: ClassVar[bytes] = BODY
    error: ClassVar[BaseException | None] = None
    known: ClassVar[list[Mapping[str, str]]] = []

    def open(self, location: Location, image: Image, ctx: Context) -> MemoryCopy:
        self.ctx = ctx
        return super().open(location, image, ctx)

    def digests(self, copy: MemoryCopy) -> Mapping[str, str]:
        if self.error is not None:
            raise self.error
        return {name: hashlib.new(name, self.content).hexdigest().upper() for name in self.names}

    def publish(self, copy: MemoryCopy) -> None:
        self.known.append(self.ctx.digests())
        super().publish(copy)


@pytest.fixture
def server() -> Iterator[type[Server]]:
    class Fresh(Server):
        """Forget what the tests before have set."""

    Server.known.clear()
    yield Fresh
    MemoryStore.clear()


def imported(folder: Path, server: type[Server]) -> Finished:
    (folder / "disk.raw").write_bytes(BODY)
    globals()["Current"] = server
    server.__qualname__, server.__module__ = "Current", __name__
    return run_pipeline(folder, {"stores": [{"use": "server"}]}, "disk.raw", plugins={"server": server})


@pytest.mark.parametrize("names", [(), ("md5",), ("md5", "sha512"), ("sha256",)])
def test_a_copy_with_the_bytes_of_the_image_is_published(
    tmp_path: Path, server: type[Server], names: tuple[str, ...]
) -> None:
    server.names = names
    done = imported(tmp_path, server)
    assert done.exit_code == 0, done.stderr
    assert [copy.content for copy in MemoryStore.published.values()] == [BODY]


@pytest.mark.parametrize("name", ["md5", "sha512"])
def test_a_copy_with_other_bytes_is_discarded(tmp_path: Path, server: type[Server], name: str) -> None:
    server.names, server.content = (name,), BODY + b"!"
    done = imported(tmp_path, server)
    assert done.exit_code == 6
    found, expected = (hashlib.new(name, body).hexdigest() for body in (BODY + b"!", BODY))
    error = done.report["error"]
    assert error["code"] == "store-failed"
    assert error["message"].endswith(f"their {name} is {found}, that of the image is {expected}")
    assert error["hint"].startswith("check the server")
    assert (MemoryStore.published, MemoryStore.hidden, done.report["orphans"]) == ({}, [], [])


def test_a_server_that_does_not_answer_about_its_digests_has_failed(
    tmp_path: Path, server: type[Server]
) -> None:
    server.error = TimeoutError("timed out")
    done = imported(tmp_path, server)
    assert done.exit_code == 6
    assert done.report["error"]["message"].endswith(": timed out")
    assert (MemoryStore.published, MemoryStore.hidden) == ({}, [])


def test_the_digests_are_known_once_all_bytes_are_read(tmp_path: Path, server: type[Server]) -> None:
    assert imported(tmp_path, server).exit_code == 0
    whole = {name: hashlib.new(name, BODY).hexdigest() for name in ("md5", "sha512")}
    assert Server.known == [whole]
