"""A file that appears under its name when it is complete, and that is recognised again later."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from imageport import StoreFailed

_ATTRIBUTE = "user.imageport.mark"


class PartialFile:
    """A file being written, without a name where the file system can do that, else with a hidden one.

    *mark* comes from ``new_mark`` and must be used once. The caller writes to ``descriptor``.
    """

    def __init__(self, final: Path, mark: str) -> None:
        self._final = final
        self._mark = mark
        self._named: Path | None = None
        try:
            self.descriptor = os.open(final.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
            self._named = hidden_name(final, mark)
            self.descriptor = os.open(self._named, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._has_attribute = _set_attribute(self.descriptor, mark)

    def finish(self, length: int, mode: int) -> None:
        """Give the file its *length* in bytes, its permissions whatever the umask, and its mark; make it durable.

        Raises ``OSError``, and ``StoreFailed`` where marks do not last.
        """
        os.ftruncate(self.descriptor, length)
        os.fchmod(self.descriptor, mode)
        os.utime(self.descriptor, ns=(int(self._mark), int(self._mark)))
        os.fsync(self.descriptor)
        if not self._has_attribute and os.fstat(self.descriptor).st_mtime_ns != int(self._mark):
            raise StoreFailed(
                f"the file system of {self._final.parent} keeps neither exact times nor extended attributes",
                hint="use a directory on a Linux file system",
            )

    def publish(self) -> None:
        """Give the file its name, which must be free, and make the name durable."""
        try:
            if self._named:
                os.link(self._named, self._final)
            else:
                self._link_nameless()
            _sync_directory(self._final.parent)
        finally:
            self.discard()

    def _link_nameless(self) -> None:
        """Call linkat(2) with AT_SYMLINK_FOLLOW, which Python does only when a directory is given by descriptor."""
        descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(str(self.descriptor), self._final, src_dir_fd=descriptors, follow_symlinks=True)
        finally:
            os.close(descriptors)

    def discard(self) -> None:
        """Close the file and remove its provisional name."""
        os.close(self.descriptor)
        if self._named:
            self._named.unlink(missing_ok=True)


def new_mark() -> str:
    """Return a mark for one file: the time now in nanoseconds, in whole microseconds as not all disks keep more."""
    return str(time.time_ns() // 1000 * 1000)


def hidden_name(final: Path, mark: str) -> Path:
    """Return where the file with that mark is before it is published, if it has a name at all."""
    return final.with_name(f".{final.name}.{mark}.partial")


def has_mark(path: Path, mark: str) -> bool:
    """Whether the file at *path* is the one that was written with *mark*, even if somebody has changed it since.

    An extended attribute survives changes, the modification time survives copying to another disk; either will do.
    """
    try:
        if path.lstat().st_mtime_ns == int(mark):
            return True
    except FileNotFoundError:
        return False
    try:
        return os.getxattr(path, _ATTRIBUTE, follow_symlinks=False) == mark.encode()
    except OSError:
        return False


def _set_attribute(descriptor: int, mark: str) -> bool:
    try:
        os.setxattr(descriptor, _ATTRIBUTE, mark.encode())
    except OSError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
