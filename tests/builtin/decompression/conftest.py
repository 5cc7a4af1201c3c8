"""A disk image, the real tools that pack it, and a context to unpack it in."""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from imageport import CHUNK_SIZE, Caller, Chunks, Context, Image, ImageData, ImageRecord
from imageport.limits import Limits
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression

IMAGE_ID = "6f1c6d1e-3f1b-4a2b-9d3e-0c8f4b7a1d11"


class Unpacking(SimpleNamespace):
    """One use of the plugin: its context, its source and what came out."""

    ctx: Context
    source_bytes: int
    drained: bool


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


@pytest.fixture(scope="session")
def original() -> bytes:
    """Bytes like a disk's: noise, zeros, text, and an odd length."""
    noise = random.Random(7).randbytes(700_000)
    text = b"".join(b"%08d the quick brown fox\n" % number for number in range(20_000))
    return noise + bytes(3 << 20) + text + noise[:12_345] + bytes(100_001)


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Pack bytes with a real program: ``pack("xz", data)`` or ``pack("7z", data, "-m0=bzip2")``."""

    def run(kind: str, data: bytes, *options: str, name: str = "disk.raw") -> bytes:
        folder = tmp_path_factory.mktemp("pack")
        (folder / name).write_bytes(data)
        return pack_files(kind, folder, [name], *options)

    return run


def pack_files(kind: str, folder: Path, names: list[str], *options: str) -> bytes:
    """Pack *names* in *folder* with a real program and return the archive."""
    out = folder / f"packed.{kind}"
    commands: dict[str, list[str]] = {
        "gzip": ["gzip", "-nc", *options, *names],
        "xz": ["xz", "-T1", "-c", *options, *names],
        "bzip2": ["bzip2", "-c", *options, *names],
        "zstd": ["zstd", "-qc", *options, *names],
        "zip": ["zip", "-q", *options, str(out), *names],
        "7z": ["7z", "a", "-bd", "-mmt=1", *options, str(out), *names],
        "lha": ["jlha", *(options or ("ao5",)), str(out), *names],
        "tar": ["tar", "-cf", str(out), *options, *names],
    }
    command = commands[kind]
    assert shutil.which(command[0]), f"{command[0]} is not installed"
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return out.read_bytes() if out.exists() else done.stdout


@pytest.fixture
def work_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def _no_network(*_: Any) -> NoReturn:
    raise AssertionError("decompression needs no network and no stores")


@pytest.fixture
def make_context(work_folder: Path) -> Callable[..., Context]:
    def make(**limits: Any) -> Context:
        return Context(
            caller=Caller(user="tester"),
            image_id=IMAGE_ID,
            task_id="task",
            step="image_decompression",
            limits=Limits(**limits),
            http=None,  # type: ignore[arg-type]
            log=logging.getLogger("imageport.test"),
            work_folder=work_folder,
            emit=lambda event: None,
            read_replica=_no_network,
            announce_location=_no_network,
        )

    return make


@pytest.fixture
def ctx(make_context: Callable[..., Context]) -> Context:
    return make_context()


class Tap:
    """A source that knows how much of it was read, and whether it was closed."""

    def __init__(self, data: bytes, piece: int = CHUNK_SIZE) -> None:
        self.data = data
        self.piece = piece
        self.taken = 0
        self.opened = False
        self.closed = False

    def image_data(self) -> ImageData:
        return ImageData.from_chunks(self._chunks)

    def _chunks(self) -> Chunks:
        self.opened = True
        try:
            for start in range(0, len(self.data), self.piece):
                piece = self.data[start : start + self.piece]
                self.taken += len(piece)
                yield piece
        finally:
            self.closed = True


def transform(
    data: ImageData, ctx: Context, record: dict[str, Any] | None = None, **options: Any
) -> Image | None:
    """Call the plugin as the runner does."""
    image = Image(ImageRecord(id=IMAGE_ID, **(record or {})), data)
    plugin = ImageDecompression(DecompressionConfig.model_validate(options))
    return plugin.transform(image, ctx)


@pytest.fixture
def unpack(ctx: Context) -> Iterator[Callable[..., bytes]]:
    """Unpack bytes that come as a stream, check that they were read to the end, and return what came out."""

    def run(
        packed: bytes, *, context: Context | None = None, piece: int = CHUNK_SIZE, **options: Any
    ) -> bytes:
        tap = Tap(packed, piece)
        image = transform(tap.image_data(), context or ctx, **options)
        assert image is not None, "the plugin did not recognise the archive"
        result = b"".join(image.data.chunks())
        assert tap.taken == len(packed), "the source was not read to its end"
        assert tap.closed
        return result

    yield run
    assert list(ctx.work_folder.iterdir()) == []
