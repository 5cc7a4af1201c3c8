"""Tell other programs about images and tasks, in the way of OpenStack Glance."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from imageport import Context, Event, ImageRecord, Plugin, PluginConfig, hookimpl
from imageport_builtin.jsonl import append_line

_TASK_STATUS = {
    "task.create": "pending",
    "task.processing": "processing",
    "task.success": "success",
    "task.failure": "failure",
    "task.run": "success",
}
_IMAGE_EVENTS = frozenset({"image.update", "image.prepare", "image.upload", "image.activate"})
_STORE_EVENTS = frozenset({"image.prepare", "image.upload"})
_STORE_LISTS = ("os_glance_importing_to_stores", "os_glance_failed_import")


class NotificationsConfig(PluginConfig):
    """Options of the notifications."""

    path: Path | None = Field(default=None, description="File that they are appended to, as lines of JSON.")
    url: str | None = Field(default=None, description="Webhook that each one is posted to, as JSON.")
    publisher_id: str = Field(
        default_factory=lambda: f"image.{socket.gethostname()}", description="Who says so, in each of them."
    )
    disabled_notifications: frozenset[str] = Field(
        default=frozenset(), description="Types to leave out, such as image.prepare, or task for all task.*."
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path or url")
        return self


class Notifications(Plugin[NotificationsConfig]):
    """Send the notifications of Glance (``image.upload``, ``task.success`` and so on) to a file or a webhook.

    An envelope has event_type, priority, publisher_id, timestamp and payload. What failed has the priority ERROR
    and a payload of image_id, backend, step and reason; everything else is INFO. Locations are never told.
    """

    stability = "stable"

    @hookimpl
    def on_progress(self, event: Event, ctx: Context) -> None:
        """Send *event*, if Glance has a notification for it. Raises when file or webhook fail."""
        kind = "task.run" if event.kind == "report" and event.detail["status"] == "success" else event.kind
        disabled = self.config.disabled_notifications
        if kind in disabled or kind.partition(".")[0] in disabled:
            return
        payload = _payload(kind, event, ctx)
        if payload is None:
            return
        envelope = {
            "event_type": kind,
            "priority": "ERROR" if event.error else "INFO",
            "publisher_id": self.config.publisher_id,
            "timestamp": str(datetime.fromtimestamp(event.at, UTC).replace(tzinfo=None)),
            "payload": payload,
        }
        if self.config.path is not None:
            append_line(self.config.path, envelope)
        elif self.config.url is not None:
            ctx.http.post_json(self.config.url, envelope)


def _payload(kind: str, event: Event, ctx: Context) -> dict[str, Any] | None:
    failure = {
        "image_id": event.image_id, "backend": event.store, "step": event.step, "reason": event.error,
    }  # fmt: skip
    if kind in _TASK_STATUS:
        task = {
            "id": event.task_id,
            "type": "import",
            "status": _TASK_STATUS[kind],
            "image_id": event.image_id,
            "owner": ctx.caller.user,
        }
        return {**task, **failure} if event.error else task
    if kind not in _IMAGE_EVENTS or event.record is None:
        return None
    if event.error:
        return failure
    image = _image(event.record)
    if kind in _STORE_EVENTS:
        image["backend"] = event.store
        for name in _STORE_LISTS:
            image[name] = [store for store in event.record.properties.get(name, "").split(",") if store]
    return image


def _image(record: ImageRecord) -> dict[str, Any]:
    plain = record.as_dict()
    withheld = ("locations", "os_hash_algo", "os_hash_value")
    return {
        **{name: value for name, value in plain.items() if name not in withheld},
        "is_public": record.visibility == "public",
        "deleted": record.status == "deleted",
        "deleted_at": None,
    }
