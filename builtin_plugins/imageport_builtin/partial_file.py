"""A file that appears under its name when it is complete, and that is recognised again later.

Complete, it gets a hidden name with its mark; published, it moves from there to its own. Removing the hidden name
fences off the writer: a process that was stopped meanwhile cannot publish its file any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from pathlib import Path
from typing import Self

from imageport import StoreFailed

_ATTRIBUTE = "user.imageport.mark"

#: Share the blocks of another file (ioctl_ficlone(2)); each file keeps its own when one is written to.
_FICLONE = 0x40049409


class PartialFile:
    """A file being written, without a name where the file system can do that, else with a hidden one.

    *mark* comes from ``new_mark`` and must be used once. The caller writes to ``descriptor``.
    """

    def __init__(self, final: Path, mark: str, descriptor: int, named: Path | None) -> None:
        self._final = final
        self._mark = mark
        self._named = named
        self._cloned: tuple[Path, tuple[int, int]] | None = None
        self.is_moved = False
        self.descriptor = descriptor
        self._has_attribute = _set_attribute(descriptor, mark)

    @classmethod
    def new(cls, final: Path, mark: str) -> Self:
        """Return an empty file."""
        try:
            return cls(final, mark, os.open(final.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), None)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
        named = hidden_name(final, mark)
        return cls(final, mark, os.open(named, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), named)

    @classmethod
    def moved(cls, path: Path, final: Path, mark: str) -> Self:
        """Return the file at *path*, which is not there any more. Raises ``OSError`` when it cannot be moved."""
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            # Under another name it would be somebody else's, too.
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))  # noqa: TRY301
            named = path.rename(hidden_name(final, mark))
            if not os.path.samestat(status, named.lstat()):
                named.rename(path)
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))  # noqa: TRY301
        except BaseException:
            os.close(descriptor)
            raise
        file = cls(final, mark, descriptor, named)
        file.is_moved = True
        return file

    def clone(self, path: Path) -> bool:
        """Take over the content of the file at *path* without copying it; False where that cannot be done."""
        try:
            with path.open("rb") as source:
                state = _state(source.fileno())
                fcntl.ioctl(self.descriptor, _FICLONE, source.fileno())
                self._cloned = path, state
        except OSError:
            return False
        return True

    def is_still(self, length: int) -> bool:
        """Say whether the file has *length* bytes and was cloned, if it was, from one that has not changed since."""
        unchanged = self._cloned is None or _state(self._cloned[0]) == self._cloned[1]
        return unchanged and os.fstat(self.descriptor).st_size == length

    def finish(self, mode: int) -> None:
        """Give the file its permissions, whatever the umask, its mark and its hidden name; make it durable.

        Raises ``OSError``, and ``StoreFailed`` where marks do not last.
        """
        os.fchmod(self.descriptor, mode)
        os.utime(self.descriptor, ns=(int(self._mark), int(self._mark)))
        os.fsync(self.descriptor)
        if not self._has_attribute and os.fstat(self.descriptor).st_mtime_ns != int(self._mark):
            raise StoreFailed(
                f"the file system of {self._final.parent} keeps neither exact times nor extended attributes",
                hint="use a directory on a Linux file system",
            )
        if self._named is None:
            self._link_nameless()

    def publish(self) -> None:
        """Give the file its name, which must be free, and make the name durable.

        Raises ``FileNotFoundError`` when its hidden name was removed.
        """
        try:
            os.link(hidden_name(self._final, self._mark), self._final)
        finally:
            self._close()
        sync_directory(self._final.parent)

    def _link_nameless(self) -> None:
        """Call linkat(2) with AT_SYMLINK_FOLLOW, which Python does only when a directory is given by descriptor."""
        named = hidden_name(self._final, self._mark)
        descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(str(self.descriptor), named, src_dir_fd=descriptors, follow_symlinks=True)
        finally:
            os.close(descriptors)
        self._named = named

    def discard(self) -> None:
        """Close the file and remove its hidden name for good."""
        self._close()
        if self._named:
            sync_directory(self._final.parent)

    def _close(self) -> None:
        os.close(self.descriptor)
        if self._named:
            self._named.unlink(missing_ok=True)


def _state(file: Path | int) -> tuple[int, int]:
    status = file.stat() if isinstance(file, Path) else os.fstat(file)
    return status.st_size, status.st_mtime_ns


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


def make_directory(directory: Path) -> None:
    """Make *directory* and the folders above it, where they are missing, and make their names durable."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make durable which names are in *directory*."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
