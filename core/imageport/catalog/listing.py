"""Lists of images and tasks: filtered, ordered, paged and limited to the caller's view, in SQL.

A column is written as ``column || ''`` where the database must not look for its value in an index: another condition
leaves fewer rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

from imageport.access.visibility import EVERYTHING, Scope
from imageport.catalog.database import Transaction, Values
from imageport.catalog.tables import VALUE_START, VALUE_START_LENGTH

SortKey = Literal["created_at", "updated_at", "name", "size"]

#: Without a value, an image comes before all others; databases differ about nulls.
_KEYS: Mapping[SortKey, str] = MappingProxyType(
    {
        "created_at": "images.created_at",
        "updated_at": "images.updated_at",
        "name": "coalesce(images.name, '')",
        "size": "coalesce(images.size, -1)",
    }
)

#: Values by which lists are read from an index; the first that is known leaves fewest images.
INDEXED = ("owner", "visibility", "status")

#: As many images are cheaper to look up than to find among all.
_FEW = 2000

OF_IMAGES = MappingProxyType({name: f"images.{name}" for name in INDEXED})

_TASKS_AND_IMAGES = "tasks LEFT JOIN images ON images.id = tasks.image_id"
_VISIBILITY = "coalesce(images.visibility, 'private')"
#: Once the image is gone, a task is as a private image of the user who started it.
_AS_IMAGE = MappingProxyType(
    {"owner": "CASE WHEN images.id IS NULL THEN tasks.owner ELSE images.owner END", "visibility": _VISIBILITY}
)
_AS_OF_STARTER = MappingProxyType({"owner": "tasks.owner", "visibility": _VISIBILITY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list: at most *limit* rows (None: all) behind the one with the id *marker*."""

    limit: int | None = None
    marker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilters:
    """The filters of a list of images; None is not a filter. Images must have every tag and property."""

    name: str | None = None
    status: str | None = None
    owner: str | None = None
    tags: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def image_ids(
    transaction: Transaction,
    filters: ImageFilters,
    *,
    scopes: Sequence[Scope],
    sort: SortKey,
    descending: bool,
    page: Page,
) -> list[str]:
    """Return the ids of one page of the images that are in all *scopes*.

    Databases guess which filter leaves few images, and guess wrong. So this looks: when one does, only these images
    are read. Else each alternative of a scope is read from its own index, in order, until the page is full.
    """
    key = _KEYS[sort]
    values = Values()
    conditions = list(_filtered(filters, values))
    if page.marker is not None:
        marker = transaction.value(f"SELECT {key} FROM images WHERE id = :marker", marker=page.marker)
        conditions.append(_behind(key, "images.id", marker, page.marker, values, descending=descending))
    few = _few(transaction, filters)
    parts = []
    for wanted in _alternatives(scopes, filters):
        indexed = next((name for name in INDEXED if name in wanted), None) if few is None else None
        matches = [_equal(wanted, OF_IMAGES, values, indexed=indexed), *conditions]
        if few is not None:
            matches.append(f"images.id IN {values.add(few)}")
        parts.append(f"SELECT images.id AS id, {key} AS key FROM images WHERE {' AND '.join(matches)}")
    return _merged(transaction, parts, (key, "images.id"), values, descending=descending, limit=page.limit)


def _merged(
    transaction: Transaction, parts: Sequence[str], order: tuple[str, str], values: Values, *,
    descending: bool, limit: int | None,
) -> list[str]:  # fmt: skip
    """Return the ids that *parts* find, each in *order*, without repetition and in one order."""
    if not parts:
        return []
    end = "" if limit is None else f" LIMIT {values.add(limit)}"
    ordered = [f"{part} ORDER BY {_order(order, descending=descending)}{end}" for part in parts]
    if len(ordered) == 1:
        return transaction.column(ordered[0], **values)
    merged = " UNION ".join(f"SELECT id, key FROM ({part}) AS part" for part in ordered)
    order_of_all = _order(("key", "id"), descending=descending)
    return transaction.column(
        f"SELECT id, key FROM ({merged}) AS merged ORDER BY {order_of_all}{end}", **values
    )


def task_ids(
    transaction: Transaction,
    *,
    image_id: str | None,
    status: str | None,
    sees_image: Scope,
    sees_task: Scope,
    page: Page,
) -> list[str]:
    """Return the ids of one page of the tasks of this image and with this status, newest first.

    A caller sees a task whose image is in *sees_image* and that, as an image of the user who started it, is in
    *sees_task*. Once the image is gone, the task itself is as a private image of that user.
    """
    values = Values(image=image_id, status=status)
    conditions = [] if image_id is None else ["tasks.image_id = :image"]
    if page.marker is not None:
        created = transaction.value("SELECT created_at FROM tasks WHERE id = :marker", marker=page.marker)
        conditions.append(
            _behind("tasks.created_at", "tasks.id", created, page.marker, values, descending=True)
        )
    owners = _owners_of_gone(sees_image)
    found: list[str] | None = None
    if image_id is None and owners is not None:
        of_images: dict[str, Any] = {"scopes": [sees_image], "sort": "created_at", "descending": True}
        found = image_ids(transaction, ImageFilters(), page=Page(limit=_FEW + 1), **of_images)
    if owners is None or found is None or len(found) > _FEW:
        searches = [_seen_task(sees_image, sees_task, values)]
        if status is not None:
            conditions.append("tasks.status = :status")
    else:
        # A caller who sees few images would have all tasks searched for them.
        seen = _seen_task(EVERYTHING, sees_task, values)
        searches = [f"tasks.image_id IN {values.add(found)} AND {seen}"]
        searches += [
            f"images.id IS NULL AND tasks.owner = {values.add(owner)} AND {seen}" for owner in owners
        ]
        if status is not None:
            conditions.append("tasks.status || '' = :status")
    parts = [
        f"SELECT tasks.id AS id, tasks.created_at AS key FROM {_TASKS_AND_IMAGES}"
        f" WHERE {' AND '.join([search, *conditions])}"
        for search in searches
    ]
    order = ("tasks.created_at", "tasks.id")
    return _merged(transaction, parts, order, values, descending=True, limit=page.limit)


