"""A copy has no name before it is published, holes stay holes, and nothing is left after a failure."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.noise import noise

from imageport import Context, Image, ImageData, ImageRecord, Location, StoreFailed
from imageport.context import new_token
from imageport.testing.contexts import make_context
from imageport_builtin.file_store import FileStore, FileStoreConfig

RECORD = ImageRecord(id="8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01")
CONTENT = noise(2_500_000)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, step="store", image_id=RECORD.id, announce_location=lambda *_: None)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(FileStoreConfig(directory=tmp_path / "images"))


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _image(*pieces: bytes) -> Image:
    return Image(RECORD, ImageData.from_chunks(lambda: iter(pieces)))


def test_a_copy_is_invisible_until_it_is_published(store: FileStore, ctx: Context) -> None:
    copy = store.store_write(_image(CONTENT), ctx)
    [hidden] = store.config.directory.iterdir()
    assert hidden.name.startswith(".")
    copy.publish()
    [path] = store.config.directory.iterdir()
    assert path.read_bytes() == CONTENT
    assert copy.location.url == path.as_uri()
    assert copy.bytes_written == len(CONTENT)


def test_while_it_is_written_a_copy_has_no_name(store: FileStore, ctx: Context) -> None:
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        assert list(store.config.directory.iterdir()) == []

    store.store_write(Image(RECORD, ImageData.from_chunks(pieces)), ctx).discard()


def test_a_copy_that_another_process_has_removed_cannot_be_published(store: FileStore, ctx: Context) -> None:
    before = _open_files()
    copy = store.store_write(_image(CONTENT), ctx)
    store.store_delete(copy.location, ctx)
    with pytest.raises(StoreFailed, match="is missing from the store"):
        copy.publish()
    assert list(store.config.directory.iterdir()) == []
    assert _open_files() == before


def test_a_discarded_copy_leaves_nothing(store: FileStore, ctx: Context) -> None:
    before = _open_files()
    store.store_write(_image(CONTENT), ctx).discard()
    assert list(store.config.directory.iterdir()) == []
    assert _open_files() == before


def test_an_error_in_the_data_leaves_nothing(store: FileStore, ctx: Context) -> None:
    def pieces() -> Iterator[bytes]:
        yield CONTENT
        raise ValueError("the cable was cut")

    before = _open_files()
    with pytest.raises(ValueError, match="cable"):
        store.store_write(Image(RECORD, ImageData.from_chunks(pieces)), ctx)
    assert list(store.config.directory.iterdir()) == []
    assert _open_files() == before


def test_zeros_take_no_space(store: FileStore, ctx: Context) -> None:
    copy = store.store_write(_image(*[bytes(1 << 20)] * 64, b"end"), ctx)
    copy.publish()
    [path] = store.config.directory.iterdir()
    assert path.stat().st_size == (64 << 20) + 3
    assert path.stat().st_blocks * 512 < 1 << 20
    digest = hashlib.sha256(bytes(64 << 20) + b"end").hexdigest()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_a_copy_is_read_back_and_deleted(store: FileStore, ctx: Context) -> None:
    copy = store.store_write(_image(CONTENT), ctx)
    copy.publish()
    assert b"".join(store.store_read(copy.location, ctx).chunks()) == CONTENT
    store.store_delete(copy.location, ctx)
    store.store_delete(copy.location, ctx)
    assert list(store.config.directory.iterdir()) == []
    with pytest.raises(StoreFailed, match="is missing from the store"):
        store.store_read(copy.location, ctx)


def test_a_foreign_file_is_never_overwritten(store: FileStore, ctx: Context) -> None:
    store.config.directory.mkdir()
    foreign = store.config.directory / RECORD.id
    foreign.write_text("mine")
    with pytest.raises(StoreFailed, match="already there") as caught:
        store.store_write(_image(CONTENT), ctx)
    assert "imageport gc" in caught.value.hint
    foreign.unlink()
    copy = store.store_write(_image(CONTENT), ctx)
    foreign.write_text("mine")
    with pytest.raises(StoreFailed, match="File exists"):
        copy.publish()
    assert foreign.read_text() == "mine"


def test_a_foreign_file_is_never_deleted(store: FileStore, ctx: Context) -> None:
    copy = store.store_write(_image(CONTENT), ctx)
    foreign = store.config.directory / RECORD.id
    foreign.write_text("mine")
    with pytest.raises(StoreFailed, match="File exists"):
        copy.publish()
    store.store_delete(copy.location, ctx)
    assert foreign.read_text() == "mine"
    foreign.unlink()
    foreign.symlink_to("elsewhere")
    store.store_delete(copy.location, ctx)
    assert foreign.is_symlink()


def test_a_file_that_took_the_place_of_a_copy_is_not_deleted(store: FileStore, ctx: Context) -> None:
    copy = store.store_write(_image(CONTENT), ctx)
    copy.publish()
    [path] = store.config.directory.iterdir()
    path.unlink()
    path.write_bytes(CONTENT)
    store.store_delete(copy.location, ctx)
    assert path.read_bytes() == CONTENT


def test_a_copy_is_known_as_such_after_a_change_and_after_a_move_to_another_disk(
    store: FileStore, ctx: Context
) -> None:
    for happens in ("a change", "a move"):
        copy = store.store_write(_image(CONTENT), ctx)
        copy.publish()
        [path] = store.config.directory.iterdir()
        if happens == "a change":
            path.write_text("a machine ran here")
        else:
            os.removexattr(path, "user.imageport.mark")
        store.store_delete(copy.location, ctx)
        assert list(store.config.directory.iterdir()) == []


def test_deleting_a_copy_leaves_another_one_that_is_being_written(store: FileStore, ctx: Context) -> None:
    failed = store.store_write(_image(CONTENT), ctx)
    failed.discard()
    other = store.store_write(_image(CONTENT), replace(ctx, copy_token=new_token()))
    store.store_delete(failed.location, ctx)
    other.publish()
    [path] = store.config.directory.iterdir()
    assert path.read_bytes() == CONTENT
    store.store_delete(failed.location, ctx)
    assert path.read_bytes() == CONTENT


def test_a_copy_is_announced_with_all_it_takes_to_delete_it(store: FileStore, tmp_path: Path) -> None:
    announced: list[tuple[str, Location]] = []
    watching = make_context(tmp_path, step="fast", announce_location=lambda *call: announced.append(call))
    copy = store.store_write(_image(CONTENT), watching)
    copy.publish()
    assert announced == [("fast", copy.location)]
    store.store_delete(copy.location, watching)
    assert list(store.config.directory.iterdir()) == []


@pytest.mark.parametrize("name", ["../secret", ".hidden", "/etc/passwd", "%2e%2e/secret", "a/b"])
def test_only_files_of_the_directory_are_touched(store: FileStore, ctx: Context, name: str) -> None:
    location = Location(url=f"{store.config.directory.as_uri()}/{name}")
    if name == "/etc/passwd":
        location = Location(url="file:///etc/passwd")
    with pytest.raises(StoreFailed, match="is not in"):
        store.store_read(location, ctx)
    with pytest.raises(StoreFailed, match="is not in"):
        store.store_delete(location, ctx)


def test_the_file_has_the_permissions_of_the_option(tmp_path: Path, ctx: Context) -> None:
    store = FileStore(FileStoreConfig(directory=tmp_path / "images", mode="0600"))
    store.store_write(_image(CONTENT), ctx).publish()
    [path] = store.config.directory.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_something_in_the_way_of_the_directory_is_named(tmp_path: Path, ctx: Context) -> None:
    (tmp_path / "images").write_text("a file")
    store = FileStore(FileStoreConfig(directory=tmp_path / "images"))
    with pytest.raises(StoreFailed, match="images") as caught:
        store.store_write(_image(CONTENT), ctx)
    assert "in the way" in caught.value.hint


WITHOUT_NAMELESS_FILES = """
import errno, os, sys
real_open = os.open
def no_nameless(path, flags, *rest, **named):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return real_open(path, flags, *rest, **named)
os.open = no_nameless
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1], "-k", "not file_systems_without"]))
"""


def test_file_systems_without_nameless_files_keep_every_promise() -> None:
    """NFS has no O_TMPFILE, and cannot be mounted here: the kernel's answer is given in its place."""
    command = [sys.executable, "-c", WITHOUT_NAMELESS_FILES, __file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert all("has_no_name" in line for line in failed), done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("step", [0, -3600 * 10**9], ids=["stands still", "steps back"])
def test_no_two_attempts_have_the_same_mark_whatever_the_clock_does(
    store: FileStore, ctx: Context, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    times = (1_700_000_000 * 10**9 + step * attempt for attempt in range(1000))
    monkeypatch.setattr("imageport.context.time.time_ns", lambda: next(times))
    attempts = [replace(ctx, copy_token=new_token()) for _ in range(3)]
    copies = [store.store_write(_image(CONTENT), attempt) for attempt in attempts]
    first, second, third = copies
    assert len({copy.location.metadata["mark"] for copy in copies}) == 3
    first.publish()
    second.discard()
    store.store_delete(third.location, ctx)
    [path] = store.config.directory.iterdir()
    assert path.read_bytes() == CONTENT
    third.discard()
