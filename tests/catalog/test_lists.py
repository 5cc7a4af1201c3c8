"""Lists and searches: what they find, and that they read no more rows when there are more of them."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from tests.bench.crowd import fill, image_id
from tests.catalog.plans import plans, recorded_statements

from imageport.access.visibility import EVERYTHING, NOTHING, Scope, admits
from imageport.catalog import Catalog, finding, listing
from imageport.catalog.sqlite import SqliteDatabase
from imageport.errors import UsageError
from imageport.values import ImageRecord

MINE: Scope = [{"owner": "bench"}, {"visibility": "public"}, {"visibility": "community"}]
STRANGER: Scope = [{"owner": "stranger"}, {"visibility": "community"}]
PUBLIC_OF_ONE: Scope = [{"owner": "owner-2", "visibility": "public"}]


@pytest.fixture
def crowd(url: str) -> Iterator[Catalog]:
    """Return a catalog of 300 images and tasks; some times are the same, some images have no name, size or owner."""
    fill(url, 300)
    catalog = Catalog(url)
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(5):
        catalog.create_image(
            ImageRecord(id=f"bare-{number}", created_at=moment, owner="bench" if number else None)
        )
    for number in (7, 8, 100):
        catalog.delete_image(image_id(number))
    yield catalog
    catalog.close()


# -------------------------------------------------------------------------------------------------- what is found


def _expected(
    records: Sequence[ImageRecord], scopes: Sequence[Scope], sort: str, *, descending: bool, **filters: Any
) -> list[str]:
    def value(record: ImageRecord) -> Any:
        found = getattr(record, sort)
        return ("" if sort == "name" else -1) if found is None else found

    def wanted(record: ImageRecord) -> bool:
        return (
            all(admits(scope, record) for scope in scopes)
            and all(
                getattr(record, name) == filters[name]
                for name in ("name", "status", "owner")
                if name in filters
            )
            and set(filters.get("tags", ())) <= set(record.tags)
            and filters.get("properties", {}).items() <= dict(record.properties).items()
        )

    found = [record for record in records if wanted(record)]
    return [
        record.id
        for record in sorted(found, key=lambda record: (value(record), record.id), reverse=descending)
    ]


FILTERS: Sequence[Mapping[str, Any]] = (
    {},
    {"name": "image-000010"},
    {"name": "no such"},
    {"status": "active"},
    {"status": "queued"},
    {"owner": "owner-4"},
    {"owner": "bench", "status": "active"},
    {"tags": ["tag-3"]},
    {"tags": ["tag-3", "tag-4"]},
    {"properties": {"os_distro": "debian"}},
    {"properties": {"os_distro": "debian", "os_version": "11"}},
    {"properties": {"os_version": "11"}, "tags": ["tag-11"], "owner": "bench"},
    {"properties": {"os_distro": "debia"}},
)
SCOPES: Sequence[Sequence[Scope]] = (
    [EVERYTHING], [NOTHING], [MINE], [STRANGER], [PUBLIC_OF_ONE], [MINE, [{"visibility": "public"}]], [MINE, NOTHING],
)  # fmt: skip


@pytest.mark.parametrize("few", [1, 2000])
def test_a_list_has_the_images_of_its_filters_and_scopes_in_pages(
    crowd: Catalog, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_FEW", few)
    records = [crowd.get_image(record.id) for record in crowd.list_images()]
    assert len(records) == 302
    random = Random(few)
    for filters, scopes in itertools.product(FILTERS, SCOPES):
        sort, descending = random.choice(["created_at", "updated_at", "name", "size"]), random.random() < 0.5
        expected = _expected(records, scopes, sort, descending=descending, **filters)
        options: dict[str, Any] = {"scopes": scopes, "sort": sort, "descending": descending, **filters}
        assert [record.id for record in crowd.list_images(**options)] == expected
        found: list[str] = []
        limit = random.randint(1, 60)
        while page := crowd.list_images(**options, limit=limit, marker=found[-1] if found else None):
            assert len(page) <= limit
            found += [record.id for record in page]
        assert found == expected, (filters, scopes, sort)


@pytest.mark.parametrize("few", [1, 2000])
def test_tasks_are_listed_for_who_sees_their_image_or_started_them(
    crowd: Catalog, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_FEW", few)
    tasks, records = crowd.list_tasks(), {record.id: record for record in crowd.list_images()}
    assert len(tasks) == 300
    scopes = (*(scopes[0] for scopes in SCOPES), [{"owner": f"owner-{8}"}], [{"visibility": "private"}])
    for sees_image, sees_task, status in itertools.product(scopes, (EVERYTHING, MINE), (None, "failure")):
        expected = []
        for task in tasks:
            started = ImageRecord(id=task.image_id, visibility="private", owner=task.owner)
            record = records.get(task.image_id, started)
            if (
                admits(sees_image, record)
                and admits(sees_task, record.evolve(owner=task.owner))
                and status in (None, task.status)
            ):
                expected.append(task.id)
        options: dict[str, Any] = {"sees_image": sees_image, "sees_task": sees_task, "status": status}
        found: list[str] = []
        while page := crowd.list_tasks(**options, limit=37, marker=found[-1] if found else None):
            found += [task.id for task in page]
        assert found == expected, options
        for task in tasks[:10]:
            if task.id in expected or status:
                continue
            with pytest.raises(UsageError, match="no task"):
                crowd.find_task(task.id, sees_image=sees_image, sees_task=sees_task)


def test_an_image_is_found_by_what_the_scope_shows_alone(crowd: Catalog) -> None:
    wanted = crowd.get_image(image_id(9))
    for name in (wanted.id, wanted.id[:13], "image-000009"):
        assert crowd.find_image(name, scope=MINE) == wanted
        with pytest.raises(UsageError, match="no image"):
            crowd.find_image(name, scope=STRANGER)


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [("imaeg-000009", "image-000009"), ("iimage-000009", "image-000009"), ("image-00000", "image-000")],
)
def test_a_mistyped_name_gets_a_suggestion_that_the_caller_may_see(
    crowd: Catalog, mistyped: str, meant: str
) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{meant}"):
        crowd.find_image(mistyped, scope=MINE)
    with pytest.raises(UsageError) as caught:
        crowd.find_image(mistyped, scope=STRANGER)
    assert "did you mean" not in caught.value.message


def test_a_name_of_very_many_images_is_answered_with_a_few_and_their_number(catalog: Catalog) -> None:
    for number in range(30):
        catalog.create_image(ImageRecord(id=f"one-of-many-{number:02}", name="many"))
    with pytest.raises(UsageError, match=r"'many' matches 30 images: .* and 25 more"):
        catalog.find_image("many")
    with pytest.raises(UsageError, match=r"'one-of' matches 30 images: .* and 25 more"):
        catalog.find_image("one-of")


# ------------------------------------------------------------------------------------------------ what it costs

SEARCHES: Mapping[str, Callable[[Catalog], object]] = {
    "the first page": lambda catalog: catalog.list_images(limit=20),
    "a later page": lambda catalog: catalog.list_images(limit=20, marker=image_id(150)),
    "what a user sees": lambda catalog: catalog.list_images(scopes=[MINE], limit=20),
    "a later page of a user": lambda catalog: catalog.list_images(
        scopes=[MINE], limit=20, marker=image_id(150)
    ),
    "a user who sees nothing": lambda catalog: catalog.list_images(scopes=[STRANGER], limit=20),
    "a status": lambda catalog: catalog.list_images(status="active", limit=20),
    "a status that none has": lambda catalog: catalog.list_images(status="queued", limit=20),
    "a name": lambda catalog: catalog.list_images(name="image-000031", scopes=[MINE], limit=20),
    "a rare property": lambda catalog: catalog.list_images(
        properties={"build": "b33"}, scopes=[MINE], limit=20
    ),
    "a common property": lambda catalog: catalog.list_images(
        properties={"os_distro": "debian"}, scopes=[MINE], limit=20
    ),
    "no such property": lambda catalog: catalog.list_images(
        properties={"build": "x"}, scopes=[MINE], limit=20
    ),
    "no such tag": lambda catalog: catalog.list_images(tags=["x"], scopes=[MINE], limit=20),
    "an id": lambda catalog: catalog.find_image(image_id(33), scope=MINE),
    "the beginning of an id": lambda catalog: catalog.find_image(image_id(33)[:12], scope=MINE),
    "an image by its name": lambda catalog: catalog.find_image("image-000033", scope=MINE),
    "a mistyped name": lambda catalog: _refused(lambda: catalog.find_image("imaeg-000033", scope=MINE)),
    "tasks": lambda catalog: catalog.list_tasks(limit=20),
    "tasks of a user": lambda catalog: catalog.list_tasks(sees_image=MINE, limit=20),
    "tasks of a user who sees nothing": lambda catalog: catalog.list_tasks(sees_image=STRANGER, limit=20),
    "failed tasks": lambda catalog: catalog.list_tasks(status="failure", limit=5),
    "tasks of an image": lambda catalog: catalog.list_tasks(image_id=image_id(33), sees_image=MINE, limit=20),
    "no such task": lambda catalog: _refused(lambda: catalog.find_task("zzzz", sees_image=MINE)),
    "dead imports": lambda catalog: catalog.dead_imports(),
    "hidden copies": lambda catalog: catalog.hidden_copies(),
    "expired tasks": lambda catalog: catalog.expired_tasks(datetime.now(UTC)),
}


def _refused(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        call()


@pytest.fixture
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a catalog of some hundred images a large one."""
    monkeypatch.setattr(listing, "_FEW", 20)
    monkeypatch.setattr(finding, "_LOOKED_AT", 50)
    monkeypatch.setattr(finding, "_TAKEN", 20)


