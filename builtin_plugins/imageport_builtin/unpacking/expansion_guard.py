"""Limits on the output of archives."""

from __future__ import annotations

import time
from collections.abc import Callable

from imageport import Chunks, Context, ImageData, LimitExceeded
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK, Chunk, nonzero_ranges, rechunked
from imageport.limits import format_size
from imageport_builtin.expansion import ExpansionLimit
from imageport_builtin.unpacking.job import closed_after


class ExpansionGuard:
    """Counts the input and output of the layers of one image, and raises when a limit is reached.

    The ratio compares the bytes of the archive with the output that is not zero. Zeros do not count: they
    become holes, and an honest, nearly empty disk shrinks 1,000 to 1 with gzip and 30,000 to 1 with zstd.
    They are bounded by *max_output*, the image size cap and ``limits.conversion_deadline``.
    """

    def __init__(self, ctx: Context, max_output: int | None, max_ratio: int) -> None:
        self._ctx = ctx
        self._max_output = max_output
        self._expansion = ExpansionLimit(max_ratio)
        self._taken = 0
        self._file_size = 0

    def watch_source(self, data: ImageData) -> ImageData:
        """Return *data* so that its bytes are counted as the archive's own; a file counts as a whole."""
        if data.path is not None:
            self._file_size = data.path.stat().st_size
        return ImageData(lambda: self._counted(data.chunks()), size=data.size, path=data.path)

    def _counted(self, chunks: Chunks) -> Chunks:
        with closed_after(chunks):
            for piece in chunks:
                self._ctx.check_cancelled()
                self._taken += len(piece)
                yield piece

    def watch_layer(
        self, layer: str, data: ImageData, unpack: Callable[[ImageData, Callable[[], None]], Chunks]
    ) -> Chunks:
        """Yield the output of *unpack* for *data*, in even pieces.

        *unpack* also gets a function that raises ``Cancelled``, or ``LimitExceeded`` after too much time of the
        processor; that is called for each piece of *data*, too. ``LimitExceeded`` is raised for too much output.
        """
        clock = _Clock(layer, self._ctx)
        total = 0
        substance = 0
        with closed_after(unpack(clock.watch(data), clock.require_time)) as chunks:
            pieces = rechunked(chunks)
            while (piece := clock.time(pieces)) is not None:
                total += len(piece)
                self._check_total(layer, total)
                solid = sum(stop - start for start, stop in nonzero_ranges(piece))
                substance += solid
                self._expansion.require(
                    f"the {layer} archive unpacks",
                    output=substance,
                    source=max(self._taken, self._file_size),
                )
                yield piece if solid or len(piece) < CHUNK_SIZE else ZERO_CHUNK

    def _check_total(self, layer: str, total: int) -> None:
        if self._max_output is not None and total > self._max_output:
            raise LimitExceeded(
                f"the {layer} archive unpacks to more than {format_size(self._max_output)}",
                hint="raise max_output of this step if images this large are expected",
            )
        if total > self._ctx.limits.image_size_cap:
            raise LimitExceeded(
                f"the {layer} archive unpacks to more than {format_size(self._ctx.limits.image_size_cap)}",
                hint="raise limits.image_size_cap in the site file if images this large are expected",
            )


class _Clock:
    """The seconds of the processor that a *layer* takes; waiting for a slow source or store takes none."""

    def __init__(self, layer: str, ctx: Context) -> None:
        self._layer = layer
        self._ctx = ctx
        self._spent = 0.0
        self._started = 0.0

    def time(self, pieces: Chunks) -> Chunk | None:
        """Return the next one of *pieces*, None after the last."""
        self._started = time.thread_time()
        piece = next(pieces, None)
        self.require_time()
        self._spent += time.thread_time() - self._started
        return piece

    def watch(self, data: ImageData) -> ImageData:
        """Return *data* so that the time is looked at for each piece, however little becomes of it."""
        return ImageData(lambda: self._checked(data.chunks()), size=data.size, path=data.path)

    def require_time(self) -> None:
        self._ctx.check_cancelled()
        deadline = self._ctx.limits.conversion_deadline
        if self._spent + time.thread_time() - self._started > deadline:
            raise LimitExceeded(
                f"unpacking the {self._layer} archive took more than {deadline:g} s of CPU time",
                hint="raise limits.conversion_deadline in the site file if images this large are expected",
            )

    def _checked(self, chunks: Chunks) -> Chunks:
        with closed_after(chunks):
            for piece in chunks:
                self.require_time()
                yield piece
