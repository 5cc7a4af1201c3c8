"""Use a site as one caller: images, their data, and imports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack, get_args

from imageport.access.permissions import Access
from imageport.access.texts import require_known, require_not_negative
from imageport.app.fields import ImageFields, ImageOrder, ImportOptions, TaskStatus
from imageport.app.resources import Resources
from imageport.values import ImageStatus

if TYPE_CHECKING:
    from imageport.app.imports import PreparedImport
    from imageport.app.transfer import Download
    from imageport.catalog import TaskRow
    from imageport.events import Event
    from imageport.importing.context_factory import HostContext
    from imageport.importing.lease_keeper import Interruption
    from imageport.importing.report import Report
    from imageport.values import Caller, ImageRecord

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Session:
    """The records and actions of *caller*. An image that the caller may not see does not exist, down to the message.

    Images and tasks are named by id, by its first four or more characters, or, images, by name; ``UsageError`` is
    raised where none or several match, ``NotAllowed`` where the policy of the site does not permit something. Changes
    are reported to the observers of the site file.
    """

    def __init__(self, resources: Resources, caller: Caller) -> None:
        self.caller = caller
        self._resources = resources
        self._access = Access(resources.site, resources.catalog, caller)

    # ------------------------------------------------------------------------------------------------ imports

    def prepare_import(
        self, pipeline: str | Path, source: str | None = None, **options: Unpack[ImportOptions]
    ) -> PreparedImport:
        """Read *pipeline* for an import of *source*, a url or a path, and make its plugins; nothing is fetched.

        Raises ``PipelineInvalid`` with all mistakes of the file, ``PluginBroken``, and ``UsageError`` for options that
        contradict each other or the options of plugins.
        """
        from imageport.app.imports import prepare
        from imageport.importing.admission import ImportRequest

        given: dict[str, Any] = {**options}
        variables = given.pop("variables", _NOTHING)
        must_succeed = given.pop("all_stores_must_succeed", None)
        stores = tuple(given.pop("stores", ()))
        request = ImportRequest(caller=self.caller, stores=stores, **given)
        return prepare(
            self._resources,
            self._access,
            request,
            pipeline=pipeline,
            source=source,
            variables=variables,
            all_stores_must_succeed=must_succeed,
        )

    def import_image(
        self,
        pipeline: str | Path,
        source: str | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        interruption: Interruption | None = None,
        **options: Unpack[ImportOptions],
    ) -> Report:
        """Import *source* through *pipeline*, and return the report; the ``error`` of a failed import is in it.

        It is ``prepare_import`` and ``run`` in one call, and raises the errors of the former.
        """
        prepared = self.prepare_import(pipeline, source, **options)
        return prepared.run(on_event=on_event, interruption=interruption)

    # ------------------------------------------------------------------------------------------------- images

    def list_images(
        self,
        *,
        status: ImageStatus | None = None,
        name: str | None = None,
        owner: str | None = None,
        properties: Mapping[str, str] = _NOTHING,
        tags: Sequence[str] = (),
        sort: ImageOrder = "created_at",
        descending: bool = True,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ImageRecord]:
        """Return the images that have all that is asked for, with the properties that the caller may read.

        At most *limit* are returned, those behind the image *marker* in the order of *sort*. Raises ``UsageError`` for
        an unknown status or order.
        """
        require_known("status", status, get_args(ImageStatus))
        require_known("order", sort, get_args(ImageOrder))
        require_not_negative("limit", limit)
        return self._access.list_images(
            status=status,
            name=name,
            owner=owner,
            properties=properties,
            tags=tuple(tags),
            sort=sort,
            descending=descending,
            limit=limit,
            marker=marker if marker is None else self._access.find_image(marker).id,
        )

    def find_image(self, image: str) -> ImageRecord:
        """Return one image, with the properties that the caller may read."""
        return self._access.shown(self._access.find_image(image))

    def create_image(
        self, *, properties: Mapping[str, str] = _NOTHING, **fields: Unpack[ImageFields]
    ) -> ImageRecord:
        """Make a queued image without data, and return it. Raises ``UsageError``, and ``OverQuota``."""
        from imageport.app.records import create_record
        from imageport.events import ImageEvent

        with self._context() as context:
            record = create_record(self._access, properties=properties, **fields)
            context.send(ImageEvent(kind="image.create", image_id=record.id, record=record))
        return self._access.shown(record)

    def change_image(
        self,
        image: str,
        *,
        properties: Mapping[str, str | None] = _NOTHING,
        **fields: Unpack[ImageFields],
    ) -> ImageRecord:
        """Set fields and properties (None removes one) of an image, and return it.

        Raises ``Conflict`` for the formats of an image that has data.
        """
        from imageport.app.records import change_record
        from imageport.events import ImageEvent

        record = self._access.find_image(image)
        with self._context() as context:
            record = change_record(self._access, record, properties=properties, **fields)
            context.send(ImageEvent(kind="image.update", image_id=record.id, record=record))
        return self._access.shown(record)

    def delete_image(self, image: str) -> list[str]:
        """Delete an image, its copies in all stores and its staged data; return the urls of the copies.

        Raises ``Conflict`` for a protected image, and ``StoreFailed`` when a copy could not be removed: the image is
        deleted then, and ``clean_up`` tries again.
        """
        from imageport.app.records import delete_record
        from imageport.importing.staging import Staging

        resources = self._resources
        record = self._access.find_image(image)
        staging = Staging(resources.site.staging.directory)
        with self._context() as context, resources.stores() as stores:
            return delete_record(self._access, record, stores, staging, context)

    def delete_copy(self, image: str, store: str) -> list[str]:
        """Delete the copy of an image in *store*, and return its url. Raises ``Conflict`` for the last copy.

        Raises ``StoreFailed`` when the bytes could not be removed: the record has no such copy then, and ``clean_up``
        tries again.
        """
        from imageport.app.records import delete_copy

        record = self._access.find_image(image)
        with self._context() as context, self._resources.stores() as stores:
            return delete_copy(self._access, record, store, stores, context)

    # ------------------------------------------------------------------------------------------- data of images

    def stage(
        self,
        image: str,
        data: Path | BinaryIO,
        *,
        size: int | None = None,
        interruption: Interruption | None = None,
    ) -> int:
        """Put *data* in staging for a queued image, which becomes ``uploading``; return the number of bytes.

        Raises ``SourceRejected`` for a path that the site does not open to the caller, and for data that has not *size*
        bytes; ``SourceUnavailable`` for a file that cannot be read, ``LimitExceeded``, ``OverQuota``, and ``Conflict``
        when the image has data. After a failure the image is queued again, and nothing is left in staging.
        """
        from imageport.app.transfer import require_staging_enabled, stage
        from imageport.importing.lease_keeper import Interruption

        require_staging_enabled(self._resources.site)
        record = self._access.find_image(image)
        self._access.require("modify_image", record)
        with self._context() as context:
            return stage(
                record.id,
                data,
                self._resources,
                context,
                size=size,
                interruption=interruption or Interruption(),
            )

    def download(
        self, image: str, store: str | None = None, *, interruption: Interruption | None = None
    ) -> AbstractContextManager[Download]:
        """Open the copy of an image in *store*, or the first one, for reading.

        The stream ends with ``VerificationFailed`` when the copy is damaged. Raises ``Conflict`` for an image without
        data, and ``StoreFailed``.
        """
        from imageport.app.transfer import open_download

        record = self._access.find_image(image)
        self._access.require("download_image", record)
        return open_download(self._resources, record, store, interruption)

    def export(
        self,
        image: str,
        target: Path,
        *,
        store: str | None = None,
        overwrite: bool = False,
        interruption: Interruption | None = None,
    ) -> Download:
        """Write the data of an image to the file *target*, which appears once every byte is verified.

        Zeros become holes. Raises as ``download`` does, and ``Conflict`` when the file exists.
        """
        from imageport.app.transfer import export
        from imageport.importing.lease_keeper import Interruption

        interruption = interruption or Interruption()
        with self.download(image, store, interruption=interruption) as download:
            export(download, target, interruption=interruption, overwrite=overwrite)
        return download

    # -------------------------------------------------------------------------------------------------- tasks

    def list_tasks(
        self,
        *,
        image: str | None = None,
        status: TaskStatus | None = None,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[TaskRow]:
        """Return imports, the newest first: at most *limit*, those behind the task *marker*.

        Raises ``UsageError`` for an unknown status.
        """
        require_known("status", status, get_args(TaskStatus))
        require_not_negative("limit", limit)
        return self._access.list_tasks(
            image_id=image if image is None else self._access.find_image(image).id,
            status=status,
            limit=limit,
            marker=marker if marker is None else self._access.find_task(marker).id,
        )

    def find_task(self, task: str) -> TaskRow:
        """Return one import that runs, or that has ended and is not expired."""
        return self._access.find_task(task)

    def cancel_task(self, task: str) -> TaskRow:
        """Ask an import to stop and to roll back, which takes seconds, and return it."""
        found = self._access.find_task(task)
        self._access.require_cancelling(found)
        self._resources.catalog.request_cancel(found.id)
        return found

    def resumable_bytes(self, task: str) -> int:
        """Return the bytes of its source that an import with ``resume`` can take over from a dead one, or 0."""
        from imageport.importing.recovery import kept_bytes
        from imageport.importing.staging import Staging

        staging = Staging(self._resources.site.staging.directory)
        return kept_bytes(self._access.find_task(task), self._resources.catalog, staging)

    @contextmanager
    def _context(self) -> Iterator[HostContext]:
        """Give the context of a change, whose events reach the observers of the site."""
        from imageport.app.events import observed_context

        with observed_context(self._resources.site, self._resources.registry, self.caller) as context:
            yield context
