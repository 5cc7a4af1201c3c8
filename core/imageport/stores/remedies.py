"""Remedies for the errors by which a store, its library or the operating system reports a failure."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from imageport.errors import StoreFailed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """The remedy of an error after which another attempt may succeed; calling it adds a hint."""

    hint: str = ""

    def __call__(self, hint: str) -> Retry:
        """Return the same remedy with *hint*."""
        return Retry(hint)


#: The remedy of a passing error: ``retry``, or ``retry("check that the server answers")``.
retry: Final = Retry()

#: The remedy of an error: a hint, ``retry``, or a function of the error that returns a hint or the whole failure.
Remedy = str | Retry | Callable[[Any], str | StoreFailed]

#: A table of errors, each with its remedy: ``errors`` of a store. A class stands for itself, or for its full name:
#: ``"openstack.exceptions.HttpException"`` does not import a library that takes long.
Errors = Mapping[type[Exception] | str, Remedy]


def remedy_for(error: BaseException, table: Errors) -> Remedy | None:
    """Return the remedy of the class of *error* in *table*, or of its nearest base; None when none is there."""
    for kind in type(error).__mro__:
        for key in (kind, f"{kind.__module__}.{kind.__qualname__}"):
            if key in table:
                return table[key]
    return None


def explained(error: Exception, remedy: Remedy, place: str) -> StoreFailed:
    """Return the failure that a user reads for *error*, which came up while *place* was used."""
    answer = _answer(error, remedy, place)
    if isinstance(answer, StoreFailed):
        return answer
    hint = answer.hint if isinstance(answer, Retry) else answer
    return StoreFailed(f"cannot use {place}: {reason(error)}", hint=hint, retry=isinstance(answer, Retry))


def _answer(error: Exception, remedy: Remedy, place: str) -> str | Retry | StoreFailed:
    of_system = remedy is system_hint
    if of_system:
        return system_hint(error, place) if isinstance(error, OSError) else ""
    if isinstance(remedy, (str, Retry)):
        return remedy
    try:
        return remedy(error)
    except Exception:
        # The failure of the store is the one to report.
        log.warning("the remedy for %s raised an error", type(error).__name__, exc_info=True)
        return ""


def reason(error: BaseException) -> str:
    """Return the text of *error* without its number, or the name of its class where it has none."""
    text = error.strerror if isinstance(error, OSError) else ""
    return text or str(error) or type(error).__name__


def system_hint(error: OSError, place: str = "the store") -> str:
    """Return the hint for *error* of the operating system; *place* is a folder or the url of a copy."""
    full = f"free space for {place} (disk or quota is full), then import again"
    rights = f"let the user with id {os.geteuid()} write to {place}"
    obstacle = f"remove or rename the file in the way of {place}"
    network = f"check the network between this machine and {place}, then import again"
    hints = {
        errno.ENOSPC: full,
        errno.EDQUOT: full,
        errno.EACCES: rights,
        errno.EPERM: rights,
        errno.EROFS: f"{place} is mounted read-only: remount it, or use another directory",
        errno.EEXIST: obstacle,
        errno.ENOTDIR: obstacle,
        errno.EFBIG: f"the file system of {place} or a limit of this process allows no file this large",
        errno.ENOENT: "another process removed the copy; import the image again",
        errno.EXDEV: f"{place} is on another disk than before: mount it as it was, then import again",
        errno.ENETUNREACH: network,
        errno.EHOSTUNREACH: network,
        errno.ESTALE: f"mount the file system of {place} again, then import again",
    }
    return hints.get(error.errno or 0, f"check the disk and file system of {place}")


#: The remedies of every store. The one of the operating system knows the place as well.
SYSTEM: Final[Errors] = {
    ConnectionError: retry("check that the server of the store runs and answers, then import again"),
    TimeoutError: retry("check that the server of the store answers, then import again"),
    OSError: system_hint,
}
