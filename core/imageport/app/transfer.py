"""Image data handed over by people: put in staging before an import, and taken out of a store after it."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from imageport.access.quotas import Quotas, demand_to_bring
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
from imageport.values import ImageRecord

log = logging.getLogger(__name__)


def require_staging_enabled(site: Site) -> None:
    """Raise ``UsageError`` where the method that imports staged data may not be used."""
    if not site.allows_method(STAGED_DATA_METHOD):
        raise UsageError(
            f"nothing can be staged: the import method {STAGED_DATA_METHOD} is not enabled",
            hint=f"see enabled_methods in {site.file.path}",
        )


def stage(
    image_id: str, file: str, catalog: Catalog, staging: Staging, ctx: HostContext, *,
    size: int | None = None,
    quotas: Quotas,
    interruption: Interruption,
) -> int:  # fmt: skip
    """Put *file* (``-`` is standard input) in staging for an image, which becomes ``uploading``; return the bytes.

    *size* is how many they have to be. Raises ``SourceRejected`` when they are not, ``LimitExceeded`` when they are
    too many for the cap or the disk, ``OverQuota``, and ``Conflict`` when the image has data already, or gets some
    meanwhile. After a failure it is queued again, and nothing is left in staging.
    """
    local = _found(file, ctx)
    expected, needed = _looked_at(file, local, size)
    ctx.require_below_cap(expected)
    record = catalog.get_image(image_id)
    with staging.incoming(image_id) as incoming:
        # An uploading image without data is left over from a command that was killed.
        with catalog.changing_status(
            image_id,
            of=("queued", "uploading"),
            to="uploading",
            staging=staging.directory,
            demand=demand_to_bring(quotas, record, expected),
        ) as before:
            if before.status == "uploading" and staging.staged(image_id):
                raise Conflict(
                    f"image {image_id} takes no data: data is staged already",
                    hint="import what is staged, or create another image",
                )
            staging.remove(image_id)
        try:
            _tell(ctx, catalog, image_id)
            with interruption.raising():
                pieces = ctx.capped(_pieces(file, local))
                count = incoming.write(pieces if size is None else _exactly(size, pieces), needed=needed)
            room = demand_to_bring(quotas, record, count)
            with catalog.changing_status(
                image_id,
                of=("uploading",),
                to="uploading",
                staging=staging.directory,
                size=count,
                demand=room,
            ):
                incoming.keep()
        except BaseException:
            _give_up(image_id, catalog, incoming)
            _tell(ctx, catalog, image_id)
            raise
        _tell(ctx, catalog, image_id)
    return count


def _give_up(image_id: str, catalog: Catalog, incoming: Incoming) -> None:
    """Make the image queued again, before its data is removed. Data that it may need stays."""
    try:
        with catalog.changing_status(image_id, of=("uploading",), to="queued"):
            pass
    except UsageError:
        log.debug("image %s was deleted while its data was put in staging", image_id)
    except ImageportError as error:
        log.debug("image %s keeps its status: %s", image_id, error)
        incoming.leave()


def _tell(ctx: HostContext, catalog: Catalog, image_id: str) -> None:
    # An image that was deleted meanwhile has been told of.
    with suppress(ImageportError):
        ctx.send(ImageEvent(kind="image.update", image_id=image_id, record=catalog.get_image(image_id)))


def export(
    record: ImageRecord,
    store: str,
    data: ImageData,
    target: Path,
    *,
    interruption: Interruption,
    overwrite: bool,
) -> None:
    """Write *data*, the copy of *record* in *store*, to the file *target*, which appears once every byte is verified.

    Zeros become holes. Raises ``Conflict`` when the file is there, ``VerificationFailed`` when the copy is damaged.
    """
    _refuse_existing(target, overwrite=overwrite)
    try:
        with new_file(target, overwrite=overwrite) as descriptor, interruption.raising():
            position = 0
            for piece in verified(record, store, data).chunks():
                write_sparse(descriptor, piece, position)
                position += len(piece)
            os.ftruncate(descriptor, position)
            os.fsync(descriptor)
    except FileExistsError as error:
        raise _is_there(target) from error
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


def _found(file: str, ctx: HostContext) -> Path | None:
    """Return where to open *file*, if the caller may import it; None for standard input."""
    if file == "-":
        return None
    with _explaining(file):
        return ctx.local_files.find(Path(file))


def _looked_at(file: str, local: Path | None, size: int | None) -> tuple[int | None, int | None]:
    """Return the bytes of the data and those it takes on disk, as far as they are known before it is read."""
    if local is None:
        return size, size
    with _explaining(file):
        status = local.stat()
        if not stat.S_ISREG(status.st_mode):
            return size, size
        if size is not None:
            _require_size(status.st_size, size)
        return status.st_size, space_taken(local)


def _exactly(size: int, chunks: Chunks) -> Chunks:
    """Pass *chunks* on; raise ``SourceRejected`` before there are more than *size* bytes, or at their end if fewer."""
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
        f"the data has {found} bytes; --size is {size}",
        hint="give all of the data and its exact size in bytes, or leave --size out",
    )


def _pieces(file: str, local: Path | None) -> Chunks:
    """Read a file, a pipe, a device or standard input."""
    with _explaining(file):
        if local is None:
            yield from _read(sys.stdin.buffer)
        elif stat.S_ISREG(local.stat().st_mode):
            yield from ImageData.from_file(local).chunks()
        else:
            with local.open("rb") as opened:
                yield from _read(opened)


@contextmanager
def _explaining(file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {file}: {error.strerror}", hint="name a file that this user may read, or -"
        ) from error


def _read(file: BinaryIO) -> Chunks:
    while piece := file.read(CHUNK_SIZE):
        yield piece


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is no regular file", hint="name the file to write")
    if target.exists() and not overwrite:
        raise _is_there(target)


def _is_there(target: Path) -> Conflict:
    return Conflict(f"{target} is there already", hint="choose another name, or overwrite it with --force")
