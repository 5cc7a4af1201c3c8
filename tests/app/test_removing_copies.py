"""Copies are removed one by one, each only while it is still the one that has to go."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.catalog.conftest import ELSEWHERE
from tests.plugin_folder import PluginFolder

from imageport import Location, NoConfig, Plugin, StoreFailed, hookimpl
from imageport.app.housekeeping import maintenance_context
from imageport.catalog import Catalog, Lease, this_process
from imageport.configuration.site import Site
from imageport.importing.context_factory import HostContext
from imageport.importing.recovery import recover_dead_import, remove_copies
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores, remove_all
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.values import ImageRecord

SLOW = Location(url="shelf:slow", store="shelf")
FAST = Location(url="shelf:fast", store="shelf")


SLOWLY_MADE = """
    import threading

    from imageport import NoConfig, Plugin, hookimpl

    gate = threading.Event()


    class Slow(Plugin[NoConfig]):
        def __init__(self, config):
            super().__init__(config)
            gate.wait()

        @hookimpl
        def store_delete(self, location): ...

        @hookimpl
        def store_read(self, location): ...
"""


class Shelf(Plugin[NoConfig]):
    """Note what is deleted; call ``meanwhile`` in the deletion of *slow* copies."""

    def __init__(self, meanwhile: Callable[[], object], *, slow: str = SLOW.url) -> None:
        super().__init__(NoConfig())
        self.meanwhile = meanwhile
        self.slow = slow
        self.deleted: list[str] = []

    @hookimpl
    def store_delete(self, location: Location) -> None:
        if re.fullmatch(self.slow, location.url):
            self.meanwhile()
        self.deleted.append(location.url)


def stores_with(shelf: Shelf) -> Stores:
    return Stores(PluginRegistry.installed(), [BoundStep.bind("shelf", "acme 1.0", shelf, is_store=True)])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.model_validate({"staging": {"directory": tmp_path / "staging"}})


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    yield opened
    opened.close()


@pytest.fixture
def ctx(site: Site) -> Iterator[HostContext]:
    with maintenance_context(site) as context:
        yield context


@pytest.fixture
def begin(catalog: Catalog) -> Callable[[float], Lease]:
    image = catalog.create_image(
        ImageRecord(id=str(uuid.uuid4()), disk_format="raw", container_format="bare")
    )

    def begin_import(lease_seconds: float) -> Lease:
        with patch(
            "imageport.catalog.lease.this_process", lambda: ELSEWHERE if lease_seconds < 0 else this_process()
        ):
            lease = catalog.begin_import(
                image.id,
                starts_from={"queued"},
                request={},
                owner="alice",
                targets=["shelf"],
                lease_seconds=lease_seconds,
            )
        lease.start()
        return lease

    return begin_import


def published_by_the_next(catalog: Catalog, begin: Callable[[float], Lease]) -> None:
    lease = begin(60)
    lease.announce(FAST)
    lease.publish(FAST)
    lease.finish(fields={"status": "active"}, result={})


def test_a_slow_roll_back_leaves_alone_what_the_next_import_published(
    catalog: Catalog, site: Site, ctx: HostContext, begin: Callable[[float], Lease]
) -> None:
    robbed = begin(-1)
    for location in (SLOW, FAST):
        robbed.announce(location)

    def next_import() -> None:
        shelf.meanwhile = lambda: None
        task = catalog.dead_import(robbed.image_id)
        assert task is not None
        recover_dead_import(task, catalog, stores, Staging(site.staging.directory), ctx)
        shelf.deleted.clear()
        published_by_the_next(catalog, begin)

    shelf = Shelf(next_import)
    stores = stores_with(shelf)
    assert remove_copies(robbed.task_id, catalog, stores, ctx) == []
    assert FAST.url not in shelf.deleted
    assert catalog.get_image(robbed.image_id).locations == (FAST,)


def test_gc_leaves_alone_what_an_import_published_while_it_was_at_work(
    catalog: Catalog, ctx: HostContext, begin: Callable[[float], Lease]
) -> None:
    failed = begin(60)
    for location in (SLOW, FAST):
        failed.announce(location)
    failed.fail(message="")
    shelf = Shelf(lambda: published_by_the_next(catalog, begin))
    done = [
        removal.removed for removal in remove_all(catalog.hidden_copies(), catalog, stores_with(shelf), ctx)
    ]
    assert done == [True, False]
    assert shelf.deleted == [SLOW.url]


def test_whatever_a_store_raises_the_other_copies_are_removed(
    catalog: Catalog, ctx: HostContext, begin: Callable[[float], Lease]
) -> None:
    failed = begin(60)
    for url in ("json", SLOW.url, FAST.url):
        definition = {"definition": "no json"} if url == "json" else {}
        failed.announce(Location(url=url, store="shelf", metadata=definition))
    failed.fail(message="")
    shelf = Shelf(lambda: 1 / 0)
    left = remove_copies(failed.task_id, catalog, stores_with(shelf), ctx)
    assert [location.url for location in left] == ["json", SLOW.url]
    assert shelf.deleted == [FAST.url]
    assert [copy.location.url for copy in catalog.hidden_copies()] == ["json", SLOW.url]


def test_a_dead_import_takes_from_staging_only_what_was_its_own(
    catalog: Catalog, site: Site, ctx: HostContext, begin: Callable[[float], Lease]
) -> None:
    dead = begin(-1)
    staging = Staging(site.staging.directory)
    own, other = (site.staging.directory / f"{dead.image_id}.{task}" for task in (dead.task_id, "other"))
    for folder in (own, other):
        folder.mkdir(parents=True)
    task = catalog.dead_import(dead.image_id)
    assert task is not None
    recover_dead_import(task, catalog, stores_with(Shelf(lambda: None)), staging, ctx)
    assert not own.exists()
    assert other.exists()


def impatient(site: Site) -> Site:
    patience = {"store_patience": 0.5, "plugin_patience": 0.5}
    return site.model_copy(update={"limits": site.limits.model_copy(update=patience)})


def test_a_store_that_fails_slowly_is_given_up_once_for_all_of_its_copies(
    catalog: Catalog, site: Site, begin: Callable[[float], Lease]
) -> None:
    def time_out() -> None:
        threading.Event().wait(0.1)
        raise TimeoutError("no answer")

    failed = begin(60)
    for number in range(30):
        failed.announce(Location(url=f"{SLOW.url}{number}", store="shelf"))
    failed.fail(message="")
    shelf = Shelf(time_out, slow=f"{SLOW.url}.*")
    with maintenance_context(impatient(site)) as ctx:
        errors = [
            str(removal.error)
            for removal in remove_all(catalog.hidden_copies(), catalog, stores_with(shelf), ctx)
        ]
    assert len(errors) == 30
    assert (errors[0], errors[-1]) == ("cannot use store 'shelf': no answer", "store 'shelf' does not answer")
    assert len(catalog.hidden_copies()) == 30


def test_a_store_whose_plugin_is_never_made_holds_up_nothing(
    catalog: Catalog, site: Site, begin: Callable[[float], Lease], plugin_folder: PluginFolder
) -> None:
    plugin_folder.install("acme", {"slow": "acme_slow:Slow"}, {"acme_slow": SLOWLY_MADE})
    definition = json.dumps({"use": "slow", "with": {}, "folder": "/"})
    kept = Location(url="slow:1", store="slow", metadata={"definition": definition})
    failed = begin(60)
    failed.announce(kept)
    failed.announce(FAST)
    failed.fail(message="")
    shelf = Shelf(lambda: None)
    stores = stores_with(shelf)
    with maintenance_context(impatient(site)) as ctx:
        assert remove_copies(failed.task_id, catalog, stores, ctx) == [kept]
        with pytest.raises(StoreFailed, match=r"setup did not end within 0\.5 s") as caught:
            stores.read(kept, ctx)
    import acme_slow  # type: ignore[import-not-found]

    acme_slow.gate.set()
    assert caught.value.where() == "store 'slow'"
    assert "limits.plugin_patience" in caught.value.hint
    assert shelf.deleted == [FAST.url]
