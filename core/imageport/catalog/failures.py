"""Errors of the catalog's database. The module of its driver has the hint for each."""

from __future__ import annotations

from imageport.errors import ImageportError, UsageError

DISK_FULL = "make room on the disk of the catalog, then try again"
OTHER_TABLES = (
    "the tables of the catalog were changed by hand or by another program: restore a backup, or name another "
    "database under 'catalog:' in the site file"
)
NOT_PERMITTED = "let this user read and write the file of the catalog and its folder"
SERVER = "check that the server of the database runs, and its address under 'catalog:' in the site file"
BUSY = "look for a process that was stopped while it wrote; PostgreSQL supports more imports at the same time"


class CommitUnknown(ImageportError):
    """The connection died during a commit, and whether the change was made cannot be found out.

    The change counts as possible: a copy that it may have published is removed only when it is confirmed to be hidden.
    """


def opening_failed(error: Exception, shown: str, hint: str) -> UsageError:
    """Return the error for a catalog, *shown* without its password, that cannot be opened."""
    return UsageError(f"the catalog {shown} cannot be opened: {_reason(error)}", hint=hint)


def use_failed(error: Exception, shown: str, hint: str) -> ImageportError:
    """Return the error for a catalog that is open and fails."""
    return ImageportError(f"the catalog {shown} failed: {_reason(error)}", hint=hint)


def value_unfit(error: Exception) -> UsageError:
    """Return the error for a value that the database cannot hold."""
    return UsageError(
        f"the catalog cannot keep this value: {_reason(error)}",
        hint="give shorter or smaller values, without control characters",
    )


def busy(seconds: float, shown: str) -> ImageportError:
    """Return the error for a catalog to which other processes have been writing for too long."""
    return ImageportError(
        f"the catalog {shown} is busy: others have been writing to it for {seconds} s", hint=BUSY
    )


def commit_unknown(error: Exception, shown: str) -> CommitUnknown:
    """Return the error for a commit that was not answered."""
    return CommitUnknown(
        f"the catalog {shown} did not confirm a change, which may have been made or not: {_reason(error)}",
        hint=f"{SERVER}; then run 'imageport gc', and look at the image with 'imageport images show'",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
