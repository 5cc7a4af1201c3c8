"""Base class of the layouts of all formats."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from imageport.dataplane.inspection.faulty import CUT_OFF, FETCH_AGAIN
from imageport.dataplane.inspection.formats import Fault
from imageport.dataplane.inspection.regions import Regions, Take

SECTOR = 512

#: Most bytes at the start of a stream that are kept.
_MOST_KEPT = 8 << 20

#: Most entries of a table that is kept in memory.
MOST_ENTRIES = 1 << 20


class DamagedError(Exception):
    """The tables of the image contradict each other or the specification; the text is the reason of a fault."""


class UnsupportedError(Exception):
    """The image is larger or finer than the limits of the parser; the text is the reason of a fault."""


class Layout(ABC):
    """Finds the data of one image while *regions* delivers its tables.

    ``end`` is the number of bytes that the file needs to have, as far as is known.
    """

    NAME: ClassVar[str]
    MAGIC: ClassVar[bytes]
    MAGIC_OFFSET: ClassVar[int] = 0

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._faults: list[Fault] = []
        self._missed = False
        self.end = 0
        self._start()

    @classmethod
    def first_table_end(cls, head: bytes) -> int:
        """Return where the table ends that leads to all others, 0 when *head* does not contain that.

        Up to there a stream is kept, so that the tables in it are found. Raises ``struct.error`` for a head that is
        too short.
        """
        return 0

    @classmethod
    def to_keep(cls, head: bytes) -> int | None:
        """Return how much of the start of a stream to keep that begins with *head*, None when that is too much."""
        try:
            length = cls.first_table_end(head)
        except struct.error:
            return 0
        return length if length <= _MOST_KEPT else None

    @abstractmethod
    def _start(self) -> None:
        """Ask for the header."""

    def _finish(self, size: int, tail: bytes) -> None:  # noqa: B027 - most formats have nothing to add
        """Compare the layout with the *size* of the file in bytes and the *tail*, its last bytes.

        Raises ``DamagedError``.
        """

    def faults(self, size: int, tail: bytes) -> list[Fault]:
        """Return the faults of the image in a file of *size* bytes that ends with *tail*."""
        if not self._faults and self.end <= size:
            self._guarded(lambda: self._finish(size, tail))
        if not self._faults and self.end > size:
            self._faults.append(
                Fault(
                    "length",
                    "damaged",
                    f"it is not whole: the file has {size} bytes, and the image needs {self.end}"
                    f" ({self.end - size} bytes are missing)",
                    CUT_OFF,
                )
            )
        return self._faults

    def _want(self, offset: int, length: int, take: Callable[[bytes], None], *, needed: bool = True) -> None:
        """Ask for a region; only one that is *needed* has to be there."""
        if needed:
            self.end = max(self.end, offset + length)
        self._regions.want(offset, length, self._taking(take, needed=needed))

    def _want_each(
        self, offsets: Sequence[int], length: int, take: Callable[[int, bytes], None], *, needed: bool = True
    ) -> None:
        """Ask for the regions of *length* bytes at all *offsets* but 0; *take* gets their number and bytes."""
        order = sorted(range(len(offsets)), key=offsets.__getitem__)
        if needed and order:
            self.end = max(self.end, offsets[order[-1]] + length)
        self._regions.want_each(
            (
                (offsets[number], self._taking(partial(take, number), needed=needed))
                for number in order
                if offsets[number]
            ),
            length,
        )

    def _taking(self, take: Callable[[bytes], None], *, needed: bool) -> Take:
        def taking(data: bytes | None) -> None:
            if data is not None:
                self._guarded(lambda: take(data))
            elif needed:
                self._faults.append(order_fault())
            else:
                self._missed = True

        return taking

    def _guarded(self, work: Callable[[], Any]) -> None:
        """Do *work* unless there is a fault already, and note its faults."""
        if self._faults:
            return
        try:
            work()
        except DamagedError as error:
            self._faults.append(Fault("tables", "damaged", str(error), FETCH_AGAIN))
        except UnsupportedError as error:
            self._faults.append(
                Fault(
                    "tables",
                    "unsupported",
                    str(error),
                    f"convert it with 'qemu-img convert -O {self.NAME}' anew",
                )
            )
        except (struct.error, OverflowError, LookupError) as error:
            reason = f"its tables contradict each other ({type(error).__name__})"
            self._faults.append(Fault("tables", "damaged", reason, FETCH_AGAIN))


def order_fault() -> Fault:
    """Return the fault of an image in a stream whose tables lead back to bytes that have passed."""
    return Fault(
        "order",
        "unsupported",
        "its tables lead back to what comes before them, which can be followed in a file only",
        "set 'staging: file' in the pipeline",
    )


def require(condition: object, reason: str) -> None:
    """Raise ``DamagedError`` with *reason* unless *condition* holds."""
    if not condition:
        raise DamagedError(reason)


def require_few(entries: int, what: str) -> None:
    """Raise ``UnsupportedError`` when a table has more entries than are followed."""
    if entries > MOST_ENTRIES:
        raise UnsupportedError(f"it has {entries} {what}; {MOST_ENTRIES} are followed")
