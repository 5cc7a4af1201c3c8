"""Every move between statuses: the allowed ones work, all others are refused by the catalog itself."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any, get_args

import pytest

from imageport.catalog import Catalog, Lease
from imageport.catalog.lifecycle import IMAGE_MOVES, TASK_MOVES, TaskStatus, require_task_move
from imageport.errors import Conflict
from imageport.values import ImageRecord, ImageStatus

#: What Glance allows around imports.
WANTED = {
    "queued": {"uploading", "importing", "saving", "active", "deleted"},
    "uploading": {"importing", "queued", "deleted"},
    "importing": {"active", "queued", "deleted"},
    "active": {"deactivated", "deleted", "pending_delete"},
    "saving": {"deleted"},
    "deactivated": {"deleted"},
    "pending_delete": {"deleted"},
    "deleted": set(),
}


def test_the_table_matches_the_contract() -> None:
    assert {status: set(moves) for status, moves in IMAGE_MOVES.items()} == WANTED
    assert set(IMAGE_MOVES) == set(get_args(ImageStatus))


@pytest.mark.parametrize(("before", "after"), list(itertools.product(sorted(WANTED), repeat=2)))
def test_an_image_moves_as_the_table_allows_and_no_other_way(
    catalog: Catalog, before: Any, after: Any
) -> None:
    image = catalog.create_image(_image(before, size=5, virtual_size=7))
    if before == after or after in WANTED[before]:
        moved = catalog.update_image(image.id, status=after)
        cleared = after == "queued"
        assert (moved.status, moved.size) == (after, None if cleared else 5)
        assert moved.virtual_size == (None if cleared else 7)
    else:
        with pytest.raises(Conflict, match=f"is {before} and cannot become {after}"):
            catalog.update_image(image.id, status=after)
        assert catalog.get_image(image.id).status == before


@pytest.mark.parametrize("missing", ["disk_format", "container_format"])
@pytest.mark.parametrize("after", ["importing", "active"])
def test_both_formats_are_needed_to_become(catalog: Catalog, after: str, missing: str) -> None:
    image = catalog.create_image(_image("queued", **{missing: None}))
    with pytest.raises(Conflict, match=f"has no {missing}, so it cannot become {after}"):
        catalog.update_image(image.id, status=after)
    formats: dict[str, Any] = {missing: "bare"}
    assert catalog.update_image(image.id, status=after, **formats).status == after


@pytest.mark.parametrize(("before", "after"), list(itertools.product(sorted(TASK_MOVES), repeat=2)))
def test_a_task_moves_as_the_table_allows_and_no_other_way(before: TaskStatus, after: TaskStatus) -> None:
    allowed = {"pending": {"processing", "failure"}, "processing": {"success", "failure"}}
    if after in allowed.get(before, set()):
        require_task_move("a-task", before, after)
    else:
        with pytest.raises(Conflict, match=f"task a-task is {before} and cannot become {after}"):
            require_task_move("a-task", before, after)


def test_a_task_is_pending_until_its_work_begins_and_never_restarts(
    catalog: Catalog, begin: Callable[..., Lease]
) -> None:
    image = catalog.create_image(_image("queued"))
    lease = catalog.begin_import(
        image.id, starts_from={"queued"}, request={}, owner="alice", targets=["fast"], lease_seconds=60
    )
    assert catalog.get_task(lease.task_id).status == "pending"
    lease.start()
    assert catalog.get_task(lease.task_id).status == "processing"
    with pytest.raises(Conflict, match="is processing and cannot become processing"):
        lease.start()


def _image(status: Any, **changes: Any) -> ImageRecord:
    formats = {"disk_format": "raw", "container_format": "bare"}
    return ImageRecord(id=str(uuid.uuid4()), status=status, **(formats | changes))
