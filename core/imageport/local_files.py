"""Files of this machine that may be imported by their path."""

from __future__ import annotations

import getpass
import os
import pwd
import subprocess
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from imageport.errors import SourceRejected
from imageport.values import Caller

__all__ = [
    "LocalFiles",
]

#: Succeeds for users who can read the file at the path $1, if that is the file $2.
_MAY_READ: Final = 'test -r "$1" && test "$1" -ef "$2"'


class LocalFiles:
    """The files that a caller may import: those in *folders*, or, if that is None, those that the caller may read.

    Whether the caller may read a file is decided by the system. Where this process may read more, because root runs it,
    *reader* is the account of the caller.
    """

    def __init__(self, folders: tuple[Path, ...] | None = None, reader: str | None = None) -> None:
        self.folders = folders
        self.reader = reader
        self._held: list[int] = []
        weakref.finalize(self, _close_all, self._held)

    @classmethod
    def of(cls, folders: Sequence[Path] | None, caller: Caller) -> LocalFiles:
        """Return the files that *caller* may import on a site whose ``local_paths`` are *folders* (None: not set).

        A remote caller has no files on this machine. When root acts for another account, the rights of that account
        count. Root in a session of another user (``su``) acts for itself.
        """
        if folders is None and caller.is_remote:
            return cls(())
        if folders is None and os.geteuid() == 0 and _is_other_account(caller.user):
            return cls(None, caller.user)
        return cls(None if folders is None else tuple(folders))

    def find(self, path: Path) -> Path:
        """Return where to open the file at *path*: the one that was checked, even if *path* is changed later.

        The result is valid as long as this object.
        Raises ``SourceRejected`` for a file that may not be imported, and for every path outside of the folders,
        whether there is a file or not; ``OSError`` when there is none.
        """
        if self.folders is None and self.reader is None:
            return path
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            self._require(Path(os.path.abspath(path)), path)  # noqa: PTH100 - links in it are not followed
            raise
        self._held.append(descriptor)
        # Not /proc/self: processes that unpack get the path, too.
        found = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        real = found.readlink()
        self._require(real, path)
        if self.reader is not None and not _may_read(self.reader, real, descriptor):
            raise SourceRejected(
                f"user {self.reader} may not read {path}",
                hint="import it without --user, or let that user read the file; local_paths in the site file lists "
                "folders from which every user may import",
            )
        return found

    def _require(self, real: Path, given: Path) -> None:
        """Raise ``SourceRejected`` unless *real* is in one of the folders."""
        if self.folders is None or any(real.is_relative_to(folder.resolve()) for folder in self.folders):
            return
        listed = ", ".join(map(str, self.folders))
        raise SourceRejected(
            f"{given} is not in a folder from which images may be imported",
            hint=f"local_paths in the site file lists {listed}"
            if listed
            else "name the folders that may be imported from under local_paths in the site file",
        )


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _is_other_account(user: str) -> bool:
    """Return whether *user* is an account that may do less than root, and not that of this session."""
    try:
        return pwd.getpwnam(user).pw_uid != 0 and user != getpass.getuser()
    except (KeyError, OSError):
        return False


def _may_read(user: str, path: Path, descriptor: int) -> bool:
    """Ask the system whether *user* may read the file of *descriptor* at *path*: every folder on the way counts."""
    account = pwd.getpwnam(user)
    asked = subprocess.run(
        ["/bin/sh", "-c", _MAY_READ, "sh", path, f"/proc/self/fd/{descriptor}"],
        check=False,
        cwd="/",
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[descriptor],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(user, account.pw_gid),
    )
    return asked.returncode == 0
