"""Find and remove the leftovers of dead imports: ``imageport gc``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, NoReturn

from imageport.catalog import Catalog, TaskRow
from imageport.configuration.site import Site
from imageport.http.transport import HttpTransport
from imageport.importing.context_factory import HostContext, client_settings
from imageport.importing.recovery import OrphanFiles, recover_dead_import, remove_copy
from imageport.importing.staging import Staging, size_on_disk
from imageport.importing.stores import Stores
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """One leftover of a dead import, and the result of its removal.

    ``freed`` counts the bytes of staging that were freed, or would be, and ``age`` the seconds since they were last
    written; ``error`` is the reason why it is still there.
    """

    kind: Literal["import", "copy", "staging", "image", "task"]
    name: str
    image_id: str | None = None
    freed: int = 0
    age: int | None = None
    error: str | None = None


class Housekeeping:
    """Cleans up after the imports of one site; with *dry_run* it only looks."""

    def __init__(self, site: Site, catalog: Catalog, registry: PluginRegistry, *, dry_run: bool) -> None:
        self._site = site
        self._catalog = catalog
        self._stores = Stores(registry)
        self._staging = Staging(site.staging.directory)
        self._left = OrphanFiles(catalog, self._staging)
        self._dry_run = dry_run

    def leftovers(self) -> Iterator[Leftover]:
        """Remove each thing, one after the other, and yield it."""
        with maintenance_context(self._site) as ctx, self._stores:
            yield from self._dead_imports(ctx)
            yield from self._copies(ctx)
            yield from self._files()
            yield from self._images_without_data()
            yield from self._expired_tasks()

    def _dead_imports(self, ctx: HostContext) -> Iterator[Leftover]:
        def recover(dead: TaskRow) -> bool:
            task = self._catalog.take_over(dead)
            if task is not None:
                recover_dead_import(task, self._catalog, self._stores, self._staging, ctx)
            return task is not None

        for dead in self._catalog.dead_imports():
            leftover = Leftover(kind="import", name=dead.id, image_id=dead.image_id)
            yield from self._dealt_with(leftover, partial(recover, dead))

    def _copies(self, ctx: HostContext) -> Iterator[Leftover]:
        """Remove copies that their import could not remove, because a store was away for instance."""
        for copy in self._catalog.hidden_copies():
            yield from self._dealt_with(
                Leftover(kind="copy", name=copy.location.url, image_id=copy.image_id),
                partial(remove_copy, copy.task_id, copy.location, self._catalog, self._stores, ctx),
            )

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
