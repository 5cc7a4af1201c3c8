"""The first error is the one that is reported: a clean-up that fails hides no cause."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import Chunks, Image, ImageData, NoConfig, Plugin, StoreFailed, hookimpl
from imageport.atomic_file import HiddenFile, new_file
from imageport.importing.staging import Staging
from imageport.stores.copy_file import CopyFile
from imageport.testing import MemoryStore
from imageport.testing.benches import bench
from imageport.testing.memory_store import MemoryCopy
from imageport.testing.streams import Stream

CONTENT = noise(3_000_000)

#: Errors of a clean-up.
LATER = [ValueError("later"), OSError(errno.EIO, "later"), StoreFailed("later"), SystemExit("later")]


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


class Untidy(Bytes):
    """Fail when the stream is closed before its end."""

    def __init__(self, content: bytes, error: BaseException) -> None:
        super().__init__(content)
        self.later = error

    @hookimpl
    def stage(self) -> ImageData:
        return ImageData.from_chunks(lambda: closing_badly(super(Untidy, self)._chunks(), self.later))


class UntidyStep(Plugin[NoConfig]):
    """Fail when the stream is closed before its end."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(NoConfig())
        self.error = error

    @hookimpl
    def transform(self, image: Image) -> Image:
        data = image.data.through(lambda chunks: closing_badly(chunks, self.error), size=image.data.size)
        return image.evolve(data=data)


def closing_badly(chunks: Chunks, error: BaseException) -> Chunks:
    try:
        yield from chunks
    except GeneratorExit:
        raise error from None


@pytest.mark.parametrize("later", LATER, ids=repr)
@pytest.mark.parametrize("in_step", [True, False], ids=["step", "method"])
@pytest.mark.parametrize("must", [True, False])
def test_a_stream_that_cannot_be_closed_does_not_hide_the_failure_of_a_store(
    desk: Desk, in_step: bool, must: bool, later: BaseException
) -> None:
    method = Bytes(CONTENT) if in_step else Untidy(CONTENT, later)
    steps = [UntidyStep(later)] if in_step else []
    report = desk.run(method, Shelf("one", fails="middle"), steps=steps, must=must)
    assert report.error is not None
    assert "one broke in the middle" in report.error.message
    assert desk.leftovers() == []


class Doomed(MemoryStore):
    """Fail in one method, and in the clean-up after it."""

    later: ClassVar[BaseException]

    def discard(self, copy: MemoryCopy) -> None:
        super().discard(copy)
        raise self.later

    def digests(self, copy: MemoryCopy) -> dict[str, str]:
        self._fail("read")
        return {}


@pytest.mark.parametrize("later", [*LATER, GeneratorExit()], ids=repr)
@pytest.mark.parametrize("stage", ["write", "finish", "read"])
def test_a_store_that_cannot_discard_reports_why_it_had_to(
    tmp_path: Path, stage: str, later: BaseException
) -> None:
    Doomed.later = later
    with (
        bench(Doomed, {"fails_at": [stage]}, tmp_path, is_store=True) as store,
        pytest.raises(StoreFailed, match=f"fails at {stage}"),
    ):
        store.write(Stream(CONTENT).data()).publish()
    MemoryStore.clear()


def test_a_file_that_cannot_be_removed_does_not_hide_that_its_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").write_text("taken")
    copy = CopyFile.new(tmp_path / "disk", "1000")
    copy.write(b"bytes")
    copy.close(0o600)
    monkeypatch.setattr(HiddenFile, "close", raising(OSError(errno.EIO, "later")))
    with pytest.raises(FileExistsError):
        copy.publish()


def test_a_new_file_that_cannot_be_removed_does_not_hide_why_it_was_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HiddenFile, "close", raising(OSError(errno.EIO, "later")))
    with pytest.raises(ValueError, match="first"), new_file(tmp_path / "disk", overwrite=False):
        raise ValueError("first")
    with pytest.raises(OSError, match="later"), new_file(tmp_path / "disk", overwrite=False):
        pass


def test_staged_data_that_cannot_be_removed_does_not_hide_that_a_copy_stays(
    run_imageport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_imageport.folder
    (folder / "disk.raw").write_bytes(b"boot me" + bytes(100_000))
    (folder / "pipeline.yaml").write_text("name: test\nsource: {use: glance-direct}\n")
    assert run_imageport.inside("run", "pipeline.yaml", "disk.raw").exit_code == 0
    (folder / "images").rename(folder / "elsewhere")
    monkeypatch.setattr(Staging, "remove", raising(OSError(errno.EIO, "later")))
    done = run_imageport.inside("images", "delete", "disk.raw", "--yes")
    assert done.exit_code == 6
    assert "some copies cannot be removed" in done.stderr
