"""Lists of images and tasks: filtered, ordered, paged and limited to what the caller sees, in SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    tuple_,
    union,
)

from imageport.access.scope import EVERYTHING, Scope
from imageport.catalog.tables import (
    VALUE_START,
    VALUE_START_LENGTH,
    image_properties,
    image_tags,
    images,
    tasks,
)
from imageport.values import MAX_NAME

SortKey = Literal["created_at", "updated_at", "name", "size"]

#: Without a value, an image comes before all others; databases differ about nulls.
_KEYS: Mapping[SortKey, ColumnElement[Any]] = MappingProxyType(
    {
        "created_at": images.c.created_at,
        "updated_at": images.c.updated_at,
        "name": func.coalesce(images.c.name, ""),
        "size": func.coalesce(images.c.size, -1),
    }
)

#: Values by which lists are read from an index; the first that is known leaves fewest images.
_INDEXED = ("owner", "visibility", "status")

#: As many images are cheaper to look up than to find among all.
_FEW = 2000

#: Rows that each search for similar names looks at, and names that it takes from them.
_LOOKED_AT, _TAKEN = 2000, 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A part of a list: at most *limit* rows (None: all) behind the one with the id *marker*."""

    limit: int | None = None
    marker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilters:
    """What the images of a list have in common; None is not looked at. They have every tag and property."""

    name: str | None = None
    status: str | None = None
    owner: str | None = None
    tags: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def image_ids(
    connection: Connection,
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
    order = _order(key, images.c.id, descending=descending)
    conditions = list(_filtered(filters))
    if page.marker is not None:
        marker = connection.execute(select(key).where(images.c.id == page.marker)).scalar_one()
        conditions.append(_behind(key, images.c.id, marker, page.marker, descending=descending))
    few = _few(connection, filters)
    parts = []
    for wanted in _alternatives(scopes, filters):
        if few is None:
            matches = _equal(
                wanted, images.c, indexed=next((name for name in _INDEXED if name in wanted), None)
            )
        else:
            matches = and_(images.c.id.in_(few), _equal(wanted, images.c, indexed=None))
        part = select(images.c.id.label("id"), key.label("key")).where(matches, *conditions)
        parts.append(part.order_by(*order).limit(page.limit))
    return _merged(connection, parts, descending=descending, limit=page.limit)


def _merged(
    connection: Connection, parts: Sequence[Select[Any]], *, descending: bool, limit: int | None
) -> list[str]:
    """Return the ids that *parts* find, each in order, without repetition and in one order."""
    if not parts:
        return []
    if len(parts) == 1:
        return list(connection.execute(parts[0]).scalars())
    merged = union(*(select(part.subquery()) for part in parts)).subquery()
    ordered = select(merged.c.id).order_by(*_order(merged.c.key, merged.c.id, descending=descending))
    return list(connection.execute(ordered.limit(limit)).scalars())


def named_so(connection: Connection, name: str, scope: Scope, limit: int) -> list[str]:
    """Return the ids of images in *scope* with this name."""
    wanted = select(images.c.id).where(images.c.name == name, _in_scope(scope, images.c))
    return list(connection.execute(wanted.limit(limit)).scalars())


def beginning_so(connection: Connection, prefix: str, scope: Scope, limit: int) -> list[str]:
    """Return the ids of images in *scope* that begin with *prefix*."""
    wanted = select(images.c.id).where(begins(images.c.id, prefix), _in_scope(scope, images.c))
    return list(connection.execute(wanted.limit(limit)).scalars())


def count_of(connection: Connection, name: str, prefix: str | None, scope: Scope) -> int:
    """Return how many images in *scope* have this name, or this beginning of their id."""
    meant = images.c.name == name
    if prefix is not None:
        meant = or_(meant, begins(images.c.id, prefix))
    return connection.execute(
        select(func.count()).select_from(images).where(meant, _in_scope(scope, images.c))
    ).scalar_one()


def similar_names(connection: Connection, name: str, scope: Scope) -> set[str]:
    """Return names of images in *scope* that may have been meant by *name*, a bounded number of them.

    These are the names that differ by a letter too many or by two letters in the wrong order, and those near *name* in
    the alphabet.
    """
    near = select(images.c.name, images.c.owner, images.c.visibility)
    searched = [
        near.where(images.c.name.in_(_slips(name))),
        near.where(images.c.name < name).order_by(images.c.name.desc()),
        near.where(images.c.name > name).order_by(images.c.name),
    ]
    found: set[str] = set()
    for search in searched:
        rows = search.limit(_LOOKED_AT).subquery()
        seen = select(rows.c.name).where(_in_scope(scope, rows.c)).limit(_TAKEN)
        found |= set(connection.execute(seen).scalars())
    return found


def _slips(name: str) -> list[str]:
    """Return what *name* is without one of its letters, and with two of them exchanged."""
    name = name[:MAX_NAME]
    shorter = {name[:place] + name[place + 1 :] for place in range(len(name))}
    exchanged = {
        name[:place] + name[place + 1] + name[place] + name[place + 2 :] for place in range(len(name) - 1)
    }
    return sorted(shorter | exchanged)


def task_ids(
    connection: Connection,
    *,
    image_id: str | None,
    status: str | None,
    sees_image: Scope,
    sees_task: Scope,
    page: Page,
) -> list[str]:
    """Return the ids of one page of the tasks of this image and with this status, newest first.

    A task is seen by who sees its image and, as an image of who started it, is in *sees_task*. Once the image is gone,
    the task itself is as a private image of who started it.
    """
    order = _order(tasks.c.created_at, tasks.c.id, descending=True)
    conditions = [] if image_id is None else [tasks.c.image_id == image_id]
    if page.marker is not None:
        created_at = connection.execute(
            select(tasks.c.created_at).where(tasks.c.id == page.marker)
        ).scalar_one()
        conditions.append(_behind(tasks.c.created_at, tasks.c.id, created_at, page.marker, descending=True))
    owners = _owners_of_gone(sees_image)
    found: list[str] | None = None
    if image_id is None and owners is not None:
        scopes = {"scopes": [sees_image], "sort": "created_at", "descending": True}
        found = image_ids(connection, ImageFilters(), page=Page(limit=_FEW + 1), **scopes)  # type: ignore[arg-type]
    if owners is None or found is None or len(found) > _FEW:
        searches = [_seen_task(sees_image, sees_task)]
        if status is not None:
            conditions.append(tasks.c.status == status)
    else:
        # Who sees few images would have all tasks searched for them.
        gone = images.c.id.is_(None)
        searches = [
            tasks.c.image_id.in_(found),
            *(and_(gone, tasks.c.owner == owner) for owner in owners),
        ]
        searches = [and_(search, _seen_task(EVERYTHING, sees_task)) for search in searches]
        if status is not None:
            conditions.append(_plain(tasks.c.status) == status)
    parts = [
        select(tasks.c.id.label("id"), tasks.c.created_at.label("key"))
        .select_from(_TASKS_AND_IMAGES)
        .where(search, *conditions)
        .order_by(*order)
        .limit(page.limit)
        for search in searches
    ]
    return _merged(connection, parts, descending=True, limit=page.limit)


def tasks_beginning_so(
    connection: Connection, prefix: str, *, sees_image: Scope, sees_task: Scope, limit: int
) -> list[str]:
    """Return the ids of tasks that begin with *prefix* and are in both scopes, see ``task_ids``."""
    wanted = (
        select(tasks.c.id)
        .select_from(_TASKS_AND_IMAGES)
        .where(begins(tasks.c.id, prefix), _seen_task(sees_image, sees_task))
    )
    return list(connection.execute(wanted.limit(limit)).scalars())


_TASKS_AND_IMAGES = tasks.outerjoin(images, images.c.id == tasks.c.image_id)


def _seen_task(sees_image: Scope, sees_task: Scope) -> ColumnElement[bool]:
    visibility = func.coalesce(images.c.visibility, "private")
    owner = case((images.c.id.is_(None), tasks.c.owner), else_=images.c.owner)
    return and_(
        _in_scope(sees_image, {"owner": owner, "visibility": visibility}),
        _in_scope(sees_task, {"owner": tasks.c.owner, "visibility": visibility}),
    )


def _owners_of_gone(scope: Scope) -> list[str] | None:
    """Return whose tasks are in *scope* although their image is gone; None when all such tasks are."""
    private = [wanted for wanted in scope if wanted.get("visibility", "private") == "private"]
    return (
        sorted({wanted["owner"] for wanted in private})
        if all("owner" in wanted for wanted in private)
        else None
    )


def begins(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Return the condition for ids that begin so; an index answers it, which LIKE cannot on every database."""
    # Ids are printable ASCII, all of which comes before DEL.
    return and_(column >= prefix, column < prefix + "\x7f")


def _alternatives(scopes: Sequence[Scope], filters: ImageFilters) -> list[dict[str, str]]:
    """Return the sets of values of which an image has to have one, to be in all *scopes* and have status and owner."""
    fixed = {name: value for name in ("status", "owner") if (value := getattr(filters, name)) is not None}
    found: list[dict[str, str]] = []
    for chosen in product(*scopes):
        wanted = dict(fixed)
        if all(wanted.setdefault(name, value) == value for one in chosen for name, value in one.items()):
            found.append(wanted)
    return found


def _few(connection: Connection, filters: ImageFilters) -> list[str] | None:
    """Return the ids of all images with the name, with a tag or with a property, if these are few."""
    searches = [select(images.c.id).where(images.c.name == filters.name)] if filters.name is not None else []
    searches += [select(image_tags.c.image_id).where(image_tags.c.tag == tag) for tag in filters.tags]
    searches += [
        select(image_properties.c.image_id).where(_has_value(name, value))
        for name, value in filters.properties.items()
    ]
    for search in searches:
        found = list(connection.execute(search.limit(_FEW + 1)).scalars())
        if len(found) <= _FEW:
            return found
    return None


def _filtered(filters: ImageFilters) -> Iterator[ColumnElement[bool]]:
    if filters.name is not None:
        yield _plain(images.c.name) == filters.name
    for tag in filters.tags:
        yield exists().where(image_tags.c.image_id == images.c.id, image_tags.c.tag == tag)
    for name, value in filters.properties.items():
        yield exists().where(
            image_properties.c.image_id == images.c.id,
            image_properties.c.name == name,
            image_properties.c.value == value,
        )


def _has_value(name: str, value: str) -> ColumnElement[bool]:
    return and_(
        image_properties.c.name == name,
        literal_column(VALUE_START) == value[:VALUE_START_LENGTH],
        # Were it a plain condition, SQLite would take its value for that in the line above, and not the index.
        _plain(image_properties.c.value) == value,
    )


def _order(
    key: ColumnElement[Any], id_: ColumnElement[str], *, descending: bool
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    return (key.desc(), id_.desc()) if descending else (key.asc(), id_.asc())


def _behind(
    key: ColumnElement[Any], id_: ColumnElement[str], value: Any, marker: str, *, descending: bool
) -> ColumnElement[bool]:
    here, there = tuple_(key, id_), tuple_(literal(value, key.type), literal(marker, id_.type))
    return here < there if descending else here > there


def _in_scope(scope: Scope, columns: Any) -> ColumnElement[bool]:
    """Return the condition for rows in *scope*, for which no index is taken: other conditions leave fewer rows."""
    return or_(false(), *(_equal(wanted, columns, indexed=None) for wanted in scope))


def _equal(wanted: Mapping[str, str], columns: Any, *, indexed: str | None) -> ColumnElement[bool]:
    """Return the condition for rows with these values, of which an index may find one only."""
    return and_(
        true(),
        *(
            (columns[name] if name == indexed else _plain(columns[name])) == value
            for name, value in wanted.items()
        ),
    )


def _plain(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return the same text, which the database does not look for in an index."""
    return column.concat("")
