"""Images in the catalog, while nothing is imported."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imageport.catalog import Catalog
from imageport.errors import Conflict, UsageError
from imageport.values import ImageRecord, Location

EVERYTHING: dict[str, Any] = {
    "name": "Debian 13 “trixie”",
    "status": "active",
    "disk_format": "qcow2",
    "container_format": "bare",
    "size": (1 << 40) + 1,
    "virtual_size": 1 << 50,
    "checksum": "d41d8cd98f00b204e9800998ecf8427e",
    "os_hash_algo": "sha512",
    "os_hash_value": "cf83e1357eefb8bd",
    "owner": "alice",
    "visibility": "public",
    "protected": True,
    "min_disk": 10,
    "min_ram": 512,
    "tags": ("cloud", "stable"),
    "properties": {"os_distro": "debian", "empty": ""},
    "locations": (
        Location(url="s3://images/1", store="far", metadata={"bucket": "images"}),
        Location(url="file:///srv/1", store="fast"),
    ),
    "created_at": datetime(2024, 5, 6, 7, 8, 9, 10, UTC),
    "updated_at": datetime(2025, 5, 6, 7, 8, 9, 10, UTC),
}


def test_every_field_comes_back_as_it_went_in(catalog: Catalog) -> None:
    record = ImageRecord(id=str(uuid.uuid4()), **EVERYTHING)
    assert catalog.create_image(record) == record
    assert catalog.get_image(record.id) == record


def test_an_id_can_be_used_once(catalog: Catalog, image: ImageRecord) -> None:
    with pytest.raises(Conflict, match=f"already an image {image.id}"):
        catalog.create_image(ImageRecord(id=image.id, name="other"))
    assert catalog.list_images() == [image]


def test_an_update_sets_what_is_named_and_nothing_else(catalog: Catalog) -> None:
    record = catalog.create_image(ImageRecord(id=str(uuid.uuid4()), **EVERYTHING))
    changed = catalog.update_image(
        record.id,
        properties={"os_distro": None, "os_version": "13", "gone": None},
        min_ram=1024,
        tags=["new"],
    )
    assert changed == record.evolve(
        min_ram=1024,
        tags=("new",),
        properties={"empty": "", "os_version": "13"},
        updated_at=changed.updated_at,
    )
    assert changed.updated_at is not None
    assert changed.updated_at > EVERYTHING["updated_at"]
    assert catalog.get_image(record.id) == changed


@pytest.mark.parametrize("field", ["id", "created_at", "locations", "min_rma"])
def test_only_fields_that_may_be_set_can_be_set(catalog: Catalog, image: ImageRecord, field: str) -> None:
    with pytest.raises(UsageError, match=f"'{field}' is not a field") as caught:
        catalog.update_image(image.id, name="other", **{field: None})  # type: ignore[arg-type]
    assert "min_ram" in caught.value.hint
    assert catalog.get_image(image.id) == image


def test_the_lock_cannot_be_set_or_removed_by_hand(catalog: Catalog, image: ImageRecord) -> None:
    with pytest.raises(UsageError, match="os_glance_import_task"):
        catalog.update_image(image.id, properties={"os_glance_import_task": None})
    with pytest.raises(UsageError, match="os_glance_import_task"):
        catalog.create_image(ImageRecord(id="new", properties={"os_glance_import_task": "mine"}))
    assert catalog.list_images() == [image]


def test_deleting_removes_the_image_with_all_that_belongs_to_it(catalog: Catalog) -> None:
    record = ImageRecord(id=str(uuid.uuid4()), **(EVERYTHING | {"protected": False}))
    catalog.create_image(record)
    copies = catalog.delete_image(record.id)
    assert [copy.location for copy in copies] == list(record.locations)
    assert catalog.hidden_copies() == copies
    assert catalog.list_images() == []
    bare = ImageRecord(id=record.id)
    assert catalog.create_image(bare).evolve(created_at=None, updated_at=None) == bare


def test_a_protected_image_cannot_be_deleted(catalog: Catalog) -> None:
    record = catalog.create_image(ImageRecord(id=str(uuid.uuid4()), **EVERYTHING))
    with pytest.raises(Conflict, match="is protected"):
        catalog.delete_image(record.id)
    assert catalog.list_images() == [record]


def test_a_status_changes_from_what_it_was_expected_to_be_or_not_at_all(
    catalog: Catalog, image: ImageRecord
) -> None:
    with catalog.changing_status(image.id, of=["queued", "uploading"], to="uploading"):
        pass
    wrong = catalog.changing_status(image.id, of=["queued"], to="active")
    with pytest.raises(Conflict, match="is uploading; putting data in staging needs it queued"), wrong:
        pytest.fail("the block must not be entered")
    broken = catalog.changing_status(image.id, of=["uploading"], to="queued")
    with pytest.raises(OSError, match="full"), broken:
        raise OSError("full")
    assert catalog.get_image(image.id).status == "uploading"


@pytest.mark.parametrize("call", ["get_image", "update_image", "delete_image", "find_image"])
def test_an_unknown_image_is_a_usage_error(catalog: Catalog, image: ImageRecord, call: str) -> None:
    with pytest.raises(UsageError, match=r"no image '?nothing"):
        getattr(catalog, call)("nothing")


def test_lists_show_the_newest_first_and_can_be_narrowed(catalog: Catalog) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    for day, (name, status) in enumerate([("a", "queued"), ("b", "active"), ("a", "active")]):
        catalog.create_image(
            ImageRecord(id=f"{day}", name=name, status=status, created_at=start + timedelta(days=day))  # type: ignore[arg-type]
        )
    assert [record.id for record in catalog.list_images()] == ["2", "1", "0"]
    assert [record.id for record in catalog.list_images(name="a")] == ["2", "0"]
    assert [record.id for record in catalog.list_images(status="active", name="a")] == ["2"]
    assert catalog.list_images(name="") == []


def test_an_image_is_found_by_id_beginning_of_id_and_name(catalog: Catalog, image: ImageRecord) -> None:
    catalog.create_image(ImageRecord(id="another-id", name="fedora"))
    assert catalog.find_image(image.id) == image
    assert catalog.find_image(image.id[:4]) == image
    assert catalog.find_image("debian") == image
    with pytest.raises(UsageError):
        catalog.find_image(image.id[:3])


def test_signs_that_mean_something_in_a_search_mean_nothing_in_a_name(
    catalog: Catalog, image: ImageRecord
) -> None:
    for name in ("____", "%%%%", "deb%", "' OR 1=1 --"):
        with pytest.raises(UsageError, match="no image"):
            catalog.find_image(name)


def test_an_ambiguous_name_lists_the_candidates(catalog: Catalog) -> None:
    for number in range(7):
        catalog.create_image(ImageRecord(id=f"abcd-{number}", name="debian"))
    catalog.create_image(ImageRecord(id="other", name="abcd"))
    with pytest.raises(UsageError, match=r"matches 7 images: abcd-.*\(debian\).* and 2 more"):
        catalog.find_image("debian")
    with pytest.raises(UsageError, match="matches 8 images"):
        catalog.find_image("abcd")
    assert catalog.find_image("abcd-3").id == "abcd-3"


def test_a_name_that_is_nearly_right_gets_a_suggestion(catalog: Catalog, image: ImageRecord) -> None:
    with pytest.raises(UsageError, match=r"no image 'debain' \(did you mean 'debian'\?\)"):
        catalog.find_image("debain")
