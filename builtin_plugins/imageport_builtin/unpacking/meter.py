"""Stop archives that grow beyond reason."""

from __future__ import annotations

import time

from imageport import (
    CHUNK_SIZE,
    ZERO_CHUNK,
    Chunks,
    Context,
    ImageData,
    LimitExceeded,
    data_runs,
    evened,
    format_size,
)
from imageport_builtin.expansion import ExpansionLimit
from imageport_builtin.unpacking.job import closed_after


class Meter:
    """Counts what the layers of one image take in and give out.

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

    def watch_output(self, layer: str, chunks: Chunks) -> Chunks:
        """Pass on the output of *layer* in even pieces; raise ``LimitExceeded`` once it is too much."""
        total = 0
        substance = 0
        seconds = 0.0
        with closed_after(chunks):
            pieces = evened(chunks)
            while True:
                # Waiting for a slow source or store takes no time of the processor.
                started = time.thread_time()
                piece = next(pieces, None)
                seconds += time.thread_time() - started
                if piece is None:
                    return
                self._ctx.check_cancelled()
                self._check_time(layer, seconds)
                total += len(piece)
                self._check_total(layer, total)
                solid = sum(stop - start for start, stop in data_runs(piece))
                substance += solid
                self._expansion.check(
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

    def _check_time(self, layer: str, seconds: float) -> None:
        deadline = self._ctx.limits.conversion_deadline
        if seconds > deadline:
            raise LimitExceeded(
                f"unpacking the {layer} archive took more than {deadline:g} s of CPU time",
                hint="raise limits.conversion_deadline in the site file if images this large are expected",
            )