def test_no_search_does_more_work_when_there_are_more_images(
    tmp_path_factory: pytest.TempPathFactory, small_thresholds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, steps = SqliteDatabase.connect, [0]

    def step() -> None:
        steps[0] += 1

    def connect_and_count(database: SqliteDatabase) -> sqlite3.Connection:
        connection = connect(database)
        connection.set_progress_handler(step, 10)
        return connection

    monkeypatch.setattr(SqliteDatabase, "connect", connect_and_count)
    work: dict[str, list[int]] = {search: [] for search in SEARCHES}
    for count in (400, 4000):
        url = f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.db"
        fill(url, count)
        catalog = Catalog(url)
        for search, call in SEARCHES.items():
            steps[0] = 0
            call(catalog)
            work[search].append(steps[0])
        catalog.close()
    grown = {search: (few, many) for search, (few, many) in work.items() if many > 1.5 * few + 50}
    assert grown == {}


def test_every_search_reads_an_index(url: str, small_thresholds: None) -> None:
    fill(url, 400)
    catalog = Catalog(url)
    with recorded_statements() as executed:
        for call in SEARCHES.values():
            call(catalog)
    catalog.close()
    searches = [
        (statement, values) for statement, values in executed if "images" in statement or "tasks" in statement
    ]
    assert len(searches) > len(SEARCHES)
    scans = {}
    for statement, plan in plans(url, searches).items():
        for line in plan:
            in_order = " USING " in line and "LIMIT" in statement
            hidden = "ix_image_locations_hidden" in line
            if "Seq Scan" in line or (
                line.startswith(("SCAN image", "SCAN tasks")) and not (in_order or hidden)
            ):
                scans[statement] = plan
    assert scans == {}
