"""The result of an import, for programs and for people."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from imageport.errors import ExitCode, ImageportError, PipelineInvalid
from imageport.events import CheckEvent, SourceEvent
from imageport.redaction import redact
from imageport.values import ImageRecord

StoreStatus = Literal["published", "failed", "discarded", "abandoned", "skipped"]


@dataclass
class StoreReport:
    """The result of the copy in one store."""

    status: StoreStatus = "skipped"
    location: str | None = None
    bytes_written: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True)
class StageReport:
    """The work of one hook of one step. Seconds are those of this step alone."""

    step: str
    hook: str
    seconds: float
    bytes_in: int
    bytes_out: int


@dataclass
class SourceReport:
    """The bytes that were read, and the checks that were made on them.

    Its digests are those that checks have found right, and those of the stored bytes when no step has changed them.
    """

    uri: str | None = None
    url: str | None = None
    failed: list[dict[str, str]] = field(default_factory=list)
    resumed: int = 0
    bytes_read: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    checks: list[dict[str, str]] = field(default_factory=list)

    def note(self, event: SourceEvent) -> None:
        """Note the url that the bytes come from, or that failed."""
        if event.error is None:
            self.url = event.message
        else:
            self.url = None
            self.failed.append({"url": event.message, "error": event.error})


@dataclass
class Report:
    """The result of one import; ``as_dict`` is the last line of ``run --json``."""

    status: Literal["success", "failure"] = "failure"
    task_id: str | None = None
    image: ImageRecord | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    stores: dict[str, StoreReport] = field(default_factory=dict)
    source: SourceReport = field(default_factory=SourceReport)
    digests: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stages: list[StageReport] = field(default_factory=list)
    waited_for: dict[str, float] = field(default_factory=dict)
    error: ImageportError | None = None
    orphans: list[str] = field(default_factory=list)
    rolled_back: bool | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return ExitCode.SUCCESS if self.error is None else self.error.exit_code

    def hide(self, secrets: Collection[str]) -> None:
        """Replace each of *secrets* in the errors and in the urls of copies that are left behind."""
        if self.error is not None:
            self.error.message = redact(self.error.message, secrets)
            self.error.hint = redact(self.error.hint, secrets)
        for store in self.stores.values():
            store.error = store.error and redact(store.error, secrets)
        self.orphans = [redact(url, secrets) for url in self.orphans]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "type": "report",
            "status": self.status,
            "task_id": self.task_id,
            "image": self.image.as_dict() if self.image else None,
            "plan": dict(self.plan),
            "stores": {label: asdict(store) for label, store in self.stores.items()},
            "source": asdict(self.source),
            "digests": self.digests,
            "seconds": round(self.seconds, 3),
            "stages": [asdict(stage) for stage in self.stages],
            "waited_for": self.waited_for,
            "orphans": self.orphans,
            "rolled_back": self.rolled_back,
            "error": error_dict(self.error) if self.error else None,
        }


def check_dict(check: CheckEvent) -> dict[str, str]:
    """Return *check* as one of the checks in the report; only some of them have a digest and a signer."""
    known = {"digest": check.digest, "signer": check.signer}
    return {"name": check.message, "verdict": check.verdict} | {
        name: value for name, value in known.items() if value is not None
    }


def error_dict(error: ImageportError) -> dict[str, Any]:
    """Return *error* as the object under ``error`` in reports; ``problems`` are the mistakes of a file."""
    problems = error.problems if isinstance(error, PipelineInvalid) else ()
    return {
        "code": error.code,
        "step": error.step,
        "store": error.store,
        "message": error.message,
        "hint": error.hint,
        "problems": [asdict(problem) for problem in problems],
    }
