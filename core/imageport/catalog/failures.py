"""Hints for failures of the database: one for each cause that its driver reports."""

from __future__ import annotations

import sqlite3
from types import MappingProxyType

from sqlalchemy.exc import DataError, DBAPIError

from imageport.errors import ImageportError, UsageError

_DISK_FULL = "make room on the disk of the catalog, then try again"
_OTHER_TABLES = (
    "the tables of the catalog were changed by hand or by another program: restore a backup, or name another "
    "database under 'catalog:' in the site file"
)
_NOT_PERMITTED = "let this user read and write the file of the catalog and its folder"
_DAMAGED = "the file of the catalog is damaged: restore a backup"
_SERVER = "check that the server of the database runs, and its address under 'catalog:' in the site file"
_RIGHTS = "check user and password of the catalog, and what that user may do in the database"
_BUSY = "look for a process that was stopped while it wrote; PostgreSQL bears more imports at a time"

#: By the primary result code, https://www.sqlite.org/rescode.html
_SQLITE = MappingProxyType(
    {
        sqlite3.SQLITE_ERROR: _OTHER_TABLES,
        sqlite3.SQLITE_CONSTRAINT: _OTHER_TABLES,
        sqlite3.SQLITE_MISMATCH: _OTHER_TABLES,
        sqlite3.SQLITE_PERM: _NOT_PERMITTED,
        sqlite3.SQLITE_READONLY: _NOT_PERMITTED,
        sqlite3.SQLITE_CANTOPEN: _NOT_PERMITTED,
        sqlite3.SQLITE_FULL: _DISK_FULL,
        sqlite3.SQLITE_IOERR: "check the disk of the catalog and the log of the system",
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_NOTADB: "name the file of a catalog, or a new one, under 'catalog:' in the site file",
        sqlite3.SQLITE_BUSY: _BUSY,
        sqlite3.SQLITE_LOCKED: _BUSY,
    }
)

#: By the longest beginning of the code, https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRESQL = MappingProxyType(
    {
        "08": _SERVER,
        "23": _OTHER_TABLES,
        "28": _RIGHTS,
        "3D000": "make the database first: createdb NAME",
        "42": _OTHER_TABLES,
        "42501": _RIGHTS,
        "53": "the server of the database lacks memory or connections: try again, or raise its limits",
        "53100": _DISK_FULL,
        "55P03": _BUSY,
        "57P": _SERVER,
    }
)


class Busy(sqlite3.OperationalError):
    """Other processes kept the right to write for too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"others have been writing to it for {seconds} s")


class CommitUnknown(ImageportError):
    """The connection died during a commit, and whether the change was made cannot be found out.

    The change counts as possible: what it may have published is not removed until it is confirmed to be hidden.
    """


def opening_failed(error: Exception, shown: str) -> UsageError:
    """Return the error for a catalog, *shown* without its password, that cannot be opened."""
    return UsageError(f"the catalog {shown} cannot be opened: {_reason(error)}", hint=_hint(error))


def use_failed(error: Exception, shown: str) -> ImageportError:
    """Return the error for a catalog that is open and fails."""
    if isinstance(error, DataError | UnicodeError | OverflowError):
        return UsageError(
            f"the catalog cannot keep this value: {_reason(error)}",
            hint="give shorter or smaller values, without control characters",
        )
    if isinstance(error, Busy):
        return ImageportError(f"the catalog {shown} is busy: {error}", hint=_BUSY)
    return ImageportError(f"the catalog {shown} failed: {_reason(error)}", hint=_hint(error))


def commit_unknown(error: Exception, shown: str) -> CommitUnknown:
    """Return the error for a commit that was not answered."""
    return CommitUnknown(
        f"the catalog {shown} did not confirm a change, which may have been made or not: {_reason(error)}",
        hint=f"{_SERVER}; then run 'imageport gc', and look at the image with 'imageport images show'",
    )


def _hint(error: Exception) -> str:
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_BUSY if isinstance(cause, Busy) else 0)
        return _SQLITE.get(code & 0xFF, "check the file of the catalog")
    if isinstance(cause, OSError):
        return _NOT_PERMITTED
    state = getattr(cause, "sqlstate", None) or "08"
    known = [beginning for beginning in _POSTGRESQL if state.startswith(beginning)]
    return _POSTGRESQL[max(known, key=len)] if known else "look at the log of the server of the database"


def _reason(error: Exception) -> str:
    return " ".join(str(_cause(error)).split())


def _cause(error: Exception) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
