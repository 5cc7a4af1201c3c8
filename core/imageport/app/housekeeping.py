"""Find and remove the leftovers of dead imports: ``imageport gc``."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, NoReturn

from imageport.catalog import Catalog, HiddenCopy, TaskRow
from imageport.configuration.site import Site
from imageport.http.transport import HttpTransport
from imageport.importing.context_factory import HostContext, client_settings
from imageport.importing.recovery import OrphanFiles, clear_staging, pending_copies
from imageport.importing.staging import Staging, size_on_disk
from imageport.importing.stores import Stores, remove_all
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One leftover of a dead import, and the result of its removal; or a difference between catalog and a store.

    ``freed`` counts the bytes of staging that were freed, or would be, and ``age`` the seconds since they were last
    written; ``error`` is the reason why it is still there. A copy in *store* that the catalog does not know is
    ``unknown``, and has ``size`` bytes if the store knows it; a copy in the catalog that its store does not have is
    ``missing``; a ``store`` could not be examined.
    """

    kind: Literal["import", "copy", "staging", "image", "task", "unknown", "missing", "store"]
    name: str
    image_id: str | None = None
    store: str | None = None
    size: int | None = None
    freed: int = 0
    age: int | None = None
    error: str | None = None


class Housekeeping:
    """Cleans up after the imports of one site; with *dry_run* it only looks."""

    def __init__(self, site: Site, catalog: Catalog, registry: PluginRegistry, *, dry_run: bool) -> None:
        self._site = site
        self._catalog = catalog
        self._stores = Stores(registry, site=site)
        self._staging = Staging(site.staging.directory)
        self._left = OrphanFiles(catalog, self._staging)
        self._dry_run = dry_run

    def leftovers(self) -> Iterator[Leftover]:
        """Remove each thing, one after the other, and yield it."""
        with maintenance_context(self._site) as ctx, self._stores:
            yield from self._imports_and_copies(ctx)
            yield from self._files()
            yield from self._images_without_data()
            yield from self._expired_tasks()

    def _imports_and_copies(self, ctx: HostContext) -> Iterator[Leftover]:
        """Roll back dead imports, and remove copies that their import could not remove, all stores at the same time.

        So a store that does not answer takes its time once.
        """
        found, hidden = self._catalog.dead_imports(), self._catalog.hidden_copies()
        if self._dry_run:
            yield from map(_of_import, found)
            yield from map(_of_copy, hidden)
            return
        copies: list[HiddenCopy] = []
        dead: dict[str | None, TaskRow] = {}
        for task in found:
            yield from self._dealt_with(_of_import(task), partial(self._take_over, task, dead, copies))
        waiting = Counter(copy.task_id for copy in copies)
        for task_id, task in dead.items():
            if not waiting[task_id]:
                yield from self._dealt_with(_of_import(task), partial(self._recover, task))
        for done in remove_all([*copies, *hidden], self._catalog, self._stores, ctx):
            task_id = done.copy.task_id
            if done.error is not None:
                yield replace(_of_copy(done.copy), error=str(done.error))
            elif done.removed and task_id not in dead:
                yield _of_copy(done.copy)
            waiting[task_id] -= 1
            if task_id in dead and not waiting[task_id]:
                task = dead[task_id]
                yield from self._dealt_with(_of_import(task), partial(self._recover, task))

    def _take_over(self, found: TaskRow, dead: dict[str | None, TaskRow], copies: list[HiddenCopy]) -> bool:
        """Take the import over from its dead process, if no other process was faster, with its copies."""
        if (task := self._catalog.take_over(found)) is not None:
            clear_staging(task, self._staging)
            copies += pending_copies(task.id, task.image_id, self._catalog)
            dead[task.id] = task
        return False

    def _recover(self, task: TaskRow) -> bool:
        self._catalog.recover(task)
        return True

    def _files(self) -> Iterator[Leftover]:
        for path in self._left.find():
            try:
                age = max(0, int(time.time() - path.lstat().st_mtime))
            except FileNotFoundError:
                continue
            leftover = Leftover(
                kind="staging",
                name=str(path),
                image_id=path.name.partition(".")[0],
                freed=size_on_disk(path),
                age=age,
            )
            yield from self._dealt_with(leftover, partial(self._left.remove, path))

    def _images_without_data(self) -> Iterator[Leftover]:
        """Queue images again whose staged data is lost, by a power failure for instance."""
        for image_id in self._left.without_data():
            yield from self._dealt_with(
                Leftover(kind="image", name=image_id, image_id=image_id),
                partial(self._left.queue_again, image_id),
            )

    def _dealt_with(self, leftover: Leftover, remove: Callable[[], bool]) -> Iterator[Leftover]:
        """Call *remove*, unless this only looks. After an error the others are still removed.

        When it returns False, another process was faster, and there is nothing to report.
        """
        try:
            if self._dry_run or remove():
                yield leftover
        except Exception as error:
            log.debug("could not remove %s", leftover.name, exc_info=True)
            yield replace(leftover, freed=0, error=str(error))

    def _expired_tasks(self) -> Iterator[Leftover]:
        now = datetime.now(UTC)
        expired = self._catalog.expired_tasks(now)
        for task_id, image_id in expired:
            yield Leftover(kind="task", name=task_id, image_id=image_id)
        if expired and not self._dry_run:
            self._catalog.remove_expired_tasks(now)


def _of_import(task: TaskRow) -> Leftover:
    return Leftover(kind="import", name=task.id, image_id=task.image_id)


def _of_copy(copy: HiddenCopy) -> Leftover:
    return Leftover(kind="copy", name=copy.location.url, image_id=copy.image_id)


@contextmanager
def maintenance_context(site: Site) -> Iterator[HostContext]:
    """Provide stores with the context to read and delete copies outside of an import."""
    stopped = threading.Event()

    def only_imports(*_: object) -> NoReturn:
        raise RuntimeError("only an import reads replicas and announces copies")

    http = HttpTransport(
        rules=site.network, limits=site.limits, validate=lambda _url, _page: None, cancelled=stopped
    )
    try:
        yield HostContext(
            caller=Caller(user="imageport"),
            image_id="",
            task_id="",
            step="",
            limits=site.limits,
            http=http,
            client=client_settings(site),
            log=log,
            work_folder=site.staging.directory,
            emit=lambda _event: None,
            read_replica=only_imports,
            announce_location=only_imports,
            cancelled=stopped,
        )
    finally:
        http.close()
