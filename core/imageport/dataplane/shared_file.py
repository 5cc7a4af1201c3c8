"""One scratch file for all readers of the same bytes: the reader that is ahead writes it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from imageport.cleaning import logged
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.dataplane.spool import SpoolFile, writing_to
from imageport.errors import ImageportError


def _ignore(_count: int) -> None:
    pass


class SharedFile:
    """The file of one pass over an image, for the stores that need its bytes in a file.

    It is there beforehand as *path*, or made of the ``streams`` (``ImageData``) of the stores that ask. These have the
    same bytes: the store that is ahead writes them, and where it fails another goes on. So there is one file, however
    many stores ask. With *movable* one store may move the file away, unless another has asked for it before.
    """

    def __init__(self, path: Path | None = None, *, movable: bool = False) -> None:
        self.streams: weakref.WeakSet[object] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._movable = movable
        self._path = path
        self._complete = path is not None
        self._spool: SpoolFile | None = None
        self._descriptor = -1
        self._readers = 0
        self._failure: ImageportError | None = None

    @property
    def path(self) -> Path | None:
        """The complete file, None when there is none, or not yet, or not any more."""
        return self._path if self._complete else None

    def take(self, path: Path) -> bool:
        """Return whether the caller may move the file at *path* away; no other store gets it then."""
        with self._lock:
            if not self._movable or path != self._path:
                return False
            self._movable = self._complete = False
            self._path = None
            return True

    def fill(
        self,
        chunks: Chunks,
        new_path: Callable[[], Path],
        *,
        needed: int | None = None,
        progress: Callable[[int], None] = _ignore,
    ) -> Path:
        """Read *chunks*, one of the streams, to the end, and return the complete file; zeros are holes.

        What another reader has written is not written again. *new_path* names the file if there is none; *needed* are
        its bytes on disk, if they are known, and *progress* is called with the bytes in it. Raises ``LimitExceeded``
        before the first byte when they do not fit, and when the disk is full; ``ImportFailed`` for other errors of
        the disk, and the errors of *chunks*. An incomplete file is removed when its last reader has failed.
        """
        position = 0
        with self._lock:
            self._movable = False
            self._readers += 1
        try:
            with self._lock:
                path = self._path or self._begin(new_path(), needed)
            for piece in chunks:
                position += len(piece)
                if not self._complete and self._add(piece, position):
                    progress(position)
            with self._lock:
                self._finish()
            return path
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    with logged("remove an incomplete spool file"):
                        self._leave()

    def _begin(self, path: Path, needed: int | None) -> Path:
        with writing_to(path.parent):
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        self._path = path
        self._spool = SpoolFile(self._descriptor, path.parent, needed=needed)
        return path

    def _add(self, piece: Chunk, end: int) -> int:
        """Write what no other reader has written of *piece*, which ends at position *end*, and return its length."""
        with self._lock:
            if self._failure is not None:
                raise type(self._failure)(self._failure.message, hint=self._failure.hint)
            try:
                return 0 if self._spool is None else self._spool.add(piece, end)
            except ImageportError as error:
                # How much of the piece was written is not known.
                self._failure = error
                raise

    def _finish(self) -> None:
        if self._spool is not None:
            self._spool.finish()
            self._close()
            self._complete = True

    def _leave(self) -> None:
        if not self._complete and self._path is not None:
            self._close()
            self._path.unlink(missing_ok=True)
            self._path = self._failure = None

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._spool, self._descriptor = None, -1
