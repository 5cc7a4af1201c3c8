"""A disk image, the real programs that pack it, and a step to unpack it."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imageport import Chunks, Context, Image, ImageData, ImageRecord
from imageport.dataplane import CHUNK_SIZE
from imageport.limits import Limits
from imageport.testing import contexts
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression

IMAGE_ID = "6f1c6d1e-3f1b-4a2b-9d3e-0c8f4b7a1d11"


class Tap:
    """A source that knows how much of it was read and whether it was closed; it may fail at the end."""

    def __init__(self, data: bytes, piece: int = CHUNK_SIZE, failure: Exception | None = None) -> None:
        self.data = data
        self.piece = piece
        self.failure = failure
        self.taken = 0
        self.opened = False
        self.closed = False
        self.image_data = ImageData.from_chunks(self._chunks)

    def _chunks(self) -> Chunks:
        self.opened = True
        try:
            for start in range(0, len(self.data), self.piece):
                piece = self.data[start : start + self.piece]
                self.taken += len(piece)
                yield piece
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed = True


@pytest.fixture(scope="session")
def make_tap() -> type[Tap]:
    return Tap


@pytest.fixture(scope="session")
def original() -> bytes:
    """Bytes like a disk's: noise, zeros, text, and an odd length."""
    noise = random.Random(7).randbytes(700_000)
    text = b"".join(b"%08d the quick brown fox\n" % number for number in range(20_000))
    return noise + bytes(3 << 20) + text + noise[:12_345] + bytes(100_001)


@pytest.fixture(scope="session")
def small() -> bytes:
    """A few KiB, for archives that are damaged in many places."""
    return random.Random(8).randbytes(3_000) + bytes(20_000) + b"hello world " * 300


@pytest.fixture(scope="session")
def pack_files() -> Callable[..., bytes]:
    """Pack files with a real program: ``pack_files("7z", folder, ["disk.raw"], "-m0=bzip2")``."""

    def run(kind: str, folder: Path, names: list[str], *options: str) -> bytes:
        out = folder / f"packed.{kind}"
        commands: dict[str, list[str]] = {
            "gzip": ["gzip", "-nc", *options, *names],
            "xz": ["xz", "-T1", "-c", *options, *names],
            "lzma": ["xz", "--format=lzma", "-T1", "-c", *options, *names],
            "bzip2": ["bzip2", "-c", *options, *names],
            "zstd": ["zstd", "-qc", *options, *names],
            "zip": ["zip", "-q", *options, str(out), *names],
            "7z": ["7z", "a", "-bd", "-mmt=1", *options, str(out), *names],
            "lha": ["jlha", *(options or ("ao5",)), str(out), *names],
            "tar": ["tar", "-cf", str(out), *options, *names],
        }
        program = commands[kind][0]
        assert shutil.which(program), f"{program} is not installed"
        done = subprocess.run(commands[kind], cwd=folder, check=True, capture_output=True)
        return out.read_bytes() if out.exists() else done.stdout

    return run


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory, pack_files: Callable[..., bytes]) -> Callable[..., bytes]:
    """Pack bytes with a real program: ``pack("xz", data, "-9")``."""

    def run(kind: str, data: bytes, *options: str, name: str = "disk.raw") -> bytes:
        folder = tmp_path_factory.mktemp("pack")
        (folder / name).write_bytes(data)
        return pack_files(kind, folder, [name], *options)

    return run


@pytest.fixture(scope="session")
def make_zip() -> Callable[..., bytes]:
    """Write a zip by hand, for what the zip programs at hand refuse to write."""

    def make(
        payload: bytes, *, method: int, crc: int, size: int, name: bytes = b"disk.raw", flags: int = 0
    ) -> bytes:
        common = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 0, crc, len(payload), size, len(name), 0)
        local = b"PK\x03\x04" + common + name + payload
        central = b"PK\x01\x02\x14\x03" + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
        end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
        return local + central + end

    return make


@pytest.fixture
def work_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def limited_context(work_folder: Path) -> Callable[..., Context]:
    def make(**limits: Any) -> Context:
        return contexts.make_context(
            work_folder, step="image_decompression", image_id=IMAGE_ID, limits=Limits(**limits)
        )

    return make


@pytest.fixture
def ctx(limited_context: Callable[..., Context]) -> Context:
    return limited_context()


@pytest.fixture
def transform(ctx: Context) -> Callable[..., Image | None]:
    """Call the plugin as the runner does; keyword arguments are its options."""

    def run(
        data: ImageData,
        *,
        context: Context | None = None,
        record: dict[str, Any] | None = None,
        **options: Any,
    ) -> Image | None:
        plugin = ImageDecompression(DecompressionConfig.model_validate(options))
        return plugin.transform(Image(ImageRecord(id=IMAGE_ID, **(record or {})), data), context or ctx)

    return run


@pytest.fixture
def unpack(transform: Callable[..., Image | None], work_folder: Path) -> Callable[..., bytes]:
    """Unpack bytes that come as a stream and return what came out.

    Checks that a source was read to its end when all went well, closed whatever happened, and that nothing is left.
    """

    def run(packed: bytes, *, piece: int = CHUNK_SIZE, **settings: Any) -> bytes:
        tap = Tap(packed, piece)
        try:
            image = transform(tap.image_data, **settings)
            assert image is not None, "the plugin did not recognise the archive"
            result = b"".join(image.data.chunks())
            assert tap.taken == len(packed), "the source was not read to its end"
        finally:
            assert tap.closed
            assert list(work_folder.iterdir()) == []
        return result

    return run
