"""Transfer image data: into staging before an import, and out of a store after it."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from imageport.access.quotas import QuotaDemand, demand_to_bring
from imageport.app.housekeeping import maintenance_context
from imageport.app.resources import Resources
from imageport.atomic_file import new_file
from imageport.catalog import Catalog
from imageport.configuration.defaults import STAGED_DATA_METHOD
from imageport.configuration.site import Site
from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, Chunks
from imageport.dataplane.sparse import write_sparse
from imageport.dataplane.spool import space_taken
from imageport.errors import (
    Conflict,
    ImageportError,
    SourceRejected,
    SourceUnavailable,
    UsageError,
)
from imageport.events import ImageEvent
from imageport.importing.context_factory import HostContext
from imageport.importing.lease_keeper import Interruption
from imageport.importing.staging import Incoming, Staging
from imageport.importing.verification import damaged_copy
from imageport.values import ImageRecord, Location

log = logging.getLogger(__name__)


def require_staging_enabled(site: Site) -> None:
    """Raise ``UsageError`` where the method that imports staged data may not be used."""
    if not site.allows_method(STAGED_DATA_METHOD):
        raise UsageError(
            f"nothing can be staged: the import method {STAGED_DATA_METHOD} is not enabled",
            hint=f"see enabled_methods in {site.file.path}",
        )


def stage(
    image_id: str,
    data: Path | BinaryIO,
    resources: Resources,
    ctx: HostContext,
    *,
    size: int | None,
    interruption: Interruption,
) -> int:
    """Put *data* in staging for an image, which becomes ``uploading``; return the bytes.

    *size* is how many they have to be. Raises ``SourceRejected`` when they are not, ``LimitExceeded`` when they are
    too many for the cap or the disk, ``OverQuota``, and ``Conflict`` when the image has data already, or gets some
    meanwhile. After a failure it is queued again, and nothing is left in staging.
    """
    catalog, quotas = resources.catalog, resources.site.quotas
    staging = Staging(resources.site.staging.directory)
    upload = _upload(data, ctx, size)
    ctx.require_below_cap(upload.size)
    record = catalog.get_image(image_id)
    with staging.incoming(image_id) as incoming:
        _begin(image_id, catalog, staging, demand_to_bring(quotas, record, upload.size))
        try:
            _report(ctx, catalog, image_id)
            with interruption.raising():
                count = incoming.write(ctx.capped(upload.chunks), needed=upload.space)
            demand = demand_to_bring(quotas, record, count)
            with catalog.changing_status(
                image_id, of=("uploading",), to="uploading",
                staging=staging.directory, size=count, demand=demand,
            ):  # fmt: skip
                incoming.keep()
        except BaseException:
            _give_up(image_id, catalog, incoming)
            raise
        finally:
            _report(ctx, catalog, image_id)
    return count


def _begin(image_id: str, catalog: Catalog, staging: Staging, demand: QuotaDemand) -> None:
    """Make the image ``uploading``. One without data is left over from a command that was killed."""
    with catalog.changing_status(
        image_id, of=("queued", "uploading"), to="uploading", staging=staging.directory, demand=demand
    ) as before:
        if before.status == "uploading" and staging.staged(image_id):
            raise Conflict(
                f"image {image_id} takes no data: data is staged already",
                hint="import the staged data, or create another image",
            )
        staging.remove(image_id)


def _give_up(image_id: str, catalog: Catalog, incoming: Incoming) -> None:
    """Make the image queued again, before its data is removed. Data that it may need stays."""
    try:
        with catalog.changing_status(image_id, of=("uploading",), to="queued"):
            pass
    except UsageError:
        log.debug("image %s was deleted while its data was put in staging", image_id)
    except Exception as error:  # noqa: BLE001 - the failure that led here is the one to report
        log.debug("image %s keeps its status: %s", image_id, error)
        incoming.leave()


def _report(ctx: HostContext, catalog: Catalog, image_id: str) -> None:
    # The deletion of an image is reported by another event.
    with suppress(ImageportError):
        ctx.send(ImageEvent(kind="image.update", image_id=image_id, record=catalog.get_image(image_id)))


@dataclass(frozen=True, slots=True)
class Download:
    """The data of the image *record*, read from its copy in *store*."""

    record: ImageRecord
    store: str
    _data: ImageData = field(repr=False)

    def chunks(self) -> Chunks:
        """Return the bytes, once. The stream ends with ``VerificationFailed`` unless they are those of the record."""
        return verified(self.record, self.store, self._data).chunks()


@contextmanager
def open_download(
    resources: Resources, record: ImageRecord, store: str | None, interruption: Interruption | None = None
) -> Iterator[Download]:
    """Open the copy of *record* in *store*, or the first one.

    Raises ``Conflict`` for an image without data, ``UsageError`` for a store without a copy, and ``StoreFailed``.
    """
    location = _copy(record, store)
    with maintenance_context(resources.site) as context, resources.stores(interruption) as stores:
        data = stores.read(location, context)
        yield Download(record, location.store, data)


def _copy(record: ImageRecord, store: str | None) -> Location:
    if not record.locations:
        raise Conflict(
            f"image {record.id} is {record.status} and has no copy", hint="import data into it first"
        )
    for location in record.locations:
        if store in (None, location.store):
            return location
    holding = ", ".join(location.store for location in record.locations)
    raise UsageError(f"store '{store}' has no copy of image {record.id}", hint=f"copies are in: {holding}")


def export(download: Download, target: Path, *, interruption: Interruption, overwrite: bool) -> None:
    """Write a download to the file *target*, which appears once every byte is verified.

    Zeros become holes. Raises ``Conflict`` when the file exists, ``VerificationFailed`` when the copy is damaged.
    """
    try:
        _refuse_existing(target, overwrite=overwrite)
        with new_file(target, overwrite=overwrite) as descriptor, interruption.raising():
            position = 0
            for piece in download.chunks():
                write_sparse(descriptor, piece, position)
                position += len(piece)
            os.ftruncate(descriptor, position)
            os.fsync(descriptor)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", hint="check the folder, its permissions and its space"
        ) from error


def verified(record: ImageRecord, store: str, data: ImageData) -> ImageData:
    """Return *data*, the copy in *store*, as a stream that ends with ``VerificationFailed`` unless it is *record*'s."""

    def require(name: str, expected: object, found: object) -> None:
        if expected not in (None, found):
            remedy = (
                "export another copy with --store; then remove this one with "
                f"'imageport images delete {record.id} --store {store} --role admin', and copy the image anew"
            )
            raise damaged_copy(record, store, name, found, expected, remedy=remedy)

    def sized(chunks: Chunks) -> Chunks:
        size = 0
        for piece in chunks:
            size += len(piece)
            yield piece
        require("size", record.size, size)

    data = data.tapped(sized)
    digests = {"md5": record.checksum}
    if record.os_hash_algo:
        digests[record.os_hash_algo] = record.os_hash_value
    for name, value in digests.items():
        if value:
            data = data.digested(name, partial(require, name, value))
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Upload:
    """Data to stage: its bytes, how many they are and how much space they take, as far as that is known."""

    chunks: Chunks
    size: int | None
    space: int | None


