"""Limit how many bytes come out for each byte that went in: the rule that stops bombs."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from imageport import LimitExceeded
from imageport.limits import format_size

#: Below this many bytes of output no ratio is suspicious.
FREE_OUTPUT = 256 << 20


@dataclass(frozen=True)
class ExpansionLimit:
    """At most *max_ratio* bytes of output, zeros not counted, for each byte of the source."""

    max_ratio: int

    def require(self, what: str, *, output: int, source: int) -> None:
        """Raise ``LimitExceeded`` when *output* bytes that are not zero are too much for *source* bytes.

        *what* is the start of the message, such as "the gzip archive unpacks".
        """
        if output > FREE_OUTPUT and output > self.max_ratio * source:
            raise LimitExceeded(
                f"{what} more than {self.max_ratio} to 1: "
                f"{format_size(output)} without zeros, out of {format_size(source)}",
                hint="it looks like a decompression bomb; raise max_ratio of this step if it is not",
            )


def bytes_without_holes(path: Path) -> int:
    """Return the bytes of the file at *path* that are not holes; all of them where the file system has no holes."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        total = position = 0
        try:
            while position < end:
                start = os.lseek(file.fileno(), position, os.SEEK_DATA)
                position = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                total += position - start
        except OSError as error:
            # ENXIO: a hole is all that is left.
            if error.errno != errno.ENXIO:
                return end
        return total


def space_taken(path: Path) -> int:
    """Return the bytes that the file at *path* takes on disk."""
    return path.stat().st_blocks * 512
