"""Bytes that are in a file already are moved or cloned where that is safe, and written everywhere else."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.noise import noise

from imageport import Context, Image, ImageData, ImageRecord, PendingCopy, StoreFailed
from imageport.dataplane.shared_file import SharedFile
from imageport.importing.context_factory import HostContext
from imageport.testing.contexts import make_host
from imageport_builtin.file_store import FileStore, FileStoreConfig

CONTENT = noise(9_000_000)


@dataclass
class Scene:
    """Scratch data, stores beside it, and the context of an import."""

    folder: Path
    host: HostContext

    def store(self, name: str) -> FileStore:
        return FileStore(FileStoreConfig(directory=self.folder / name))

    def file(self, name: str = "scratch") -> Path:
        path = self.folder / name
        path.write_bytes(CONTENT)
        return path

    def give(self, path: Path) -> Context:
        return self.host.sharing(SharedFile(path, movable=True)).for_step("store")


def _scene(folder: Path) -> Scene:
    return Scene(folder, make_host(folder, announce_location=lambda step, location: None))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return _scene(tmp_path)


@pytest.fixture(scope="module")
def cloning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return a scene on a file system that clones files (XFS); mounting one takes root."""
    if os.geteuid():
        pytest.skip("mounting a file system takes root")
    folder = tmp_path_factory.mktemp("xfs")
    disk, mount = folder / "disk", folder / "mounted"
    mount.mkdir()
    with disk.open("wb") as file:
        file.truncate(320 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mount], check=True)
    yield _scene(mount)
    subprocess.run(["umount", mount], check=True)


def _image(twin: Path | None, content: bytes = CONTENT) -> Image:
    record = ImageRecord(id=str(uuid.uuid4()))
    return Image(record, ImageData(lambda: iter([content]), size=len(content), backing_file=twin))


def _published(store: FileStore, copy: PendingCopy) -> Path:
    copy.publish()
    [path] = store.config.directory.iterdir()
    assert path.read_bytes() == CONTENT
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_nlink == 1
    return path


def test_scratch_data_is_moved_into_the_first_store_that_wants_it(scene: Scene) -> None:
    scratch = scene.file()
    number = scratch.stat().st_ino
    ctx = scene.give(scratch)
    one, two = scene.store("one"), scene.store("two")
    first = one.store_write(_image(scratch), ctx)
    assert not scratch.exists()
    second = two.store_write(_image(scratch), ctx)
    assert _published(one, first).stat().st_ino == number
    assert _published(two, second).stat().st_ino != number


def test_scratch_data_that_was_moved_goes_with_the_copy(scene: Scene) -> None:
    scratch = scene.file()
    store = scene.store("one")
    store.store_write(_image(scratch), scene.give(scratch)).discard()
    assert not scratch.exists()
    assert list(store.config.directory.iterdir()) == []


def test_a_moved_file_is_known_to_the_store_when_the_import_dies(scene: Scene) -> None:
    scratch = scene.file()
    store = scene.store("one")
    ctx = scene.give(scratch)
    copy = store.store_write(_image(scratch), ctx)
    assert len(list(store.config.directory.iterdir())) == 1
    store.store_delete(copy.location, ctx)
    assert list(store.config.directory.iterdir()) == []


def test_a_file_that_is_not_offered_stays_where_it_is(scene: Scene) -> None:
    theirs = scene.file("theirs")
    store = scene.store("one")
    _published(store, store.store_write(_image(theirs), scene.host.for_step("store")))
    assert theirs.read_bytes() == CONTENT


def test_a_file_with_another_name_is_copied(scene: Scene) -> None:
    """With a hard link, a user of the other name could change the image later."""
    scratch = scene.file()
    (scene.folder / "other").hardlink_to(scratch)
    store = scene.store("one")
    _published(store, store.store_write(_image(scratch), scene.give(scratch)))
    assert (scene.folder / "other").read_bytes() == CONTENT


def test_a_link_is_not_moved(scene: Scene) -> None:
    theirs = scene.file("theirs")
    link = scene.folder / "link"
    link.symlink_to(theirs)
    store = scene.store("one")
    assert not _published(store, store.store_write(_image(link), scene.give(link))).is_symlink()
    assert theirs.read_bytes() == CONTENT


def test_scratch_data_of_another_length_is_not_a_copy(scene: Scene) -> None:
    scratch = scene.file()
    with pytest.raises(StoreFailed, match="was written to"):
        scene.store("one").store_write(_image(scratch, CONTENT[:-1]), scene.give(scratch))
    assert list((scene.folder / "one").iterdir()) == []


def test_a_stored_copy_is_cloned_where_the_file_system_can(cloning: Scene) -> None:
    original = cloning.file("original")
    os.sync()
    before = os.statvfs(cloning.folder).f_bfree
    store = cloning.store("one")
    path = _published(store, store.store_write(_image(original), cloning.host.for_step("store")))
    taken = (before - os.statvfs(cloning.folder).f_bfree) * os.statvfs(cloning.folder).f_frsize
    assert taken < len(CONTENT) / 2
    with original.open("r+b") as file:
        file.write(b"changed")
    assert path.read_bytes() == CONTENT


def test_a_clone_of_a_file_that_is_written_to_meanwhile_is_refused(cloning: Scene) -> None:
    original = cloning.file("changing")
    os.utime(original, ns=(0, 0))

    def chunks() -> Iterator[bytes]:
        yield CONTENT
        with original.open("r+b") as file:
            file.write(b"changed")

    image = _image(None)
    data = ImageData(chunks, size=len(CONTENT), backing_file=original)
    with pytest.raises(StoreFailed, match="was written to"):
        cloning.store("two").store_write(replace(image, data=data), cloning.host.for_step("store"))
    assert list((cloning.folder / "two").iterdir()) == []
