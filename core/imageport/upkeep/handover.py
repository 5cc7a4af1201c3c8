"""Image data handed over by people: put in staging before an import, and taken out of a store after it."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from imageport.catalog import Catalog
from imageport.context import Context
from imageport.data import CHUNK_SIZE, Chunks, ImageData, write_sparse
from imageport.errors import Conflict, SourceUnavailable, UsageError, VerificationFailed
from imageport.importing.staging import Staging
from imageport.values import ImageRecord


def stage(record: ImageRecord, file: str, catalog: Catalog, staging: Staging, ctx: Context) -> int:
    """Put *file* (``-`` is standard input) in staging for an image, which becomes ``uploading``; return the bytes.

    Raises ``Conflict`` when the image has data already. After any failure the image is queued again.
    """
    # An uploading image without data is left over from a command that was killed.
    is_empty = record.status in ("queued", "uploading") and staging.staged(record.id) is None
    if not is_empty or catalog.is_locked(record.id):
        raise Conflict(
            f"image {record.id} is {record.status} and takes no data"
            + (": data is staged already" if staging.staged(record.id) else ""),
            hint="import what is staged, or create another image",
        )
    catalog.update_image(record.id, status="uploading")
    try:
        return staging.put(record.id, ctx.capped(_pieces(file)))
    except Conflict:
        raise  # another command is staging data for this image: the status is its affair
    except BaseException:
        with suppress(UsageError):  # the image may be gone by now
            catalog.update_image(record.id, status="queued")
        raise


def export(record: ImageRecord, data: ImageData, target: Path, *, overwrite: bool) -> None:
    """Write *data*, a copy of *record*, to the file *target*, which appears once every byte is verified.

    Zeros become holes. Raises ``Conflict`` when the file is there, ``VerificationFailed`` when the copy is damaged.
    """
    _refuse_existing(target, overwrite=overwrite)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            position = 0
            for piece in verified(record, data.chunks()):
                write_sparse(descriptor, piece, position)
                position += len(piece)
            os.ftruncate(descriptor, position)
            _refuse_existing(target, overwrite=overwrite)
            partial.rename(target)
        except BaseException:
            partial.unlink()
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", hint="check the folder, its permissions and its space"
        ) from error


def verified(record: ImageRecord, chunks: Chunks) -> Chunks:
    """Pass *chunks* on, and raise ``VerificationFailed`` at their end unless they are what *record* says."""
    names = {"md5": record.checksum}
    if record.os_hash_algo:
        names[record.os_hash_algo] = record.os_hash_value
    digests = {name: hashlib.new(name, usedforsecurity=False) for name, value in names.items() if value}
    size = 0
    for piece in chunks:
        size += len(piece)
        for digest in digests.values():
            digest.update(piece)
        yield piece
    found: dict[str, object] = {
        "size": size,
        **{name: digest.hexdigest() for name, digest in digests.items()},
    }
    expected: dict[str, object] = {"size": record.size, **names}
    for name, value in found.items():
        if expected[name] is not None and value != expected[name]:
            raise VerificationFailed(
                f"the copy is damaged: its {name} is {value}, the record says {expected[name]}",
                hint="export another copy with --store, and copy the image anew to this store",
            )


def _pieces(file: str) -> Chunks:
    """Read a file, a pipe, a device or standard input."""
    try:
        if file == "-":
            yield from _read(sys.stdin.buffer)
        elif stat.S_ISREG(Path(file).stat().st_mode):
            yield from ImageData.from_file(Path(file)).chunks()
        else:
            with Path(file).open("rb") as opened:
                yield from _read(opened)
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {file}: {error.strerror}", hint="name a file that this user may read, or -"
        ) from error


def _read(file: BinaryIO) -> Chunks:
    while piece := file.read(CHUNK_SIZE):
        yield piece


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a folder", hint="name the file to write")
    if target.exists() and not overwrite:
        raise Conflict(f"{target} is there already", hint="choose another name, or overwrite it with --force")
