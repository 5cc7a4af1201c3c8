"""Notify other programs about images and tasks, in the way of OpenStack Glance."""

from __future__ import annotations

import json
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator

from imageport import Context, Event, Plugin, PluginConfig, hookimpl
from imageport.events import ImageEvent, ReportEvent, TaskEvent
from imageport_builtin.jsonl import append_line
from imageport_glance.notification_payloads import TASK_STATUS, failure_payload, image_payload, task_payload


class NotificationsConfig(PluginConfig):
    """Options of the notifications."""

    path: Path | None = Field(
        default=None, description="File to append the notifications to, as lines of JSON."
    )
    url: str | None = Field(default=None, description="Webhook to post each notification to.")
    log: bool = Field(
        default=False, description="Whether to write them to the Python log, level INFO; --debug shows it."
    )
    format: Literal["cloudevents", "glance"] = Field(
        default="cloudevents",
        description="Format for the webhook: CloudEvents 1.0 in structured mode, or the envelope of Glance.",
    )
    publisher_id: str = Field(
        default_factory=lambda: f"image.{socket.gethostname()}",
        min_length=1,
        description="Publisher id of the notifications.",
    )
    disabled_notifications: frozenset[str] = Field(
        default=frozenset(), description="Types to leave out, such as image.prepare, or task for all task.*."
    )

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if [self.path is not None, self.url is not None, self.log].count(True) != 1:
            raise ValueError("give one of path, url and log")
        if self.format != "cloudevents" and self.url is None:
            raise ValueError("format is only used together with url")
        return self


class Notifications(Plugin[NotificationsConfig]):
    """Send the notifications of Glance (``image.upload``, ``task.success`` and so on) to a file or a webhook.

    File and log get Glance's envelope: message_id, event_type, priority, publisher_id, timestamp and payload. The
    webhook gets the same as a CloudEvent, whose type is ``org.openstack.glance.image.upload`` and so on, with the id
    of the image as subject, the publisher as source, the payload as data, and the extension attribute ``priority``.

    An image that a store could not take is reported as ``image.upload`` with the priority ERROR and a payload of
    image_id, backend, step and reason; ``task.failure`` has these beside the fields of the task. Everything else is
    INFO. Locations are never sent.
    """

    stability = "stable"

    def __init__(self, config: NotificationsConfig) -> None:
        super().__init__(config)
        self._began: float | None = None

    @hookimpl
    def on_progress(self, event: Event, ctx: Context) -> None:
        """Send *event*, if Glance has a notification for it. Raises when file or webhook fail."""
        # Glance sends task.run when the run returns, and only after a success.
        succeeded = isinstance(event, ReportEvent) and event.detail["status"] == "success"
        kind = "task.run" if succeeded else event.kind
        payload = self._payload(kind, event, ctx)
        disabled = self.config.disabled_notifications
        if payload is None or kind in disabled or kind.partition(".")[0] in disabled:
            return
        priority = "ERROR" if isinstance(event, ImageEvent) and event.error else "INFO"
        self._send(_Notification(kind, priority, event, payload), ctx)

    def _payload(self, kind: str, event: Event, ctx: Context) -> dict[str, Any] | None:
        if (isinstance(event, TaskEvent) and kind in TASK_STATUS) or (
            isinstance(event, ReportEvent) and kind == "task.run"
        ):
            self._began = self._began or event.at
            return task_payload(event, kind, ctx.caller, self._began)
        if isinstance(event, ImageEvent):
            return failure_payload(event) if event.error else image_payload(event)
        return None

    def _send(self, notification: _Notification, ctx: Context) -> None:
        config = self.config
        if config.url is not None and config.format == "cloudevents":
            cloud_event = notification.cloud_event(config.publisher_id)
            ctx.http.post_json(config.url, cloud_event, content_type="application/cloudevents+json")
        elif config.url is not None:
            ctx.http.post_json(config.url, notification.envelope(config.publisher_id))
        elif config.path is not None:
            append_line(config.path, notification.envelope(config.publisher_id))
        else:
            ctx.log.info("%s", json.dumps(notification.envelope(config.publisher_id)))


class _Notification:
    """One notification, to be put in an envelope."""

    def __init__(self, kind: str, priority: str, event: Event, payload: dict[str, Any]) -> None:
        self._id = str(uuid.uuid4())
        self._kind = kind
        self._priority = priority
        self._event = event
        self._time = datetime.fromtimestamp(event.at, UTC)
        self._payload = payload

    def envelope(self, publisher_id: str) -> dict[str, Any]:
        """Return it as Glance sends it, through oslo.messaging."""
        return {
            "message_id": self._id,
            "event_type": self._kind,
            "priority": self._priority,
            "publisher_id": publisher_id,
            "timestamp": str(self._time.replace(tzinfo=None)),
            "payload": self._payload,
        }

    def cloud_event(self, publisher_id: str) -> dict[str, Any]:
        """Return it in the JSON format of CloudEvents 1.0."""
        return {
            "specversion": "1.0",
            "id": self._id,
            # CloudEvents wants a URI-reference here, and a publisher may be any text.
            "source": quote(publisher_id, safe="/:@"),
            "type": f"org.openstack.glance.{self._kind}",
            "subject": self._event.image_id,
            "time": self._time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "priority": self._priority,
            "data": self._payload,
        }
