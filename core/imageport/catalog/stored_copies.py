"""Read the copies of all images in the order of their rows, to compare them with those in the stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imageport.catalog.database import CatalogPart
from imageport.catalog.images import to_location
from imageport.values import Location

#: Rows that are read at once.
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row about a copy; ``number`` is its key, and ``is_active`` is true once the copy can be seen."""

    number: int
    image_id: str
    location: Location
    is_active: bool


class StoredCopies(CatalogPart):
    """The copies that the catalog knows, visible and hidden ones."""

    def stored_rows(self) -> Iterator[list[StoredRow]]:
        """Yield the rows of all copies in pages, each read in one transaction.

        A row that is there from the first page to the last is yielded.
        """
        last = 0
        while True:
            with self._database.reading() as transaction:
                rows = transaction.rows(
                    "SELECT number, image_id, store, url, metadata, status FROM image_locations"
                    " WHERE number > :last ORDER BY number LIMIT :page",
                    last=last, page=_PAGE,
                )  # fmt: skip
                page = [
                    StoredRow(row["number"], row["image_id"], to_location(row), row["status"] == "active")
                    for row in rows
                ]
            if not page:
                return
            yield page
            last = page[-1].number

    def is_stored(self, row: StoredRow) -> bool:
        """Return whether the copy of *row* can still be seen."""
        at = {"number": row.number, "url": row.location.url}
        with self._database.reading() as transaction:
            status = transaction.value(
                "SELECT status FROM image_locations WHERE number = :number AND url = :url", **at
            )
        return bool(status == "active")
