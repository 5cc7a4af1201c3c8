"""The events of an import: one class for each family of kinds, with the fields that these kinds have.

An observer receives an :data:`Event`. Type checkers know from ``event.kind`` which fields there are::

    if event.kind == "task.failure":
        print(event.error)

Steps and stores send ``progress``, ``check`` and ``source``, through the methods of their context; Imageport fills in
their name. All other kinds are sent by Imageport alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from imageport.values import ImageRecord

__all__ = [
    "CheckEvent",
    "Event",
    "ImageEvent",
    "ImageKind",
    "ProgressEvent",
    "ReportEvent",
    "SourceEvent",
    "StepEvent",
    "TaskEvent",
    "TaskKind",
]

#: Kinds of events in the life of a task.
TaskKind: TypeAlias = Literal["task.create", "task.processing", "task.success", "task.failure"]

#: Kinds of events in the life of an image, which Glance sends as notifications.
ImageKind: TypeAlias = Literal[
    "image.create", "image.update", "image.prepare", "image.upload", "image.activate", "image.delete"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Event:
    """Fields of all events: ``at`` is in seconds since the epoch; outside of imports ``task_id`` is empty."""

    kind: str
    at: float = field(default_factory=time.time)
    task_id: str = ""
    image_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain values, ready for JSON; ``type`` is its kind, ``at`` is in ISO 8601.

        Fields without a value are left out. The event ``report`` is the report itself.
        """
        plain: dict[str, Any] = {
            "type": self.kind,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds"),
        }
        for item in fields(self):
            if item.name not in ("kind", "at") and (value := getattr(self, item.name)) not in (None, ""):
                plain[item.name] = value.as_dict() if isinstance(value, ImageRecord) else value
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent(_Event):
    """The task of an import changed its status.

    ``task.failure`` has the ``error``, and the ``step`` or ``store`` that failed if it is known.
    """

    kind: TaskKind
    step: str | None = None
    store: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEvent(_Event):
    """An image changed; ``record`` is its present state.

    * ``image.create``, ``image.update``, ``image.delete``: by an import, or by ``images create``, ``set``, ``stage``
      and ``delete``. Only the observers of the site file receive those outside of imports.
    * ``image.prepare``: the copy in ``store`` is published next; ``image.upload``: it is published, or with ``error``
      it is not.
    * ``image.activate``: users can use the image from now on.
    """

    kind: ImageKind
    store: str | None = None
    error: str | None = None
    record: ImageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(_Event):
    """The hook that ``message`` names is called on ``step``, or has returned."""

    kind: Literal["step.start", "step.end"]
    step: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent(_Event):
    """``done`` bytes of ``total`` (None when unknown) have passed ``lane``.

    A lane is the label of a step, the id of a ``store``, ``staging``, or ``digests`` for those that no step makes.
    ``waits`` names the slowest part since the last event: a step (the first is the source), a store, a
    digest or ``inspection``, or None.
    """

    kind: Literal["progress"] = "progress"
    store: str | None = None
    lane: str
    done: int
    total: int | None = None
    waits: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEvent(_Event):
    """``step`` has made the verification that ``message`` names.

    ``digest`` is that of all bytes which the step has seen, as ``sha256:<hexadecimal>``; ``signer`` is the owner of
    the trusted signature on these bytes, if there is one.
    """

    kind: Literal["check"] = "check"
    step: str
    message: str
    verdict: Literal["passed", "failed"]
    digest: str | None = None
    signer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEvent(_Event):
    """The bytes come from the url in ``message``; with ``error``, they did not, and another url or try follows."""

    kind: Literal["source"] = "source"
    step: str | None
    message: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvent(_Event):
    """The import is over; ``detail`` is its report."""

    kind: Literal["report"] = "report"
    detail: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the report."""
        return dict(self.detail)


#: An event that an observer receives, of one of the classes in ``imageport.events``. Its ``kind`` decides which
#: fields it has; the page about the report and the events lists them. ``as_dict()`` returns it as ``run --json``
#: prints it.
Event: TypeAlias = TaskEvent | ImageEvent | StepEvent | ProgressEvent | CheckEvent | SourceEvent | ReportEvent
