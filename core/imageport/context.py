"""The services that a plugin may use during an import, and the messages that it may send."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imageport.cleaning import logged
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.dataplane.inspection import InspectionPolicy
from imageport.dataplane.shared_file import SharedFile
from imageport.dataplane.spool import space_taken
from imageport.errors import Cancelled, LimitExceeded, TransformFailed
from imageport.limits import Limits, format_size
from imageport.local_files import LocalFiles
from imageport.values import Caller, ClientSettings, Location, Source

if TYPE_CHECKING:
    from imageport.http.transport import HttpTransport
    from imageport.partial_source import PartialSource

_numbers = itertools.count(1)


class _Tokens:
    """Makes tokens: the time in nanoseconds, in whole microseconds as not all disks keep more.

    No two tokens of a process are the same, however coarse its clock is and wherever it is set to.
    """

    def __init__(self) -> None:
        self._last = 0
        self._one_at_a_time = threading.Lock()

    def new(self) -> str:
        with self._one_at_a_time:
            self._last = max(time.time_ns() // 1000 * 1000, self._last + 1000)
            return str(self._last)


_TOKENS = _Tokens()


def new_token() -> str:
    """Return a token that was never used before."""
    return _TOKENS.new()


def _ignore(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLink:
    """The calls that Imageport takes from one step, which it knows by its label.

    Functions, not the objects behind them: those send events of every kind.
    """

    progress: Callable[[int, int | None], None] = _ignore
    spooled: Callable[[int, int | None], None] = _ignore
    check: Callable[[str, bool, str | None, str | None], None] = _ignore
    source: Callable[[str, str | None], None] = _ignore
    announce: Callable[[Location], None] = _ignore
    digests: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True, kw_only=True)
class Context:
    """The services of one import for one step (``step`` is its label), and the messages that the step may send.

    A step sends ``progress``, ``check`` and ``source``, and a store announces its copies. All other events are sent by
    Imageport alone.

    ``http`` is the only way to the network: every url, redirect and address is checked there. ``local_files`` is the
    only way to files that a caller names: they are checked there. ``replicas`` are the copies of the image, the best
    first, which ``read_replica`` opens. ``staged`` is the file that ``images stage`` put in staging, or None.
    ``partial``, where the pipeline has ``staging: file``, is the file that the source is spooled to, with the bytes
    that an import before, which was killed, has left. ``inspection`` is the policy that the image has to pass.
    ``origin`` is where the image comes from. ``unchanged`` is true while no step above has unpacked or converted the
    bytes: they are those that the source offers. ``log`` is for messages that an operator reads later.

    For stores, ``copy_token`` is the mark of one attempt to write a copy: decimal digits, the time in nanoseconds,
    never used again. ``client`` has the settings of the site for libraries that open connections without ``http``.
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
    origin: Source | None = None
    unchanged: bool = True
    copy_token: str = field(default_factory=new_token)
    client: ClientSettings = field(default_factory=ClientSettings)
    work_folder: Path
    read_replica: Callable[[Location], ImageData]
    cancelled: threading.Event = field(default_factory=threading.Event)
    _link: StepLink = field(default_factory=StepLink, repr=False)
    _shared: SharedFile = field(default_factory=SharedFile, repr=False)

    def work_file(self, suffix: str = "") -> Path:
        """Return a path for a new file in the work folder, which is removed when the import ends."""
        return self.work_folder / f"{self.image_id}.{next(_numbers)}{suffix}"

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` when the import is to stop; call it in every loop that takes long."""
        if self.cancelled.is_set():
            raise Cancelled("the import was interrupted")

    def progress(self, done: int, total: int | None = None) -> None:
        """Report that this step has processed *done* bytes of *total*."""
        self._link.progress(done, total)

    def check(self, name: str, *, passed: bool, digest: str | None = None, signer: str | None = None) -> None:
        """Report that this step has made the verification called *name*, and its verdict.

        *digest* is that of all bytes that this step has seen, as ``sha256:<hexadecimal>``. *signer* is the owner of the
        trusted signature on these bytes.
        """
        self._link.check(name, passed, digest, signer)

    def source(self, url: str, *, error: str | None = None) -> None:
        """For methods: report that the bytes come from *url*, or with *error* why they do not. Pass no secrets."""
        self._link.source(url, error)

    def announce(self, location: Location) -> None:
        """For stores: record where a copy will be written, so that it can be removed should this process die.

        Required before the first byte of the image is taken. Another call, with the same url, replaces the metadata: a
        store adds the id of an upload as soon as the server has given it. Raises ``StoreFailed`` for another url, and
        ``ImportFailed`` once the import has left the copy behind: stop then.
        """
        self._link.announce(location)

    def digests(self) -> Mapping[str, str]:
        """For stores: return the digests of the image, in hexadecimal by the names of ``hashlib``.

        They are those that the import makes anyway, ``digests`` of the site file. All of them are there in ``publish``;
        the mapping is empty as long as bytes are still read. A store compares them with those that its server has made.
        """
        return self._link.digests()

    def spool(self, data: ImageData) -> ImageData:
        """Return *data* as a file that no other process replaces: in the work folder or staging, or a new one.

        A file of the caller is copied too, so that exactly the checked bytes are used. Zeros become holes. The stores
        of an import that ask for ``image.data`` share one file, so a store must not change, move or remove it. Raises
        ``TransformFailed`` where the pipeline allows streaming only, ``LimitExceeded`` at the image size cap and when
        the disk is full, and the errors of the stream. Data that cannot fit is not begun.
        """
        if data.path is not None and self.is_private(data.path):
            return data
        shared = self._shared if data in self._shared.streams else SharedFile(self._private_file_of(data))
        if self.stream_only and shared.path is None:
            raise TransformFailed(
                "this data can only be read from a file, and the pipeline allows streaming only",
                hint="set 'staging: auto' in the pipeline",
            )
        self.require_below_cap(data.size)
        # The zeros in a stream are not known before they come; those of a file are its holes.
        needed = data.size if data.path is None else space_taken(data.path)
        with closing(self.capped(data.chunks())) as chunks:
            path = shared.fill(
                chunks,
                partial(self.work_file, ".spool"),
                needed=needed,
                progress=lambda done: self._link.spooled(done, data.size),
            )
        return ImageData.from_file(path, verified=data.verified)

    def take_file(self, path: Path) -> bool:
        """For stores: return whether the store may move the file at *path*, the ``backing_file`` of the data, away.

        It may when the file is scratch data that is not needed under its name any more. The first store that asks gets
        it, and has to remove it with the copy.
        """
        return self._shared.take(path)

    def is_private(self, path: Path) -> bool:
        """Return whether *path* is in the work folder or in staging, where no other process replaces it."""
        return path == self.staged or path.resolve().is_relative_to(self.work_folder.resolve())

    def _private_file_of(self, data: ImageData) -> Path | None:
        """Return the file that has the bytes of *data* already, if it is private."""
        path = data.backing_file
        return path if path is not None and self.is_private(path) and path.is_file() else None

    def capped(self, chunks: Chunks) -> Generator[Chunk, None, None]:
        """Pass *chunks* on until they exceed the image size cap; stop when the import is cancelled.

        When the caller closes the result, or an error ends it, *chunks* is closed too.
        """
        total = 0
        try:
            for chunk in chunks:
                self.check_cancelled()
                total += len(chunk)
                if total > self.limits.image_size_cap:
                    raise self._over_the_cap()
                yield chunk
        finally:
            if isinstance(chunks, Generator):
                with logged("close the stream of the image"):
                    chunks.close()

    def require_below_cap(self, size: int | None) -> None:
        """Raise ``LimitExceeded`` when data of *size* bytes, if that is known, is larger than images may be."""
        if size is not None and size > self.limits.image_size_cap:
            raise self._over_the_cap()

    def _over_the_cap(self) -> LimitExceeded:
        return LimitExceeded(
            f"the image is larger than {format_size(self.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
