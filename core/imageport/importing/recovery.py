"""Recover from imports that died or failed: roll them back, remove their copies, and clear their files."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from imageport.access.permissions import Access
from imageport.catalog import Catalog, HiddenCopy, TaskRow
from imageport.catalog.lock import LOCK
from imageport.errors import Conflict, ImageportError, UsageError
from imageport.importing.plan import Plan
from imageport.importing.staging import HALF_STAGED, Staging
from imageport.importing.stores import Stores, remove_all
from imageport.plugins.binding import StepContexts
from imageport.values import ImageRecord, Location

log = logging.getLogger(__name__)

#: Seconds for clean-up in a command that waits, or has waited, for a stuck store elsewhere.
SHORT: Final = 5.0

#: Images in these statuses may have data in staging.
_STAGED_STATUSES = frozenset({"uploading", "importing"})


def pending_copies(task_id: str, image_id: str, catalog: Catalog) -> list[HiddenCopy]:
    """Return the copies that a task has announced and not published."""
    return [
        HiddenCopy(task_id=task_id, image_id=image_id, location=location)
        for location in catalog.pending_locations(task_id)
    ]


def remove_copies(
    task_id: str,
    catalog: Catalog,
    stores: Stores,
    ctx: StepContexts,
    *,
    stuck: Collection[str] = (),
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> list[Location]:
    """Remove the copies that a task did not publish, and return the locations of those that could not be removed.

    Their order is that of the rows. For the rest see ``remove_all``.
    """
    copies = pending_copies(task_id, "", catalog)
    left = set()
    for done in remove_all(copies, catalog, stores, ctx, stuck=stuck, seconds_left=seconds_left):
        if done.error is not None:
            location = done.copy.location
            left.add(location.url)
            # The caller reports it.
            log.info("left behind in store %s: %s (%s)", location.store, location.url, done.error)
    return [copy.location for copy in copies if copy.location.url in left]


def remove_hidden_copies(
    image_id: str, catalog: Catalog, stores: Stores, ctx: StepContexts, *, seconds_left: Callable[[], float]
) -> None:
    """Remove the orphans of earlier imports of an image, before another one writes to the same places."""
    copies = [copy for copy in catalog.hidden_copies() if copy.image_id == image_id]
    for done in remove_all(copies, catalog, stores, ctx, seconds_left=seconds_left):
        if done.error is not None:
            # The store reports it again when it is written to.
            location = done.copy.location
            log.warning("still in store %s: %s (%s)", location.store, location.url, done.error)


def recover_dead_import(
    task: TaskRow,
    catalog: Catalog,
    stores: Stores,
    staging: Staging,
    ctx: StepContexts,
    *,
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> None:
    """Roll back an import whose process died, from its task row alone."""
    clear_staging(task, staging)
    for location in remove_copies(task.id, catalog, stores, ctx, seconds_left=seconds_left):
        log.warning("left behind in store %s: %s; run 'imageport gc'", location.store, location.url)
    catalog.recover(task)


def clear_staging(task: TaskRow, staging: Staging) -> None:
    """Remove the files of a dead import.

    That comes before the image is unlocked: files in staging afterwards may belong to another command.
    """
    log.warning("task %s of image %s died; rolling it back", task.id, task.image_id)
    try:
        staging.remove_all_of(task.image_id, task.id)
    except OSError as error:
        log.warning("left behind in %s: %s", staging.directory, error)


def kept_bytes(task: TaskRow, catalog: Catalog, staging: Staging) -> int:
    """Return how many bytes of its source another import can take over from *task*; 0 unless that is dead."""
    return staging.partial(task.image_id, task.id).kept() if _is_dead(task, catalog) else 0


def require_resumable(
    task_id: str, image: str | None, plan: Plan, access: Access, staging: Staging
) -> TaskRow:
    """Return the dead import that another import of *plan* can continue; *image* is the id or name that was given.

    Raises ``UsageError`` when there is no such import, nothing was kept of it or it was about something else,
    ``Conflict`` when it is alive, and ``NotAllowed``.
    """
    task = access.find_task(task_id)
    if image is not None and access.find_image(image).id != task.image_id:
        raise UsageError(
            f"task {task.id} imported image {task.image_id}, not '{image}'",
            hint="leave --image out: the import goes on into its own image",
        )
    if task.finished:
        raise UsageError(
            f"task {task.id} has ended with {task.status}: there is nothing to go on with",
            hint="import again without --resume; only an import that was killed can be resumed, until it is cleaned up",
        )
    if not _is_dead(task, access.catalog):
        raise Conflict(
            f"task {task.id} is alive: its {task.process} works on it",
            hint=f"wait for it to end, or stop it with: imageport tasks cancel {task.id}",
        )
    access.require("modify_image", access.find_image(task.image_id))
    for what, before, now in (
        ("pipeline", task.input.get("pipeline"), plan.name),
        ("source", task.input.get("source"), plan.shown_source),
    ):
        if before != now:
            raise UsageError(
                f"task {task.id} had the {what} {before}, and this one is {now}",
                hint="resume with the same pipeline and source, or import again without --resume",
            )
    if not plan.spool_first:
        raise UsageError(
            f"pipeline {plan.name} does not write its source to the staging directory, so nothing was kept",
            hint="import again without --resume; with 'staging: file' in the pipeline, later imports can be resumed",
        )
    if not staging.partial(task.image_id, task.id).kept():
        raise UsageError(
            f"nothing of the source of task {task.id} was kept that can be used",
            hint=f"import again without --resume; the server must give a length and a strong ETag or a date, and the "
            f"data is on the machine of the {task.process}",
        )
    return task


def _is_dead(task: TaskRow, catalog: Catalog) -> bool:
    """Return whether the process of an unfinished import has ended, or has not renewed its lease."""
    return task.id in {dead.id for dead in catalog.dead_imports()}


class OrphanFiles:
    """The files in staging that belong to no image which is being staged or imported.

    Files whose name up to the first dot is not the id of an image belong to other programs.
    """

    def __init__(self, catalog: Catalog, staging: Staging) -> None:
        self._catalog = catalog
        self._staging = staging

    def find(self, image_id: str | None = None) -> list[Path]:
        """Return the orphans of this image, or of any."""
        return [
            path
            for path in self._staging.contents(image_id)
            if path.name.endswith(HALF_STAGED) or not self._is_in_use(path)
        ]

    def remove(self, path: Path) -> bool:
        """Remove one of the found; False when it is in use by now, or was removed.

        An image whose staging was killed becomes queued again. Raises ``OSError`` and ``ImageportError``.
        """
        image_id = _image_of(path)
        try:
            if path.name.endswith(HALF_STAGED):
                self._give_up_staging(image_id)
            elif path.is_dir() and not path.is_symlink():
                # No other import begins to use this one: the name has the id of its task.
                shutil.rmtree(path)
            else:
                # Data that was staged since the search bears the same name.
                with self._catalog.holding(image_id) as record:
                    if _uses(record, path):
                        return False
                    path.unlink()
        except (Conflict, FileNotFoundError):
            return False
        return True

    def without_data(self) -> list[str]:
        """Return the images that are staged here and have no data in staging, be it lost or never written."""
        return [
            image_id
            for image_id in self._catalog.staged_in(self._staging.directory)
            if self._staging.staged(image_id) is None and not self._staging.is_written(image_id)
        ]

    def queue_again(self, image_id: str) -> bool:
        """Make one of the images without data queued again; False when it has data by now, or gets some."""
        try:
            return self._give_up_staging(image_id)
        except Conflict:
            return False

    def clear(self, image_id: str, *, besides: Path | None = None) -> None:
        """Remove the leftovers of the image before its next import; those that cannot be removed stay for ``gc``."""
        for path in self.find(image_id):
            if path == besides:
                continue
            try:
                self.remove(path)
            except (OSError, ImageportError) as error:
                log.warning("left behind: %s (%s)", path, error)
        if image_id in self.without_data():
            self.queue_again(image_id)

    def _give_up_staging(self, image_id: str) -> bool:
        """Make the image queued again unless its data is in staging; return whether it was changed."""
        with self._staging.incoming(image_id):
            if self._staging.staged(image_id) is None:
                # Conflict: the image was imported meanwhile. UsageError: it was deleted.
                with (
                    suppress(Conflict, UsageError),
                    self._catalog.changing_status(image_id, of=("uploading",), to="queued"),
                ):
                    return True
        return False

    def _is_in_use(self, path: Path) -> bool:
        try:
            return _uses(self._catalog.get_image(_image_of(path)), path)
        except UsageError:
            return False


def _uses(record: ImageRecord | None, path: Path) -> bool:
    if record is None:
        return False
    # Where the folder of a store is the staging directory, its copies stay.
    is_copy = path.absolute().as_uri() in {location.url for location in record.locations}
    return is_copy or record.status in _STAGED_STATUSES or LOCK in record.properties


def _image_of(path: Path) -> str:
    return path.name.partition(".")[0]
