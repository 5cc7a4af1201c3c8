"""The file that the source of an import is spooled to, so that another import can go on with it after a crash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, Chunks
from imageport.dataplane.sparse import descriptor_chunks
from imageport.dataplane.spool import space_taken, write_spool, writing_to

if TYPE_CHECKING:
    from imageport.http.exchange import Rest
    from imageport.http.responses import HttpResponse

__all__ = [
    "PartialSource",
]

#: Received bytes after which the file is synced to the disk, in case the machine goes down.
_SYNC_EVERY: Final = 256 << 20
_FLAGS: Final = os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class _Note:
    """The state of a download that is needed to resume it.

    ``source`` is a digest of the url, which may hold secrets. ``synced`` bytes are certainly on the disk. Bytes that
    were written after those are there as long as the machine was not restarted, which ``boot`` shows.
    """

    source: str
    validator: str
    length: int
    synced: int
    boot: str


class PartialSource:
    """The spooled source, and the note beside it. Methods see it as ``ctx.partial``.

    A method that fetches over HTTP, and passes on the body of the answer as it is, asks with ``rest_of`` for the
    missing part, reports with ``begin`` which answer it got, and puts ``received`` before the body of that.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source"
        self._note_path = folder / "source.json"
        self._note: _Note | None = None
        #: Bytes that are here from an import before, and come again at the beginning of the stream.
        self.start = 0

    def rest_of(self, url: str) -> Rest | None:
        """Return the missing rest of the file at *url*, or None when no usable part of it is here."""
        from imageport.http.exchange import Rest  # noqa: PLC0415 - with urllib3, for downloads only

        note = self._read_note()
        if note is None or note.source != _digest(url):
            return None
        received = self._received(note)
        return Rest(received, note.length, note.validator) if received else None

    def begin(self, url: str, response: HttpResponse) -> None:
        """Keep the body of *response* to a request for *url*, and the bytes from before if it is their rest."""
        before = self._read_note()
        self.start = response.start
        self._note_path.unlink(missing_ok=True)
        self._note = None
        with writing_to(self.path.parent):
            descriptor = os.open(self.path, _FLAGS, 0o600)
            try:
                os.ftruncate(descriptor, self.start)
            finally:
                os.close(descriptor)
        if response.validator is not None and response.length is not None:
            synced = min(before.synced, self.start) if before else 0
            self._write_note(_Note(_digest(url), response.validator, response.length, synced, _this_boot()))

    def received(self) -> Chunks:
        """Read the bytes from before."""
        if self.start:
            with self.path.open("rb", buffering=0) as file:
                yield from descriptor_chunks(file.fileno())

    def fill(self, data: ImageData, progress: Callable[[int, int | None], None]) -> ImageData:
        """Write the rest of *data*, which begins with the bytes from before, and return the file.

        *progress* is called with the bytes that are in the file, and their number in the end if it is known.
        Raises ``LimitExceeded`` when the disk is full, and the errors of the stream.
        """
        needed = None
        if data.size is not None:
            # The zeros in a stream do not show before they come.
            needed = data.size - (space_taken(self.path) if self.start else 0)
        with writing_to(self.path.parent):
            descriptor = os.open(self.path, _FLAGS, 0o600)
        try:
            length = write_spool(
                data.chunks(), descriptor, self.path.parent,
                start=self.start,
                needed=needed,
                progress=lambda done: progress(done, data.size),
                written=lambda on_disk: self._sync(descriptor, on_disk),
            )  # fmt: skip
            progress(length, length)
        finally:
            os.close(descriptor)
        return ImageData.from_file(self.path, verified=data.verified)

    def forget(self) -> None:
        """Remove the file and its note: the bytes are wrong."""
        self.start = 0
        self._note = None
        self._note_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def kept(self) -> int:
        """Return how many bytes another import could use."""
        note = self._read_note()
        return self._received(note) if note else 0

    def move_to(self, folder: Path) -> None:
        """Move file and note to another import, which has its scratch data in *folder*. Raises ``OSError``."""
        with suppress(FileNotFoundError):
            self.path.rename(folder / self.path.name)
            # The note last: without it, the file is not used.
            self._note_path.rename(folder / self._note_path.name)

    def _received(self, note: _Note) -> int:
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return 0
        certain = size if note.boot == _this_boot() else min(size, note.synced)
        # The last chunk before the import was killed is fetched again.
        usable = min(certain, note.length - 1)
        return max(0, usable // CHUNK_SIZE * CHUNK_SIZE)

    def _sync(self, descriptor: int, on_disk: int) -> None:
        if self._note is not None and on_disk - self._note.synced >= _SYNC_EVERY:
            os.fdatasync(descriptor)
            self._write_note(_Note(**{**asdict(self._note), "synced": on_disk}))

    def _write_note(self, note: _Note) -> None:
        self._note = note
        new = self._note_path.with_suffix(".new")
        with writing_to(new.parent):
            new.write_text(json.dumps(asdict(note)))
            new.replace(self._note_path)

    def _read_note(self) -> _Note | None:
        try:
            note = _Note(**json.loads(self._note_path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        fits = isinstance(note.length, int) and isinstance(note.synced, int)
        return note if fits and isinstance(note.validator, str) else None


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()


def _this_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
