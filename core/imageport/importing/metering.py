"""Counts the bytes and the time of each step while its stream runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.errors import StepCrashed
from imageport.plugins.binding import BoundStep


@dataclass
class Meter:
    """What one step has done: bytes out, and seconds including the steps above it."""

    step: BoundStep
    hook: str
    tell: Callable[[int, int | None], None]
    above: Meter | None = None
    bytes_out: int = 0
    inclusive: float = 0.0
    stream: ImageData | None = None

    @property
    def seconds(self) -> float:
        """Seconds spent in this step alone."""
        return max(0.0, self.inclusive - (self.above.inclusive if self.above else 0.0))

    @property
    def bytes_in(self) -> int:
        """Bytes that came from the step above."""
        return self.above.bytes_out if self.above else self.bytes_out

    def measure(self, data: ImageData) -> ImageData:
        """Return *data* with its bytes counted, and with the step named in any error of its stream.

        A file passes as it is: what reads it later is not this step's work.
        """
        if data.path is not None:
            self.bytes_out = data.size or 0
            return data
        self.stream = data.counted(self._counted)
        return self.stream

    def check_drained(self) -> None:
        """Raise ``StepCrashed`` when the step below left part of this stream unread.

        Digests of the published bytes are known only at their end, so a reader that stops early would bypass them
        (the class of CVE-2021-20319).
        """
        if self.stream is not None and not self.stream.finished:
            raise StepCrashed(
                f"the data of '{self.step.label}' was not read to its end, so its checks never finished",
                hint="a step below stops too early: it must read its input to the end",
            )

    def _counted(self, chunks: Chunks) -> Chunks:
        guarded = self.step.guard(chunks)
        started = time.monotonic()
        try:
            while (piece := next(guarded, None)) is not None:
                self.inclusive += time.monotonic() - started
                if not (isinstance(piece, bytes) or _is_fit(piece)):
                    raise self.step.wrong_answer(
                        "its stream", piece, "bytes or a read-only memoryview of bytes"
                    )
                self.bytes_out += len(piece)
                self.tell(self.bytes_out, self.stream.size if self.stream else None)
                yield piece
                started = time.monotonic()
        finally:
            guarded.close()
        self.inclusive += time.monotonic() - started
        self.tell(self.bytes_out, self.bytes_out)


def _is_fit(piece: object) -> bool:
    """Return whether *piece* is a view of bytes in a row that nobody can write through."""
    return (
        isinstance(piece, memoryview)
        and piece.readonly
        and piece.contiguous
        and (piece.ndim, piece.itemsize) == (1, 1)
    )
