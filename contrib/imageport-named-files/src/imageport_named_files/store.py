"""The store for folders in which people look."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from imageport import (
    Context,
    Image,
    ImageData,
    Location,
    PendingCopy,
    Plugin,
    PluginConfig,
    StoreFailed,
    hookimpl,
)
from imageport.dataplane import inspect_head, write_sparse
from imageport.values import Written
from pydantic import Field

from imageport_named_files.naming import file_name

#: Enough of an image to tell its format.
_HEAD = 64 << 10

_MAKE_WAY = "move away what is there, or give the image another name with --name"


class NamedFileConfig(PluginConfig):
    """Options of ``named_file``."""

    directory: Path = Field(description="Folder that receives the images; made when missing.")
    mode: str = Field(
        default="0644",
        pattern="^0?[0-7]{3}$",
        coerce_numbers_to_str=True,
        description="Permissions of the files in octal digits, as for chmod.",
    )


class NamedFileStore(Plugin[NamedFileConfig]):
    """Keep each image in a file named after it, such as ``debian-12.qcow2``.

    For image folders of libvirt and Proxmox, and whatever else people browse. The suffix is the disk format. A file
    that is there already is never replaced; until a copy is published it is a hidden file.

    People work in such folders. So the store marks its files with a modification time of its own and reads and
    deletes only files that still have it: what somebody changed or put there is left alone.
    """

    stability = "stable"

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        """Write the image to a hidden file in the folder."""
        name = file_name(image.record.name or image.record.id, _suffix(image))
        final = self.config.directory / name
        stamp = time.time_ns()
        partial = final.with_name(f".{image.record.id}.{stamp}.partial")
        location = Location(
            url=f"file://{quote(str(final))}", metadata={"modified": str(stamp), "partial": partial.name}
        )
        with _explaining(final.parent):
            final.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(final):
            raise StoreFailed(f"{final} is already there", hint=_MAKE_WAY)
        ctx.announce(location)
        try:
            total = self._write(image.data, partial, stamp)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

        def publish() -> None:
            try:
                with _explaining(final):
                    # Unlike a rename, a link never replaces a file that came in the meantime.
                    os.link(partial, final)
            finally:
                partial.unlink(missing_ok=True)
            with _explaining(final):
                _sync_folder(final.parent)

        return Written(location, total, publish, lambda: partial.unlink(missing_ok=True))

    def _write(self, data: ImageData, partial: Path, stamp: int) -> int:
        """Write *data* to *partial* and return its length in bytes; zeros become holes."""
        with _explaining(partial):
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            total = 0
            for piece in data.chunks():
                with _explaining(partial):
                    write_sparse(descriptor, piece, total)
                total += len(piece)
            with _explaining(partial):
                os.ftruncate(descriptor, total)
                os.fchmod(descriptor, int(self.config.mode, 8))
                os.utime(descriptor, ns=(stamp, stamp))
                os.fsync(descriptor)
            if os.fstat(descriptor).st_mtime_ns != stamp:
                raise StoreFailed(
                    f"the file system of {partial.parent} does not keep exact modification times",
                    hint="use a folder on a Linux file system, or the store 'file'",
                )
            return total
        finally:
            os.close(descriptor)

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        """Open the file of a copy, if it is still the one that was written."""
        path = self._path(location)
        with _explaining(path):
            if not _is_ours(path, location):
                raise StoreFailed(
                    f"{path} was changed or replaced after the import",
                    hint="copy from another store, or import the file as a new image",
                )
            return ImageData.from_file(path)

    @hookimpl
    def store_delete(self, location: Location) -> None:
        """Remove the file of a copy, finished or not."""
        path = self._path(location)
        with _explaining(path):
            path.with_name(location.metadata["partial"]).unlink(missing_ok=True)
            if os.path.lexists(path) and _is_ours(path, location):
                path.unlink()
            # The copy is forgotten next, and must not be back after a power failure.
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def _path(self, location: Location) -> Path:
        """Return the path behind a location; only files directly in the folder are ours."""
        path = Path(unquote(urlsplit(location.url).path))
        if path.parent != self.config.directory or Path(location.metadata["partial"]).parent != Path():
            raise StoreFailed(
                f"{location.url} is not in {self.config.directory}",
                hint="the store's directory was changed after this copy was written; change it back",
            )
        return path


def _suffix(image: Image) -> str:
    if image.record.disk_format:
        return image.record.disk_format
    return inspect_head(image.data.peek(_HEAD)).disk_format


def _is_ours(path: Path, location: Location) -> bool:
    return path.lstat().st_mtime_ns == int(location.metadata["modified"])


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = path.parent
        hint = {
            errno.EEXIST: _MAKE_WAY,
            errno.ENOSPC: f"free space for {folder}, then import again",
            errno.EDQUOT: f"the quota for {folder} is used up: free space, then import again",
            errno.EACCES: f"let the user with id {os.geteuid()} write to {folder}",
            errno.EROFS: f"{folder} is mounted read-only: remount it, or use another folder",
            errno.ENOENT: "the copy was removed by hand; import the image again",
        }.get(error.errno or 0, f"check the disk and file system of {folder}")
        raise StoreFailed(f"cannot use {path}: {error.strerror}", hint=hint) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
