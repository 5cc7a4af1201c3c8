"""Import data that is here already: a file, standard input, or staged data."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imageport import (
    Chunks,
    Conflict,
    Context,
    ImageData,
    ImageRecord,
    NoConfig,
    Plugin,
    Source,
    SourceRejected,
    SourceUnavailable,
    VerificationFailed,
    hookimpl,
)
from imageport_builtin.cancellable_read import read_pieces


class GlanceDirect(Plugin[NoConfig]):
    """Take the image from a file, from standard input (``-``), or from staging (no source at all).

    A file of the caller is only read, and has to be one that ``local_paths`` of the site file permits. Data in staging
    was put there with ``imageport images stage``.
    """

    stability = "stable"
    starts_from = frozenset({"queued", "uploading"})

    @hookimpl
    def validate_source(self, source: Source, image: ImageRecord, ctx: Context) -> None:
        """Accept paths, ``-``, and nothing when data is staged; a url belongs to another method."""
        if "://" in (source.uri or ""):
            raise SourceRejected(
                "glance-direct reads files, and the source is a url",
                hint="use web-download as the source of this pipeline, or give a path",
            )
        if source.uri is None and ctx.staged is None:
            raise _nothing_staged(image)
        if source.uri not in (None, "-") and source.method == "glance-direct":
            _found(source.uri, ctx)

    @hookimpl
    def stage(self, source: Source, image: ImageRecord, ctx: Context) -> ImageData:
        """Open the file, the staged data or standard input."""
        if source.uri == "-":
            return ImageData.from_chunks(lambda: _standard_input(ctx))
        if source.uri is None:
            if ctx.staged is None:
                raise _nothing_staged(image)
            return _staged(ctx.staged, image)
        file = _found(source.uri, ctx)
        with _explaining(source.uri):
            kind = file.stat().st_mode
            if stat.S_ISFIFO(kind) or stat.S_ISBLK(kind) or stat.S_ISCHR(kind):
                return ImageData.from_chunks(lambda: _special_file(source.uri or "", file, ctx))
            if not stat.S_ISREG(kind):
                what = "is a directory" if stat.S_ISDIR(kind) else "is not a file"
                raise SourceUnavailable(
                    f"{source.uri} {what}", hint="name an image file, or - for standard input"
                )
            with file.open("rb"):
                return ImageData.from_file(file)


def _found(uri: str, ctx: Context) -> Path:
    path = Path(uri).expanduser()
    with _explaining(path):
        return ctx.local_files.find(path)


def _nothing_staged(image: ImageRecord) -> Conflict:
    host = image.properties.get("os_glance_stage_host")
    if host and image.size is not None:
        return Conflict(
            f"nothing is staged here for image {image.id}: its data is in staging on {host}",
            hint=f"import it on {host}, share staging.directory between both, or stage it here as well",
        )
    return Conflict(
        f"nothing is staged for image {image.id}",
        hint=f"stage it first: imageport images stage {image.id} FILE, or name a file to import",
    )


def _staged(path: Path, image: ImageRecord) -> ImageData:
    data = ImageData.from_file(path)
    if image.size is not None and image.size != data.size:
        raise VerificationFailed(
            f"{data.size} bytes are staged for image {image.id}, but its record has {image.size}",
            hint="the staged file or the record was changed: stage the image again",
        )
    return data


def _standard_input(ctx: Context) -> Chunks:
    if sys.stdin is None:
        raise SourceUnavailable("standard input is closed", hint="give it the image, or name a file")
    with _explaining("standard input"):
        yield from read_pieces(sys.stdin.fileno(), ctx)


def _special_file(name: str, file: Path, ctx: Context) -> Chunks:
    with _explaining(name):
        # Opening a pipe would wait for its writer.
        descriptor = os.open(file, os.O_RDONLY | (os.O_NONBLOCK if file.is_fifo() else 0))
        try:
            os.set_blocking(descriptor, True)
            yield from read_pieces(descriptor, ctx)
        finally:
            os.close(descriptor)


@contextmanager
def _explaining(source: Path | str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = {
            errno.ENOENT: f"check the spelling; the path was looked up from {Path.cwd()}",
            errno.EACCES: "give this user read permission, or run as another user",
        }.get(error.errno or 0, "check the disk that holds it")
        raise SourceUnavailable(f"cannot read {source}: {error.strerror}", hint=remedy) from error
