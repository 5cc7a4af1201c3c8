"""Compare the reference counts of a qcow2 with the references to its clusters."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

#: Clusters whose reference counts are compared; a count takes two bytes.
_COUNTED_CLUSTERS = 1 << 24
_HIGHEST_COUNT = 1 << 14


class ReferenceBalance:
    """The reference count of each cluster minus the references to it, in any order.

    Less than 0 at the end is a cluster that is used more often than it is counted. References of snapshots are not
    followed, so more than 0 has no meaning. ``highest_in_use`` is the last cluster with a count, -1 without any.
    """

    def __init__(self) -> None:
        self._balance = array("h")
        self.highest_in_use = -1

    @property
    def is_empty(self) -> bool:
        """True when there were neither counts nor references."""
        return not self._balance

    @property
    def first_overused(self) -> int | None:
        """The first cluster that is used more often than it is counted, or None."""
        if min(self._balance) >= 0:
            return None
        return next(number for number, balance in enumerate(self._balance) if balance < 0)

    def refer(self, clusters: Iterable[int]) -> None:
        """Note one more reference to each of *clusters*."""
        for cluster in clusters:
            self._add(cluster, -1)

    def count(self, number: int, counts: Sequence[int]) -> None:
        """Note the *counts* of the refcount block *number*."""
        for cluster, count in enumerate(counts, number * len(counts)):
            if count:
                self.highest_in_use = max(self.highest_in_use, cluster)
                self._add(cluster, min(count, _HIGHEST_COUNT))

    def _add(self, cluster: int, change: int) -> None:
        if cluster >= _COUNTED_CLUSTERS:
            return
        if cluster >= len(self._balance):
            self._balance.frombytes(bytes(2 * (cluster - len(self._balance) + 1)))
        self._balance[cluster] += change


def unpacked_counts(block: bytes, order: int) -> Sequence[int]:
    """Return the counts in a refcount *block*, of 2^*order* bits each."""
    width = 1 << order
    if width >= 8:
        return numbers({8: "B", 16: "H", 32: "I", 64: "Q"}[width], block)
    return [byte >> shift & ((1 << width) - 1) for byte in block for shift in range(0, 8, width)]


def numbers(code: str, data: bytes) -> array[int]:
    """Return the big-endian numbers in *data*; *code* is their type as in ``array``."""
    found = array(code, data)
    if sys.byteorder == "little":
        found.byteswap()
    return found
