"""Count the images and bytes of an owner, as quotas do, and check the room for more.

Room is asked in the transaction that takes it. Other transactions that ask for the same owner wait for its end, so that
the second of two at the same moment sees the growth of the first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from imageport.catalog.database import Transaction
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.lock import IMPORTING
from imageport.catalog.tables import VALUE_START

_RESERVING = "tasks.status IN :unfinished AND reserved IS NOT NULL"
#: Images with data that is not in a store yet, or that is copied now.
_UNDER_WAY = (
    "(images.status IN ('saving', 'uploading', 'importing') OR images.id IN"
    f" (SELECT image_id FROM image_properties WHERE name = '{IMPORTING}' AND {VALUE_START} > ''))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The usage of an owner, under the names of the quotas: numbers of images, and bytes."""

    image_count_total: int
    image_size_total: int
    image_stage_total: int
    image_count_uploading: int


class Demand(Protocol):
    """The growth that ``require`` checks for an owner; the image *besides* does not count."""

    @property
    def owner(self) -> str | None:
        """Whose quotas count."""
        ...

    @property
    def besides(self) -> str | None:
        """The id of the image that the demand is about."""
        ...

    @property
    def quotas(self) -> Collection[str]:
        """The names of the quotas that have a limit."""
        ...

    def compare(self, used: Mapping[str, int]) -> None:
        """Raise ``OverQuota`` when the usage *used* leaves too little of a quota."""
        ...


def require(transaction: Transaction, demand: Demand | None) -> None:
    """Raise ``OverQuota`` unless there is room for *demand*; until the transaction ends, no other one takes it."""
    if demand is None:
        return
    if demand.quotas:
        transaction.take_turn(demand.owner or "")
    compare(transaction, demand)


def compare(transaction: Transaction, demand: Demand) -> None:
    """Raise ``OverQuota`` unless there is room for *demand* now."""
    demand.compare({name: _count(transaction, name, demand.owner, demand.besides) for name in demand.quotas})


def of_owner(transaction: Transaction, owner: str | None, *, besides: str | None) -> Usage:
    """Return the usage of *owner*, without the image with the id *besides*."""
    return Usage(**{name: _count(transaction, name, owner, besides) for name in _COUNTED})


#: The images of an owner that count; one that is being imported counts with its expected bytes.
_COUNTED: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "image_count_total": ("SELECT count(*) FROM images WHERE {theirs}",),
        "image_size_total": (
            "SELECT coalesce(sum(size), 0) FROM images JOIN image_locations ON image_id = images.id"
            " WHERE {theirs} AND image_locations.status = 'active'"
            f" AND images.id NOT IN (SELECT image_id FROM tasks WHERE {_RESERVING})",
            "SELECT coalesce(sum(reserved), 0) FROM tasks JOIN images ON images.id = tasks.image_id"
            f" WHERE {{theirs}} AND {_RESERVING}",
        ),
        "image_stage_total": (
            f"SELECT coalesce(sum(size), 0) FROM images WHERE {{theirs}} AND {_UNDER_WAY}",
        ),
        "image_count_uploading": (f"SELECT count(*) FROM images WHERE {{theirs}} AND {_UNDER_WAY}",),
    }
)


def _count(transaction: Transaction, name: str, owner: str | None, besides: str | None) -> int:
    """Return the usage of *owner* under the name of a quota, without the image with the id *besides*."""
    theirs = "images.owner IS NULL" if owner is None else "images.owner = :owner"
    if besides is not None:
        theirs += " AND images.id <> :besides"
    values = {"owner": owner, "besides": besides, "unfinished": UNFINISHED}
    return sum(
        int(transaction.value(statement.format(theirs=theirs), **values)) for statement in _COUNTED[name]
    )
