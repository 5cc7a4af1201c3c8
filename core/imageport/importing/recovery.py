"""Roll back an import that failed, in this process or in one that died."""

from __future__ import annotations

import logging
from collections.abc import Collection

from imageport.catalog import Catalog, TaskRow
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores
from imageport.plugins.binding import StepContexts
from imageport.values import Location

log = logging.getLogger(__name__)


def remove_copy(
    task_id: str | None, location: Location, catalog: Catalog, stores: Stores, ctx: StepContexts
) -> bool:
    """Remove the bytes and the row of a hidden copy; False when they are not, or no longer, that task's to remove.

    Raises what the store raises; the row stays then, for a later ``gc``.
    """
    if not catalog.claim_removal(task_id, location):
        return False
    try:
        stores.delete(location, ctx)
    except BaseException:
        catalog.release_removal(task_id, location)
        raise
    catalog.forget(task_id, location)
    return True


def remove_copies(
    task_id: str, catalog: Catalog, stores: Stores, ctx: StepContexts, *, stuck: Collection[str] = ()
) -> list[str]:
    """Remove the copies that a task did not publish, and return the urls of those that could not be removed.

    Nothing is asked of *stuck* stores, which may still write: their copies stay known, for a later ``gc``.
    """
    orphans = []
    for location in catalog.pending_locations(task_id):
        if location.store in stuck:
            log.warning("left behind in store %s, which is stuck: %s", location.store, location.url)
            orphans.append(location.url)
            continue
        try:
            remove_copy(task_id, location, catalog, stores, ctx)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the other copies have to go
            log.warning("left behind in store %s: %s (%s)", location.store, location.url, error)
            orphans.append(location.url)
    return orphans


def remove_hidden_copies(image_id: str, catalog: Catalog, stores: Stores, ctx: StepContexts) -> None:
    """Remove what earlier imports of an image could not, before another one writes to the same places."""
    for hidden in catalog.hidden_copies():
        if hidden.image_id == image_id:
            try:
                remove_copy(hidden.task_id, hidden.location, catalog, stores, ctx)
            except Exception as error:  # noqa: BLE001 - the store tells again when it is written to
                log.warning("still in store %s: %s (%s)", hidden.location.store, hidden.location.url, error)


def recover_dead_import(
    task: TaskRow, catalog: Catalog, stores: Stores, staging: Staging, ctx: StepContexts
) -> list[str]:
    """Roll back an import whose process died, from its task row alone, and return what could not be removed."""
    log.warning("task %s of image %s died; rolling it back", task.id, task.image_id)
    try:
        # Before the image is unlocked: what is in staging afterwards may belong to somebody else.
        staging.remove_all_of(task.image_id, task.id)
    except OSError as error:
        log.warning("left behind in %s: %s", staging.directory, error)
    orphans = remove_copies(task.id, catalog, stores, ctx)
    catalog.recover(task)
    return orphans
