"""What a plugin may touch during an import, and nothing else."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imageport.buffers import Chunks
from imageport.data import ImageData
from imageport.errors import Cancelled, LimitExceeded, TransformFailed
from imageport.inspection import InspectionPolicy
from imageport.limits import Limits, format_size
from imageport.rules.local_files import LocalFiles
from imageport.scratch import require_space, space_taken, writing_to
from imageport.sparse import SparseFile
from imageport.values import Caller, Event, Location, Source

if TYPE_CHECKING:
    from imageport.http.transport import HttpTransport
    from imageport.partial import PartialSource

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Context:
    """The services of one import, as seen by one step (``step`` is its label).

    ``http`` is the only way to the network: every url, redirect and address is checked there. ``local_files`` is the
    only way to files that a caller names: they are checked there. ``replicas`` are the
    copies that exist of the image, the best first. ``staged`` is the file that ``images stage`` put in staging, if
    there is one. ``partial``, where the pipeline says ``staging: file``, is what the source is spooled to, and what is
    there of it from an import that was killed. ``inspection`` is what the image has to be, by its user and by the
    site. ``source`` is where the image comes from, if it is not made here, and ``unchanged`` says that the bytes which
    reach this step are those that the source offers: no step above has unpacked or converted them. ``log`` is for what
    an operator should read later; progress goes through ``progress``.
    """

    caller: Caller
    image_id: str
    task_id: str
    step: str
    limits: Limits
    http: HttpTransport
    log: logging.Logger
    replicas: tuple[Location, ...] = ()
    staged: Path | None = None
    stream_only: bool = False
    inspection: InspectionPolicy = field(default_factory=InspectionPolicy)
    local_files: LocalFiles = field(default_factory=LocalFiles)
    partial: PartialSource | None = None
    source: Source | None = None
    unchanged: bool = True
    work_folder: Path
    emit: Callable[[Event], None]
    read_replica: Callable[[Location], ImageData]
    announce_location: Callable[[str, Location], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    _movable: list[Path] = field(default_factory=list)

    def for_step(self, label: str) -> Context:
        """Return this context as another step sees it."""
        return replace(self, step=label, log=self.log.getChild(label))

    def work_file(self, suffix: str = "") -> Path:
        """Return a path for a new file in the work folder, which is removed when the import ends."""
        return self.work_folder / f"{self.image_id}.{next(_numbers)}{suffix}"

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` when the import is to stop; call it in every loop that takes long."""
        if self.cancelled.is_set():
            raise Cancelled("the import was interrupted")

    def progress(self, done: int, total: int | None = None) -> None:
        """Tell observers that this step has dealt with *done* bytes of *total*."""
        self.report("progress", lane=self.step, done=done, total=total)

    def check(self, name: str, *, passed: bool, digest: str | None = None, signer: str | None = None) -> None:
        """Record in the report that the verification called *name* was made, and its verdict.

        *digest* is that of all bytes that this step has seen, as ``sha256:<hexadecimal>``. *signer* names whose
        trusted signature vouches for these bytes.
        """
        verdict = "passed" if passed else "failed"
        self.report("check", step=self.step, message=name, verdict=verdict, digest=digest, signer=signer)

    def announce(self, location: Location) -> None:
        """For stores: say where a copy is about to be written, so that it can be removed after a crash."""
        self.announce_location(self.step, location)

    def report(self, kind: str, **fields: object) -> None:
        """Send an event of this import to the observers."""
        event = Event(kind=kind, at=time.time(), task_id=self.task_id, image_id=self.image_id)
        self.emit(replace(event, **fields))  # type: ignore[arg-type]

    def spool(self, data: ImageData) -> ImageData:
        """Return *data* as a file that nobody exchanges: in the work folder or staging already, else a new one there.

        A file of the caller is copied too: what was checked must be what is used. Zeros become holes. Raises
        ``TransformFailed`` where the pipeline allows streaming only, ``LimitExceeded`` at the image size cap and when
        the disk is full, and whatever the stream raises. What is known not to fit is not begun.
        """
        if data.path is not None and self.owns(data.path):
            return data
        if self.stream_only:
            raise TransformFailed(
                "this data can only be read from a file, and the pipeline allows streaming only",
                hint="set 'staging: auto' in the pipeline",
            )
        self.require_below_cap(data.size)
        if data.size is not None:
            # The zeros in a stream do not show before they come; those of a file are told by its holes.
            needed = data.size if data.path is None else space_taken(data.path)
            require_space(self.work_folder, needed)
        path = self.work_file(".spool")
        with writing_to(self.work_folder):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            file = SparseFile(descriptor)
            for piece in self.capped(data.chunks()):
                with writing_to(self.work_folder):
                    file.write(piece)
                self.report("progress", lane="staging", done=file.length, total=data.size)
            with writing_to(self.work_folder):
                file.finish()
            self.report("progress", lane="staging", done=file.length, total=file.length)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(descriptor)
        return ImageData.from_file(path, verified=data.verified)

    def claim(self, path: Path) -> bool:
        """For stores: say whether the file at *path*, the ``twin`` of the data, is theirs to move away.

        It is when it is scratch data that nobody needs under its name any more; the first store that asks gets it, and
        has to remove it with the copy.
        """
        try:
            self._movable.remove(path)
        except ValueError:
            return False
        return True

    def giving_away(self, path: Path) -> Context:
        """Return this context, in which a store may have the scratch file at *path*."""
        return replace(self, _movable=[path])

    def owns(self, path: Path) -> bool:
        """Say whether *path* is in the work folder or in staging, where nobody exchanges it during the import."""
        return path == self.staged or path.resolve().is_relative_to(self.work_folder.resolve())

    def capped(self, chunks: Chunks) -> Chunks:
        """Pass *chunks* on until they exceed the image size cap; stop when the import is cancelled."""
        total = 0
        for piece in chunks:
            self.check_cancelled()
            total += len(piece)
            if total > self.limits.image_size_cap:
                raise self._over_the_cap()
            yield piece

    def require_below_cap(self, size: int | None) -> None:
        """Raise ``LimitExceeded`` when data of *size* bytes, if that is known, is larger than images may be."""
        if size is not None and size > self.limits.image_size_cap:
            raise self._over_the_cap()

    def _over_the_cap(self) -> LimitExceeded:
        return LimitExceeded(
            f"the image is larger than {format_size(self.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
