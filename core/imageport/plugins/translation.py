"""Translate the errors that leave a hook to those that a user reads."""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from typing import Any, Protocol

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.errors import ImageportError, LimitExceeded, SourceUnavailable, StepCrashed, TransformFailed
from imageport.plugin import Plugin
from imageport.redaction import redact
from imageport.stores.remedies import SYSTEM, explained, reason, remedy_for


class _Step(Protocol):
    """The plugin of one step, its label, and the distribution it came from."""

    @property
    def label(self) -> str: ...
    @property
    def distribution(self) -> str: ...
    @property
    def plugin(self) -> Plugin[Any]: ...
    @property
    def is_store(self) -> bool: ...
    @property
    def answers(self) -> Collection[str]: ...


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

#: Errors that show the state of the machine or of a server. All others show a defect of the code that raised them.
_OF_THE_MACHINE = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EMFILE,
        errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET,
        errno.ECONNABORTED, errno.EPIPE, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN,
    }
)  # fmt: skip


def of_store(error: BaseException, plugin: Plugin[Any], label: str) -> ImageportError | None:
    """Return the failure of a store that raised *error*, by its table; None for an error that is in no table."""
    own = getattr(plugin, "errors", None)
    table = {**SYSTEM, **own} if isinstance(own, Mapping) else SYSTEM
    remedy = remedy_for(error, table)
    if remedy is None or not isinstance(error, Exception):
        return None
    place = f"store '{label}'"
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)):
        name = error.filename
        place = name if isinstance(name, str) else name.decode(errors="replace")
    return explained(error, remedy, place)


def of_step(error: BaseException, hook: str, *, is_method: bool) -> ImageportError | None:
    """Return the failure of a method or step that raised *error* of the system; None for any other error."""
    if not isinstance(error, OSError):
        return None
    at = f" ({error.filename})" if isinstance(error.filename, str) else ""
    message = f"{hook} failed: {reason(error)}{at}"
    if error.errno in _FULL:
        hint = "free space there, or set staging.directory in the site file to a larger disk"
        return LimitExceeded(message, hint=hint)
    of_the_machine = error.errno in _OF_THE_MACHINE or isinstance(error, (ConnectionError, TimeoutError))
    if not of_the_machine:
        return None
    if is_method:
        return SourceUnavailable(message, hint="check the source and the way to it, then import again")
    return TransformFailed(
        message, hint="check the disk, the permissions and the servers that this step uses"
    )


def translated(error: BaseException, hook: str, step: _Step) -> ImageportError:
    """Return the error that a user reads about *error*, which *hook* of *step* has raised."""
    if step.is_store:
        failure = of_store(error, step.plugin, step.label)
    else:
        is_method = hook == "stage" or (hook == "its stream" and "stage" in step.answers)
        failure = of_step(error, hook, is_method=is_method)
    return failure or StepCrashed(
        f"{type(error).__name__} in {hook}: {error}",
        hint=f"this looks like a defect of {step.distribution}: report it to its authors",
    )


class _Blaming(Protocol):
    def blamed(self, error: BaseException, hook: str) -> ImageportError: ...


def file_of(store: _Blaming, data: ImageData) -> ImageData:
    """Return *data*, a file of *store*, whose chunks raise errors of the system as failures of the store."""

    def chunks() -> Chunks:
        try:
            yield from data.chunks()
        except OSError as error:
            raise store.blamed(error, "store_read") from error

    return ImageData(chunks, size=data.size, path=data.path, verified=data.verified)


def hide(error: ImageportError, secrets: Collection[str]) -> None:
    """Replace *secrets* in the texts of *error*."""
    if secrets:
        error.message = redact(str(error.message), secrets)
        error.hint = redact(str(error.hint), secrets)
        error.args = (error.message,)
