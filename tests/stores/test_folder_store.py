"""A store of files sees which files are its copies, and that its folder is not mounted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imageport import Location, StoreFailed
from imageport.stores import folder_id
from imageport.testing import RunImageport
from imageport.testing.benches import Bench, BenchCopy, bench
from imageport.testing.streams import Stream
from imageport.values import StoredCopy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Bench]:
    with bench("file", {"directory": "images"}, tmp_path, is_store=True) as made:
        yield made


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


def published(store: Bench, content: bytes = b"boot me") -> BenchCopy:
    copy = store.write(Stream(content).data())
    copy.publish()
    return copy


def unmount(images: Path) -> Path:
    """Leave an empty folder, as an unmounted file system does."""
    elsewhere = images.rename(images.with_name("elsewhere"))
    images.mkdir()
    return elsewhere


def test_a_copy_is_seen_with_its_size_and_time(store: Bench) -> None:
    copy = published(store)
    written = datetime.fromtimestamp(int(copy.location.metadata["mark"]) / 10**9, UTC)
    assert store.stat(copy.location) == StoredCopy(location=copy.location, size=7, modified=written)
    assert store.list() == [store.stat(copy.location)]


def test_hidden_and_foreign_files_are_not_listed(store: Bench, images: Path) -> None:
    copy = store.write(Stream(b"hidden").data())
    assert store.stat(copy.location) is None
    (images / "notes.txt").write_text("mine")
    (images / "folder").mkdir()
    (images / "link").symlink_to("notes.txt")
    assert store.list() == []
    copy.publish()
    assert [found.location for found in store.list()] == [copy.location]


def test_a_file_that_took_the_place_of_a_copy_is_not_seen(store: Bench, images: Path) -> None:
    copy = published(store)
    path = images / Path(copy.location.url).name
    path.unlink()
    path.write_text("another one")
    assert store.stat(copy.location) is None
    assert store.list() == []


def test_what_is_listed_suffices_to_delete_a_copy(store: Bench, images: Path) -> None:
    published(store)
    [found] = store.list()
    store.delete(found.location)
    assert list(images.iterdir()) == []


def test_a_store_without_a_folder_has_no_copies(store: Bench) -> None:
    assert store.list() == []


@pytest.mark.parametrize("has_attributes", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_folder_that_is_not_mounted_differs_from_a_missing_file(
    store: Bench, images: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, has_attributes: bool
) -> None:
    if not has_attributes:
        monkeypatch.setattr(folder_id, "ATTRIBUTE", "refused.by.the.kernel")
    copy = published(store)
    elsewhere = unmount(images)
    if not is_there:
        images.rmdir()
    expected = f"{images} is not the folder in which" if is_there else f"{images} is missing"
    for ask in (store.delete, store.stat, store.read):
        with pytest.raises(StoreFailed) as caught:
            ask(copy.location)
        assert "mount it" in caught.value.hint
        if ask != store.read:
            assert caught.value.message.startswith(expected)
    if is_there:
        images.rmdir()
    elsewhere.rename(images)
    store.delete(copy.location)
    assert list(images.iterdir()) == []


def test_the_hint_about_a_replaced_folder_makes_it_the_folder_of_the_store(
    store: Bench, images: Path
) -> None:
    copy = published(store)
    unmount(images)
    with pytest.raises(StoreFailed) as caught:
        store.delete(copy.location)
    _, _, command = caught.value.hint.partition("setfattr ")
    _, name, _, value, folder = command.split()
    os.setxattr(folder, name, value.encode())
    store.delete(copy.location)


def test_a_copy_of_an_earlier_version_is_deleted_without_the_identity_of_its_folder(
    store: Bench, images: Path
) -> None:
    copy = published(store)
    earlier = Location(url=copy.location.url, metadata={"mark": copy.location.metadata["mark"]})
    store.delete(earlier)
    store.delete(earlier)
    assert list(images.iterdir()) == []


def test_gc_does_not_forget_copies_in_a_folder_that_is_not_mounted(run_imageport: RunImageport) -> None:
    folder = run_imageport.folder
    (folder / "disk.raw").write_bytes(b"boot me" + bytes(100_000))
    (folder / "pipeline.yaml").write_text("name: test\nsource: {use: glance-direct}\n")
    assert run_imageport.inside("run", "pipeline.yaml", "disk.raw").exit_code == 0
    elsewhere = unmount(folder / "images")
    deleted = run_imageport.inside("images", "delete", "disk.raw", "--yes")
    assert deleted.exit_code == 6
    assert "is not the folder in which" in deleted.stderr
    assert run_imageport.inside("gc").exit_code != 0
    (folder / "images").rmdir()
    elsewhere.rename(folder / "images")
    assert run_imageport.inside("gc").exit_code == 0
    assert list((folder / "images").iterdir()) == []
