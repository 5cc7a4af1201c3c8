"""Limit how many bytes come out for each byte that went in: the rule that stops bombs."""

from __future__ import annotations

from dataclasses import dataclass

from imageport import LimitExceeded, format_size

#: Below this many bytes of output no ratio is suspicious.
FREE_OUTPUT = 256 << 20


@dataclass(frozen=True)
class ExpansionLimit:
    """At most *max_ratio* bytes of output, zeros not counted, for each byte of the source."""

    max_ratio: int

    def check(self, what: str, *, output: int, source: int) -> None:
        """Raise ``LimitExceeded`` when *output* bytes that are not zero are too much for *source* bytes.

        *what* is the start of the message, such as "the gzip archive unpacks".
        """
        if output > FREE_OUTPUT and output > self.max_ratio * source:
            raise LimitExceeded(
                f"{what} more than {self.max_ratio} to 1: "
                f"{format_size(output)} without zeros, out of {format_size(source)}",
                hint="it looks like a decompression bomb; raise max_ratio of this step if it is none",
            )
