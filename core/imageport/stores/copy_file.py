"""The file of a copy: written under no name, kept under a hidden one, published by a link, known by its mark.

Complete, it gets a hidden name with its mark; published, it is linked from there. Removing the hidden name fences off
the writer: a process that was stopped meanwhile cannot publish its file any more.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from imageport.atomic_file import HiddenFile, sync_directory
from imageport.cleaning import logged
from imageport.dataplane.buffers import Chunk
from imageport.dataplane.sparse import SparseFile
from imageport.errors import StoreFailed

_ATTRIBUTE = "user.imageport.mark"

#: Share the blocks of another file (ioctl_ficlone(2)); each file keeps its own when one is written to.
_FICLONE = 0x40049409


class CopyFile:
    """A copy being written that will be the file *final*; *mark* is that of the attempt, used once.

    Every method raises the errors of the operating system.
    """

    def __init__(self, final: Path, mark: str, file: HiddenFile, backing_file: Path | None = None) -> None:
        self.final = final
        self.mark = mark
        self._file = file
        self._backing_file = backing_file
        self._length = 0
        self._state: tuple[int, int] | None = None
        self._sparse = SparseFile(file.descriptor)
        _set_attribute(file.descriptor, mark)

    @classmethod
    def new(cls, final: Path, mark: str) -> Self:
        """Return an empty file."""
        return cls(final, mark, HiddenFile.create(hidden_name(final, mark)))

    @classmethod
    def moved(cls, path: Path, final: Path, mark: str) -> Self:
        """Return the file at *path*, which holds the bytes of the image already and is not there any more."""
        return cls(final, mark, HiddenFile.adopt(path, hidden_name(final, mark)), path)

    @classmethod
    def cloned(cls, path: Path | None, final: Path, mark: str) -> Self:
        """Return a file that shares the blocks of the file at *path* where that can be done, else an empty one."""
        copy = cls.new(final, mark)
        if path is not None:
            copy._clone(path)
        return copy

    @property
    def hidden(self) -> Path:
        """The path of the complete file before it is published."""
        return self._file.hidden

    @property
    def has_name(self) -> bool:
        """Whether the file is in the folder, hidden or not: without a name it ends with its process."""
        return self._file.has_name

    def write(self, chunk: Chunk) -> None:
        """Write the next bytes, unless the file has them already; zeros become holes."""
        self._length += len(chunk)
        if self._backing_file is None:
            self._sparse.write(chunk)

    def close(self, mode: int) -> None:
        """Give the file its permissions, with any umask, its mark and its hidden name; make it durable.

        Raises ``StoreFailed`` when it took over the bytes of another file and that has changed.
        """
        if self._backing_file is None:
            self._sparse.finish()
        elif not self._is_unchanged():
            raise StoreFailed(
                f"{self._backing_file} was written to while it was copied",
                hint="import it when no other process writes to it",
            )
        os.fchmod(self._file.descriptor, mode)
        os.utime(self._file.descriptor, ns=(int(self.mark), int(self.mark)))
        os.fsync(self._file.descriptor)
        self._file.give_hidden_name()

    def publish(self) -> None:
        """Give the file its name, which must be free, and make the name durable.

        Raises ``FileNotFoundError`` when its hidden name was removed.
        """
        try:
            self._file.give_name(self.final)
        except BaseException:
            with logged(f"remove {self.hidden}"):
                self._file.close()
            raise
        self._file.close()
        sync_directory(self.final.parent)

    def discard(self) -> None:
        """Close the file and remove its hidden name for good."""
        self._file.discard()

    def _clone(self, path: Path) -> None:
        try:
            with path.open("rb") as source:
                state = _state(source.fileno())
                fcntl.ioctl(self._file.descriptor, _FICLONE, source.fileno())
        except OSError:
            return  # writing the bytes works everywhere
        self._backing_file, self._state = path, state

    def _is_unchanged(self) -> bool:
        """Whether the file has as many bytes as the image, and the file that it was cloned from is unchanged."""
        same = self._state is None or self._backing_file is None or _state(self._backing_file) == self._state
        return same and os.fstat(self._file.descriptor).st_size == self._length


def hidden_name(final: Path, mark: str) -> Path:
    """Return where the file with that mark is before it is published, if it has a name at all."""
    return final.with_name(f".{final.name}.{mark}.partial")


def has_time(path: Path, mark: str) -> bool:
    """Whether there is a file at *path* with the modification time of *mark*, so not changed since it was written."""
    try:
        return path.lstat().st_mtime_ns == int(mark)
    except FileNotFoundError:
        return False


def has_mark(path: Path, mark: str) -> bool:
    """Whether the file at *path* is the one that was written with *mark*, even if it was changed since.

    An extended attribute survives changes, the modification time survives copying to another disk; either will do.
    """
    if has_time(path, mark):
        return True
    return mark_of(path) == mark


def mark_of(path: Path) -> str | None:
    """Return the mark in the extended attribute of the file at *path*, None when it has none."""
    try:
        return os.getxattr(path, _ATTRIBUTE, follow_symlinks=False).decode()
    except (OSError, UnicodeDecodeError):
        return None


def _state(file: Path | int) -> tuple[int, int]:
    status = file.stat() if isinstance(file, Path) else os.fstat(file)
    return status.st_size, status.st_mtime_ns


def _set_attribute(descriptor: int, mark: str) -> None:
    try:
        os.setxattr(descriptor, _ATTRIBUTE, mark.encode())
    except OSError:
        return  # the modification time is a mark, too
