"""The payloads of Glance's notifications about images and tasks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from imageport import Caller
from imageport.events import ImageEvent, ReportEvent, TaskEvent

#: The status of the task in each notification about tasks.
TASK_STATUS = {
    "task.create": "pending",
    "task.processing": "processing",
    "task.success": "success",
    "task.failure": "failure",
    "task.run": "success",
}

_STORE_EVENTS = frozenset({"image.prepare", "image.upload"})
_STORE_LISTS = ("os_glance_importing_to_stores", "os_glance_failed_import")


def image_payload(event: ImageEvent) -> dict[str, Any]:
    """Return the payload of a notification about an image, without its locations."""
    record = event.record
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


def task_payload(event: TaskEvent | ReportEvent, kind: str, caller: Caller, began: float) -> dict[str, Any]:
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
    if isinstance(event, TaskEvent) and event.error:
        return {**payload, **failure_payload(event, event.step)}
    return {**payload, "image_id": event.image_id}


def failure_payload(event: ImageEvent | TaskEvent, step: str | None = None) -> dict[str, Any]:
    """Return the image, store and *step* that failed, and the reason."""
    return {"image_id": event.image_id, "backend": event.store, "step": step, "reason": event.error}


def _time(moment: datetime | None) -> str | None:
    """Write *moment* as Glance does, in UTC and whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
