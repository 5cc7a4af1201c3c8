"""What Glance's notifications say about images and tasks: the fields of their payloads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from imageport import Caller, Event, ImageRecord

#: The events that are notifications, and the status of the task in those about tasks.
IMAGE_EVENTS = frozenset(
    {"image.create", "image.update", "image.prepare", "image.upload", "image.activate", "image.delete"}
)
TASK_STATUS = {
    "task.create": "pending",
    "task.processing": "processing",
    "task.success": "success",
    "task.failure": "failure",
    "task.run": "success",
}

_STORE_EVENTS = frozenset({"image.prepare", "image.upload"})
_STORE_LISTS = ("os_glance_importing_to_stores", "os_glance_failed_import")


def image_payload(event: Event, record: ImageRecord) -> dict[str, Any]:
    """Return the payload of a notification about *record*, without its locations."""
    is_deleted = event.kind == "image.delete"
    payload: dict[str, Any] = {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "created_at": _time(record.created_at),
        "updated_at": _time(record.updated_at),
        "min_disk": record.min_disk,
        "min_ram": record.min_ram,
        "protected": record.protected,
        "checksum": record.checksum,
        "owner": record.owner,
        "disk_format": record.disk_format,
        "container_format": record.container_format,
        "size": record.size,
        "virtual_size": record.virtual_size,
        "is_public": record.visibility == "public",
        "visibility": record.visibility,
        "properties": dict(record.properties),
        "tags": list(record.tags),
        "deleted": is_deleted,
        "deleted_at": _time(datetime.fromtimestamp(event.at, UTC)) if is_deleted else None,
    }
    if event.kind in _STORE_EVENTS:
        payload["backend"] = event.store
        for name in _STORE_LISTS:
            payload[name] = [store for store in record.properties.get(name, "").split(",") if store]
    return payload


def task_payload(event: Event, kind: str, caller: Caller, began: float) -> dict[str, Any]:
    """Return the payload of notification *kind* about the task of *event*; *began* is seconds since the epoch."""
    payload: dict[str, Any] = {
        "id": event.task_id,
        "type": "api_image_import",
        "status": TASK_STATUS[kind],
        "owner": caller.owner,
        "created_at": _time(datetime.fromtimestamp(began, UTC)),
        "updated_at": _time(datetime.fromtimestamp(event.at, UTC)),
        # Glance withholds these: they may hold addresses and credentials.
        "input": None,
        "result": None,
        "message": None,
        "deleted": False,
        "deleted_at": None,
    }
    return {**payload, **failure_payload(event)} if event.error else {**payload, "image_id": event.image_id}


def failure_payload(event: Event) -> dict[str, Any]:
    """Return which image, store and step failed, and why."""
    return {"image_id": event.image_id, "backend": event.store, "step": event.step, "reason": event.error}


def _time(moment: datetime | None) -> str | None:
    """Write *moment* as Glance does, in UTC and whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
