"""Find one image by its id, its name or the beginning of its id, or suggest similar ones."""

from __future__ import annotations

from typing import cast

from imageport.access.visibility import Scope, admits
from imageport.catalog import images
from imageport.catalog.database import Transaction, Values
from imageport.catalog.listing import INDEXED, OF_IMAGES, begins, in_scope
from imageport.errors import UsageError
from imageport.text import did_you_mean
from imageport.values import MAX_NAME, ImageRecord

MIN_PREFIX = 4
SHOWN_CANDIDATES = 5

#: Rows that each search for similar names looks at, and names that it takes from them.
_LOOKED_AT, _TAKEN = 2000, 250


def find(transaction: Transaction, name_or_id: str, scope: Scope) -> ImageRecord:
    """Return the one image in *scope* with this id, name or beginning of an id. Raises ``UsageError``."""
    exact = images.records(transaction, [name_or_id])
    if exact and admits(scope, exact[0]):
        return exact[0]
    few = SHOWN_CANDIDATES + 1
    prefix = name_or_id if len(name_or_id) >= MIN_PREFIX else None
    found = _matching(transaction, name_or_id, prefix, scope, few)
    if len(found) == 1:
        return images.get(transaction, found[0])
    if not found:
        names = sorted(_similar_names(transaction, name_or_id, scope))
        raise UsageError(
            f"no image '{name_or_id}'{did_you_mean(name_or_id, names)}",
            hint="'imageport images list' shows what there is",
        )
    shown = images.records(transaction, found[:SHOWN_CANDIDATES])
    candidates = ", ".join(f"{record.id} ({record.name})" for record in shown)
    count = _count_of(transaction, name_or_id, prefix, scope)
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    raise UsageError(f"'{name_or_id}' matches {count} images: {candidates}{more}", hint="give the id")


def _matching(transaction: Transaction, name: str, prefix: str | None, scope: Scope, limit: int) -> list[str]:
    """Return the ids of images in *scope* that have this name, or whose id begins with *prefix*."""
    values = Values(limit=limit)
    meant = _meant(name, prefix, scope, values)
    return transaction.column(f"SELECT id FROM images WHERE {meant} LIMIT :limit", **values)


def _count_of(transaction: Transaction, name: str, prefix: str | None, scope: Scope) -> int:
    """Return how many images ``_matching`` finds without a limit."""
    values = Values()
    meant = _meant(name, prefix, scope, values)
    return cast("int", transaction.value(f"SELECT count(*) FROM images WHERE {meant}", **values))


def _meant(name: str, prefix: str | None, scope: Scope, values: Values) -> str:
    meant = f"name = {values.add(name)}"
    if prefix is not None:
        meant = f"({meant} OR {begins('id', prefix, values)})"
    return f"{meant} AND {in_scope(scope, OF_IMAGES, values)}"


def _similar_names(transaction: Transaction, name: str, scope: Scope) -> set[str]:
    """Return names of images in *scope* that may have been meant by *name*, a bounded number of them.

    These are the names that differ by a letter too many or by two letters in the wrong order, and those near *name* in
    the alphabet.
    """
    values = Values(name=name, slips=_slips(name), looked_at=_LOOKED_AT, taken=_TAKEN)
    seen = in_scope(scope, {column: column for column in INDEXED}, values)
    found: set[str] = set()
    for near in ("name IN :slips", "name < :name ORDER BY name DESC", "name > :name ORDER BY name"):
        rows = f"SELECT name, owner, visibility FROM images WHERE {near} LIMIT :looked_at"
        found.update(
            transaction.column(f"SELECT name FROM ({rows}) AS near WHERE {seen} LIMIT :taken", **values)
        )
    return found


def _slips(name: str) -> list[str]:
    """Return the variants of *name* without one of its letters, and with two of them exchanged."""
    name = name[:MAX_NAME]
    shorter = {name[:place] + name[place + 1 :] for place in range(len(name))}
    exchanged = {
        name[:place] + name[place + 1] + name[place] + name[place + 2 :] for place in range(len(name) - 1)
    }
    return sorted(shorter | exchanged)
