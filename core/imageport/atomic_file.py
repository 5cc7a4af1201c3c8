"""Files that appear as a whole or not at all, and names that survive a power failure.

The only module that uses nameless files: ``O_TMPFILE`` of open(2), and linkat(2).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from imageport.cleaning import logged

#: The errors by which a file system without nameless files (NFS) refuses to make one.
_NO_NAMELESS = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})


class HiddenFile:
    """A file being written: without a name where the file system has nameless files, else at *hidden*.

    Write to ``descriptor``; ``has_name`` is true once the file has its hidden name. Every method raises the errors of
    the operating system.
    """

    def __init__(self, hidden: Path, descriptor: int, *, has_name: bool) -> None:
        self.hidden = hidden
        self.descriptor = descriptor
        self.has_name = has_name

    @classmethod
    def create(cls, hidden: Path, mode: int = 0o600) -> Self:
        """Return an empty file with the permissions *mode*, less the umask."""
        try:
            nameless = os.open(hidden.parent, os.O_TMPFILE | os.O_WRONLY, mode)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
            return cls(hidden, os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), has_name=True)
        return cls(hidden, nameless, has_name=False)

    @classmethod
    def adopt(cls, path: Path, hidden: Path) -> Self:
        """Move the file at *path*, which has no other name, to *hidden* on the same file system and return it."""
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            # Under another name, another process could change it later.
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))  # noqa: TRY301
            path.rename(hidden)
            if not os.path.samestat(status, hidden.lstat()):
                hidden.rename(path)
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))  # noqa: TRY301
        except BaseException:
            with logged(f"close {path}"):
                os.close(descriptor)
            raise
        return cls(hidden, descriptor, has_name=True)

    def give_hidden_name(self) -> None:
        """Give the file its hidden name, if it has none yet."""
        if not self.has_name:
            self._link(self.hidden)
            self.has_name = True

    def give_name(self, target: Path) -> None:
        """Give the file the name *target*, which must be free; the hidden name, if it has one, stays."""
        if self.has_name:
            os.link(self.hidden, target)
        else:
            self._link(target)

    def close(self) -> None:
        """Close the file and remove its hidden name: without another name, it is gone."""
        os.close(self.descriptor)
        if self.has_name:
            self.hidden.unlink(missing_ok=True)

    def discard(self) -> None:
        """Close the file and remove its hidden name durably."""
        self.close()
        if self.has_name:
            sync_directory(self.hidden.parent)

    def _link(self, path: Path) -> None:
        """Call linkat(2) with AT_SYMLINK_FOLLOW, which Python does only when a directory is given by descriptor."""
        descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(str(self.descriptor), path, src_dir_fd=descriptors, follow_symlinks=True)
        finally:
            os.close(descriptors)


@contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[int]:
    """Yield a descriptor to write; the file gets the name *target* when the block ends without an error.

    Before that it has no name, so that even a killed process leaves nothing. Where the file system has no nameless
    files (NFS), a hidden ``.<name>.*.partial`` takes their place. Raises ``FileExistsError`` when *target* is there and
    not to be overwritten, and other errors of the operating system.
    """
    file = HiddenFile.create(target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial"), 0o666)
    try:
        yield file.descriptor
        if overwrite:
            file.give_hidden_name()  # only a rename can replace a file
            file.hidden.rename(target)
        else:
            file.give_name(target)
    except BaseException:
        with logged(f"remove {file.hidden}"):
            file.close()
        raise
    file.close()


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
