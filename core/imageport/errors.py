"""Errors, grouped by the next step of the runner.

::

    ImageportError
    ├── Refused                 nothing was moved; trying again unchanged is pointless
    │   ├── UsageError          exit 2   wrong option, unknown image, store or plugin
    │   │   ├── PipelineInvalid exit 2   every mistake of a YAML file, with positions
    │   │   ├── PluginBroken    exit 2   an installed plugin cannot be used
    │   │   └── NotAllowed      exit 2   the caller's roles do not permit it
    │   ├── SourceRejected      exit 3   the url, redirect or input is not permitted
    │   ├── Conflict            exit 7   wrong status, image locked, copy already there
    │   └── OverQuota           exit 7   the owner has, or would have, more than allowed
    ├── SourceUnavailable       exit 4   the source could not be read; ``retry`` is true if another try may help
    └── ImportFailed            exit 1   the import ran and is rolled back
        ├── TransformFailed     exit 1   a step could not do its work on this image
        ├── LimitExceeded       exit 1   a cap on bytes, ratio, members or time was reached
        ├── StepCrashed         exit 1   a plugin raised something that is not in this tree
        ├── VerificationFailed  exit 5   bytes or format differ from the expected ones
        │   └── UnsupportedFormat exit 5 the format is recognised, and cannot be imported
        ├── StoreFailed         exit 6   a store could not take or publish its copy
        ├── LockLost            exit 7   another import took over; this one must not touch the record
        └── Cancelled           exit 130 by signal or by ``tasks cancel``

Every error has a ``message`` about the cause and a ``hint`` about the next action. The step, the store and the
distribution that supplied the plugin are filled in by the caller of the hook, so plugins need not know their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

__all__ = [
    "Cancelled",
    "Conflict",
    "ExitCode",
    "ImageportError",
    "ImportFailed",
    "KeyPath",
    "LimitExceeded",
    "LockLost",
    "NotAllowed",
    "OverQuota",
    "PipelineInvalid",
    "PluginBroken",
    "Problem",
    "Refused",
    "SourceRejected",
    "SourceUnavailable",
    "StepCrashed",
    "StoreFailed",
    "TransformFailed",
    "UnsupportedFormat",
    "UsageError",
    "VerificationFailed",
]

#: The place of a value in a YAML file: keys of mappings and indexes of lists, from the top.
KeyPath = tuple[str | int, ...]


class ExitCode(IntEnum):
    """The exit codes of the ``imageport`` command."""

    SUCCESS = 0
    IMPORT_FAILED = 1
    USAGE = 2
    SOURCE_REJECTED = 3
    SOURCE_UNAVAILABLE = 4
    VERIFICATION_FAILED = 5
    STORE_FAILED = 6
    CONFLICT = 7
    INTERRUPTED = 130


class ImageportError(Exception):
    """An error meant to be read by a person; shown without a traceback."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[ExitCode] = ExitCode.IMPORT_FAILED
    #: The hint of an error that was raised without one.
    advice: ClassVar[str] = "look at the log of this import for what went before"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice
        self.step: str | None = None
        self.store: str | None = None
        self.distribution: str | None = None

    def __str__(self) -> str:
        return self.message

    def where(self) -> str:
        """Name the step or store, and who supplied it: ``step 'unpack' (acme-unpack 1.2)``."""
        label = f"store '{self.store}'" if self.store else f"step '{self.step}'" if self.step else ""
        return f"{label} ({self.distribution})" if label and self.distribution else label


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file: ``file:line:col: key: message``. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}:{self.line}:{self.column}:{key} {self.message}"


class Refused(ImageportError):
    """Nothing was moved, and trying again unchanged is pointless."""

    code = "refused"
    exit_code = ExitCode.USAGE
    advice = "look at 'imageport --help' and the reference"


class UsageError(Refused):
    """The command, an option or a name given to it is wrong."""

    code = "usage"


class PipelineInvalid(UsageError):
    """A YAML file has mistakes; ``problems`` lists every one of them."""

    code = "pipeline-invalid"
    advice = "correct the file at the reported position; 'imageport validate' checks it without running it"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PluginBroken(UsageError):
    """An installed plugin cannot be imported, or two distributions claim its name."""

    code = "plugin-broken"


class NotAllowed(Refused):
    """The caller's roles do not permit this."""

    code = "not-allowed"


class SourceRejected(Refused):
    """The source, or a redirect of it, is not permitted."""

    code = "source-rejected"
    exit_code = ExitCode.SOURCE_REJECTED
    advice = "choose another source, or permit this one in the pipeline"


class Conflict(Refused):
    """The image's status or lock does not permit this now."""

    code = "conflict"
    exit_code = ExitCode.CONFLICT
    advice = "look at the image with 'imageport images show'"


class OverQuota(Refused):
    """The owner of the image has, or would have, more than a quota allows."""

    code = "over-quota"
    exit_code = ExitCode.CONFLICT
    advice = "delete what is not needed, or raise the quota in the site file"


class SourceUnavailable(ImageportError):
    """The source could not be read; ``retry`` is true when another try may succeed.

    ``status`` is the status of the HTTP answer, or None when there was no answer or no such server; ``retry_after`` is
    for how many seconds it asked to be left alone.
    """

    code = "source-unavailable"
    exit_code = ExitCode.SOURCE_UNAVAILABLE
    advice = "check the address and the network, then run the command again"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry = retry
        self.status = status
        self.retry_after = retry_after


class ImportFailed(ImageportError):
    """The import ran, failed, and was rolled back."""

    code = "import-failed"


class TransformFailed(ImportFailed):
    """A step could not do its work on this image."""

    code = "transform-failed"
    advice = "look at the image and the options of the step with 'imageport plugins show'"


class LimitExceeded(ImportFailed):
    """A cap on bytes, expansion, members or time was reached."""

    code = "limit-exceeded"


class StepCrashed(ImportFailed):
    """A plugin raised an error outside of this tree; the cause is chained."""

    code = "step-crashed"


class VerificationFailed(ImportFailed):
    """Bytes, digest or format differ from the expected ones; ``retry`` is true when fetching them again may help."""

    code = "verification-failed"
    exit_code = ExitCode.VERIFICATION_FAILED
    advice = "get the image again, from a source you trust"

    def __init__(self, message: str, *, hint: str = "", retry: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retry = retry


class UnsupportedFormat(VerificationFailed):
    """The file is recognised and whole, but its format, method or filter cannot be read; the hint names a way out."""

    code = "unsupported-format"
    advice = "convert or unpack the file before the import"


class StoreFailed(ImportFailed):
    """A store could not take, publish or read a copy; ``retry`` is true when the same call may succeed in a moment."""

    code = "store-failed"
    exit_code = ExitCode.STORE_FAILED
    advice = "check the store, then import again"

    def __init__(self, message: str, *, hint: str = "", retry: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.retry = retry


class LockLost(ImportFailed):
    """Another import took the image over; this one must not touch the record any more."""

    code = "lock-lost"
    exit_code = ExitCode.CONFLICT


class Cancelled(ImportFailed):
    """The import was interrupted by a signal or by ``imageport tasks cancel``."""

    code = "cancelled"
    exit_code = ExitCode.INTERRUPTED
