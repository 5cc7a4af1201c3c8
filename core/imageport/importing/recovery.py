"""What is done after an import that failed, in this process or in one that died."""

from __future__ import annotations

import logging

from imageport.catalog import Catalog, TaskRow
from imageport.context import Context
from imageport.importing.settling import remove_locations
from imageport.importing.staging import Staging, remove_leftover
from imageport.importing.stores import Stores
from imageport.values import Location

log = logging.getLogger(__name__)


def remove_copies(task_id: str, catalog: Catalog, stores: Stores, ctx: Context) -> list[str]:
    """Remove the copies that a task did not publish, and return the urls of those that could not be removed."""

    def forget(location: Location) -> None:
        catalog.forget(task_id, location)

    return remove_locations(catalog.pending_locations(task_id), stores, ctx, forget)


def recover_dead_import(
    task: TaskRow, catalog: Catalog, stores: Stores, staging: Staging, ctx: Context
) -> list[str]:
    """Roll back an import whose process died, from its task row alone, and return what could not be removed."""
    log.warning("task %s of image %s died; rolling it back", task.id, task.image_id)
    orphans = remove_copies(task.id, catalog, stores, ctx)
    catalog.recover(task)
    for leftover in staging.leftovers(lambda image_id: image_id != task.image_id):
        remove_leftover(leftover)
    return orphans
