"""Of what lies in staging, only that goes which belongs to no image being staged or imported."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imageport.catalog import Catalog
from imageport.errors import ImportFailed
from imageport.importing.recovery import OrphanFiles
from imageport.importing.staging import Staging, size_on_disk
from imageport.values import ImageRecord, ImageStatus, Location

STALE = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    (tmp_path / "staging").mkdir()
    return Staging(tmp_path / "staging")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    yield opened
    opened.close()


@pytest.fixture
def leftovers(catalog: Catalog, staging: Staging) -> OrphanFiles:
    return OrphanFiles(catalog, staging)


@pytest.fixture
def make(catalog: Catalog) -> Callable[[ImageStatus], str]:
    """Return a function that makes an image with a status and returns its id."""

    def make_image(status: ImageStatus) -> str:
        image_id = str(uuid.uuid4())
        catalog.create_image(
            ImageRecord(id=image_id, disk_format="raw", container_format="bare", status=status)
        )
        return image_id

    return make_image


def _fill(staging: Staging, *names: str) -> None:
    for name in names:
        (staging.directory / name).write_bytes(b"bytes")


def _remove_all(leftovers: OrphanFiles) -> None:
    for path in leftovers.find():
        assert leftovers.remove(path)


def _names(staging: Staging) -> set[str]:
    return {path.name for path in staging.directory.iterdir()}


def test_stale_files_go_and_those_of_others_and_of_living_images_stay(
    staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    live = make("uploading")
    _fill(staging, "foo", STALE, f"{STALE}.qcow2", f"{STALE}.uc", live, f"{live}.qcow2")
    _remove_all(leftovers)
    assert _names(staging) == {"foo", live, f"{live}.qcow2"}


@pytest.mark.parametrize("status", ["queued", "active", "deactivated"])
def test_what_an_image_does_not_need_any_more_goes(
    staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str], status: ImageStatus
) -> None:
    image_id = make(status)
    _fill(staging, image_id, f"{image_id}.raw")
    (staging.directory / f"{image_id}.{uuid.uuid4()}").mkdir()
    _remove_all(leftovers)
    assert _names(staging) == set()


def test_scratch_data_of_a_running_copy_stays_though_its_image_is_active(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    image_id = make("active")
    lease = catalog.begin_import(
        image_id, starts_from={"active"}, request={}, owner="alice", targets=["s2"], lease_seconds=60
    )
    with staging.work_folder(image_id, lease.task_id) as folder:
        assert leftovers.find() == []
        assert _names(staging) == {folder.name}


@pytest.mark.parametrize(
    "name", ["uuid", f"{STALE[:-1]}", STALE.upper(), f".{STALE}", f"{STALE}-x", f"x{STALE}"]
)
def test_a_name_that_does_not_begin_with_the_id_of_an_image_belongs_to_another_program(
    staging: Staging, leftovers: OrphanFiles, name: str
) -> None:
    _fill(staging, name)
    assert leftovers.find() == []


def test_a_link_is_removed_and_what_it_points_to_stays(
    staging: Staging, leftovers: OrphanFiles, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    (staging.directory / STALE).symlink_to(tmp_path / "folder")
    (staging.directory / f"{STALE}.dangling").symlink_to(tmp_path / "nowhere")
    _remove_all(leftovers)
    assert _names(staging) == set()
    assert (tmp_path / "folder" / "mine").exists()


def test_a_link_that_bears_the_name_of_incoming_data_is_in_nobodys_way(
    staging: Staging, leftovers: OrphanFiles, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("mine")
    link = staging.directory / f"{STALE}.staging"
    link.symlink_to(tmp_path / "mine")
    _remove_all(leftovers)
    assert _names(staging) == set()
    link.symlink_to(tmp_path / "mine")
    staging.remove(STALE)
    assert _names(staging) == set()
    link.symlink_to(tmp_path / "mine")
    with staging.incoming(STALE) as incoming:
        incoming.write(iter([b"staged"]), needed=None)
        incoming.keep()
    assert (staging.directory / STALE).read_bytes() == b"staged"
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_a_link_points_to_does_not_count(staging: Staging, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "large").write_bytes(bytes(1 << 20))
    link = staging.directory / STALE
    link.symlink_to(tmp_path / "folder")
    assert size_on_disk(link) < 1 << 20


def test_a_pipe_with_the_name_of_incoming_data_blocks_no_command(
    staging: Staging, leftovers: OrphanFiles
) -> None:
    os.mkfifo(pipe := staging.directory / f"{STALE}.staging")
    assert leftovers.find() == [pipe]
    with pytest.raises(ImportFailed, match="cannot write scratch data"):
        leftovers.remove(pipe)
    staging.remove(STALE)
    assert _names(staging) == set()


def test_what_came_into_use_after_it_was_found_stays(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    image_id = make("queued")
    _fill(staging, image_id)
    (found,) = leftovers.find()
    with staging.incoming(image_id) as incoming:
        with catalog.changing_status(image_id, of=("queued",), to="uploading"):
            incoming.write(iter([b"new"]), needed=None)
            incoming.keep()
        assert not leftovers.remove(found)
    assert found.read_bytes() == b"new"


def test_what_another_process_removed_is_not_reported(staging: Staging, leftovers: OrphanFiles) -> None:
    _fill(staging, STALE)
    (found,) = leftovers.find()
    found.unlink()
    assert not leftovers.remove(found)


def test_data_that_is_just_being_staged_stays(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    image_id = make("queued")
    with staging.incoming(image_id) as incoming:
        assert leftovers.find() == []
        with catalog.changing_status(image_id, of=("queued",), to="uploading"):
            pass
        assert not leftovers.remove(incoming.path)
    assert catalog.get_image(image_id).status == "uploading"


def test_half_staged_data_of_a_killed_command_goes_and_its_image_is_queued_again(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    image_id = make("uploading")
    _fill(staging, f"{image_id}.staging", f"{STALE}.staging")
    leftovers.clear(image_id)
    assert _names(staging) == {f"{STALE}.staging"}
    assert catalog.get_image(image_id).status == "queued"
    _remove_all(leftovers)
    assert _names(staging) == set()


def test_whole_staged_data_stays_when_a_second_attempt_at_staging_was_killed(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles, make: Callable[[ImageStatus], str]
) -> None:
    image_id = make("uploading")
    _fill(staging, image_id, f"{image_id}.staging")
    _remove_all(leftovers)
    assert _names(staging) == {image_id}
    assert catalog.get_image(image_id).status == "uploading"


def test_copies_survive_in_a_store_that_was_made_the_staging_directory(
    catalog: Catalog, staging: Staging, leftovers: OrphanFiles
) -> None:
    _fill(staging, STALE)
    location = Location(url=(staging.directory / STALE).as_uri(), store="s1")
    catalog.create_image(
        ImageRecord(
            id=STALE, disk_format="raw", container_format="bare", status="active", locations=(location,)
        )
    )
    assert leftovers.find() == []