def _upload(data: Path | BinaryIO, ctx: HostContext, size: int | None) -> _Upload:
    """Look at *data*, which the caller must be permitted to read and which must have *size* bytes."""
    if not isinstance(data, Path):
        return _Upload(chunks=_sized(_read(data), size), size=size, space=size)
    with _explaining(data):
        local = ctx.local_files.find(data)
        status = local.stat()
    if not stat.S_ISREG(status.st_mode):
        return _Upload(chunks=_sized(_read_special(local), size), size=size, space=size)
    if size is not None:
        _require_size(status.st_size, size)
    return _Upload(chunks=_sized(_read_file(local), size), size=status.st_size, space=space_taken(local))


def _sized(chunks: Chunks, size: int | None) -> Chunks:
    """Pass *chunks* on; raise ``SourceRejected`` before there are more than *size* bytes, or at their end if fewer."""
    if size is None:
        yield from chunks
        return
    count = 0
    for piece in chunks:
        count += len(piece)
        if count > size:
            raise _wrong_size(f"more than {size}", size)
        yield piece
    _require_size(count, size)


def _require_size(found: int, size: int) -> None:
    if found != size:
        raise _wrong_size(str(found), size)


def _wrong_size(found: str, size: int) -> SourceRejected:
    return SourceRejected(
        f"the data has {found} bytes; {size} were announced",
        hint="give the complete data and its exact size in bytes, or no size",
    )


def _read_file(local: Path) -> Chunks:
    with _explaining(local):
        yield from ImageData.from_file(local).chunks()


def _read_special(local: Path) -> Chunks:
    """Read a pipe or a device."""
    with _explaining(local), local.open("rb") as opened:
        yield from _read(opened)


def _read(file: BinaryIO) -> Chunks:
    with _explaining("the data"):
        while piece := file.read(CHUNK_SIZE):
            yield piece


@contextmanager
def _explaining(file: Path | str) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        raise SourceUnavailable(f"{file} is a directory", hint="name a file with the data") from error
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {file}: {error.strerror}", hint="name a file that this user may read"
        ) from error


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is not a regular file", hint="name the file to write")
    if target.exists() and not overwrite:
        raise _exists(target)


def _exists(target: Path) -> Conflict:
    return Conflict(f"{target} already exists", hint="choose another name, or overwrite it with --force")
