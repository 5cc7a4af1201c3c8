"""Count the bytes and the time of each stage while its stream runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from imageport.cleaning import logged
from imageport.dataplane.buffers import Chunk, Chunks


@dataclass
class Meter:
    """Bytes that one stage has passed on, and seconds including the stages *above* it.

    *report* gets the bytes so far, and their number in the end if it is known.
    """

    label: str
    hook: str
    report: Callable[[int, int | None], None]
    above: Meter | None = None
    bytes_out: int = 0
    inclusive: float = 0.0
    #: Whether there is a stream, and whether it was read to its end.
    streams: bool = False
    drained: bool = False

    @property
    def seconds(self) -> float:
        """Seconds spent in this stage alone."""
        return max(0.0, self.inclusive - (self.above.inclusive if self.above else 0.0))

    @property
    def bytes_in(self) -> int:
        """Bytes that came from the stage above."""
        return self.above.bytes_out if self.above else self.bytes_out

    def counted(self, chunks: Generator[Chunk, None, None], size: int | None) -> Chunks:
        """Pass *chunks*, of *size* bytes if that is known, on while they are counted."""
        started = time.monotonic()
        try:
            for chunk in chunks:
                self.inclusive += time.monotonic() - started
                self.bytes_out += len(chunk)
                self.report(self.bytes_out, size)
                yield chunk
                started = time.monotonic()
        finally:
            with logged("close the stream of a step"):
                chunks.close()
        self.inclusive += time.monotonic() - started
        self.drained = True
        self.report(self.bytes_out, self.bytes_out)