def tasks_beginning_so(
    transaction: Transaction, prefix: str, *, sees_image: Scope, sees_task: Scope, limit: int
) -> list[str]:
    """Return the ids of tasks that begin with *prefix* and are in both scopes, see ``task_ids``."""
    values = Values(limit=limit)
    meant = f"{begins('tasks.id', prefix, values)} AND {_seen_task(sees_image, sees_task, values)}"
    return transaction.column(
        f"SELECT tasks.id AS id FROM {_TASKS_AND_IMAGES} WHERE {meant} LIMIT :limit", **values
    )


def _seen_task(sees_image: Scope, sees_task: Scope, values: Values) -> str:
    return f"{in_scope(sees_image, _AS_IMAGE, values)} AND {in_scope(sees_task, _AS_OF_STARTER, values)}"


def _owners_of_gone(scope: Scope) -> list[str] | None:
    """Return whose tasks are in *scope* although their image is gone; None when all such tasks are."""
    private = [wanted for wanted in scope if wanted.get("visibility", "private") == "private"]
    return (
        sorted({wanted["owner"] for wanted in private})
        if all("owner" in wanted for wanted in private)
        else None
    )


def begins(column: str, prefix: str, values: Values) -> str:
    """Return the condition for ids that begin so; an index answers it, which LIKE cannot on every database."""
    # Ids are printable ASCII, all of which comes before DEL.
    end = values.add(prefix + "\x7f")
    return f"{column} >= {values.add(prefix)} AND {column} < {end}"


def _alternatives(scopes: Sequence[Scope], filters: ImageFilters) -> list[dict[str, str]]:
    """Return the sets of values of which an image has to have one, to be in all *scopes* and have status and owner."""
    fixed = {name: value for name in ("status", "owner") if (value := getattr(filters, name)) is not None}
    found: list[dict[str, str]] = []
    for chosen in product(*scopes):
        wanted = dict(fixed)
        if all(wanted.setdefault(name, value) == value for one in chosen for name, value in one.items()):
            found.append(wanted)
    return found


def _few(transaction: Transaction, filters: ImageFilters) -> list[str] | None:
    """Return the ids of all images with the name, with a tag or with a property, if these are few."""
    searches: list[tuple[str, dict[str, str]]] = []
    if filters.name is not None:
        searches.append(("SELECT id FROM images WHERE name = :name", {"name": filters.name}))
    searches += [("SELECT image_id FROM image_tags WHERE tag = :tag", {"tag": tag}) for tag in filters.tags]
    searches += [
        (
            # Were the last one a plain condition, SQLite would take its value for that of the index.
            f"SELECT image_id FROM image_properties WHERE name = :name AND {VALUE_START} = :start"
            " AND value || '' = :value",
            {"name": name, "value": value, "start": value[:VALUE_START_LENGTH]},
        )
        for name, value in filters.properties.items()
    ]
    for search, values in searches:
        found = transaction.column(f"{search} LIMIT :limit", limit=_FEW + 1, **values)
        if len(found) <= _FEW:
            return found
    return None


def _filtered(filters: ImageFilters, values: Values) -> Iterator[str]:
    if filters.name is not None:
        yield f"images.name || '' = {values.add(filters.name)}"
    for tag in filters.tags:
        yield (
            "EXISTS (SELECT 1 FROM image_tags"
            f" WHERE image_tags.image_id = images.id AND image_tags.tag = {values.add(tag)})"
        )
    for name, value in filters.properties.items():
        yield (
            "EXISTS (SELECT 1 FROM image_properties AS p"
            f" WHERE p.image_id = images.id AND p.name = {values.add(name)} AND p.value = {values.add(value)})"
        )


def _order(columns: tuple[str, str], *, descending: bool) -> str:
    return ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column in columns)


def _behind(key: str, id_: str, value: Any, marker: str, values: Values, *, descending: bool) -> str:
    there = f"({values.add(value)}, {values.add(marker)})"
    return f"({key}, {id_}) {'<' if descending else '>'} {there}"


def in_scope(scope: Scope, columns: Mapping[str, str], values: Values) -> str:
    """Return the condition for rows in *scope*, for which no index is taken: other conditions leave fewer rows."""
    return f"({' OR '.join(_equal(wanted, columns, values) for wanted in scope) or '1 = 0'})"


def _equal(
    wanted: Mapping[str, str], columns: Mapping[str, str], values: Values, *, indexed: str | None = None
) -> str:
    """Return the condition for rows with these values, of which an index may find one only."""
    conditions = [
        f"{columns[name]} = {values.add(value)}"
        if name == indexed
        else f"({columns[name]}) || '' = {values.add(value)}"
        for name, value in wanted.items()
    ]
    return " AND ".join(conditions) or "1 = 1"
