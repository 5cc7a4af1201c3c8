"""Store images as files in a directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field

from imageport import (
    Context,
    Image,
    ImageData,
    ImageportError,
    Location,
    PendingCopy,
    Plugin,
    PluginConfig,
    StoreFailed,
    hookimpl,
)
from imageport.dataplane import SparseFile
from imageport.values import Written
from imageport_builtin.partial_file import (
    PartialFile,
    has_mark,
    hidden_name,
    make_directory,
    new_mark,
    sync_directory,
)


class FileStoreConfig(PluginConfig):
    """Options of the file store."""

    directory: Path = Field(description="Folder that receives the images; made when missing.")
    mode: str = Field(
        default="0640",
        pattern="^0?[0-7]{3}$",
        coerce_numbers_to_str=True,
        description="Permissions of the files in octal digits, as for chmod.",
    )


class FileStore(Plugin[FileStoreConfig]):
    """Keep each image in a file named by its id, with zeros left out as holes.

    A copy has no name in the directory while it is written, and a hidden one, ``.<id>.*.partial``, from its last byte
    until it is published, so that a reader of the directory never sees half an image. Where the file system has no
    nameless files (NFS), it has the hidden name from its first byte. ``imageport gc`` removes what a killed import has
    left.

    Zeros cost nothing, and neither do bytes that are in a file here already: scratch data on the same file system is
    moved into place, and another copy is cloned where the file system can (Btrfs, XFS). Everything else is written
    past the page cache where the file system permits.

    Each file bears a mark, its modification time and an extended attribute. What has lost both is somebody else's,
    and is never deleted.
    """

    stability = "stable"

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        """Write the image to a nameless file on the directory's file system."""
        final = self.config.directory / image.record.id
        mark = new_mark()
        location = Location(url=_url(final), metadata={"mark": mark})
        with self._explaining(final):
            make_directory(self.config.directory)
            if os.path.lexists(final):
                raise StoreFailed(
                    f"{final} is already there",
                    hint="run 'imageport gc', which removes what failed imports left; "
                    "if the file stays, it is somebody else's: move it away",
                )
            ctx.announce(location)
            partial = _moved(image.data.backing_file, final, mark, ctx) or PartialFile.new(final, mark)
        try:
            total = self._fill(partial, image.data, final)
            with self._explaining(final):
                partial.finish(int(self.config.mode, 8))
        except BaseException:
            partial.discard()
            raise

        def publish() -> None:
            with self._explaining(final):
                partial.publish()

        return Written(location, total, publish, partial.discard)

    def _fill(self, partial: PartialFile, data: ImageData, final: Path) -> int:
        """Bring the bytes into the file, unless they are there already, and return how many there are."""
        with self._explaining(final):
            filled = partial.is_moved or (data.backing_file is not None and partial.clone(data.backing_file))
            file = SparseFile(partial.descriptor)
        total = 0
        for piece in data.chunks():
            total += len(piece)
            if not filled:
                with self._explaining(final):
                    file.write(piece)
        with self._explaining(final):
            if not filled:
                file.finish()
            elif not partial.is_still(total):
                raise StoreFailed(
                    f"{data.backing_file} was written to while it was copied",
                    hint="import it when nobody writes to it",
                )
        return total

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        """Open the file of a copy."""
        path = self._path(location)
        with self._explaining(path):
            return ImageData.from_file(path)

    @hookimpl
    def store_delete(self, location: Location) -> None:
        """Remove the file of a copy, finished or not; another file that took its name stays."""
        path = self._path(location)
        mark = location.metadata["mark"]
        with self._explaining(path):
            # A file system that was made read-only refuses to remove even what is not there.
            there = [hidden] if os.path.lexists(hidden := hidden_name(path, mark)) else []
            if has_mark(path, mark):
                there.append(path)
            for name in there:
                name.unlink(missing_ok=True)
            try:
                # The copy is forgotten next, and must not be back after a power failure.
                sync_directory(path.parent)
            except OSError:
                if there:
                    raise

    def _path(self, location: Location) -> Path:
        """Return the path behind a location; only files directly in the directory are ours."""
        path = Path(unquote(urlsplit(location.url).path))
        if path.parent != self.config.directory or path.name.startswith("."):
            raise StoreFailed(
                f"{location.url} is not in {self.config.directory}",
                hint="the store's directory was changed after this copy was written; change it back",
            )
        return path

    @contextmanager
    def _explaining(self, path: Path) -> Iterator[None]:
        try:
            yield
        except ImageportError:
            raise
        except OSError as error:
            raise StoreFailed(f"cannot use {path}: {error.strerror}", hint=self._remedy(error)) from error

    def _remedy(self, error: OSError) -> str:
        directory = self.config.directory
        full = f"free space for {directory} (disk or quota is full), then import again"
        rights = f"let the user with id {os.geteuid()} write to {directory}"
        obstacle = f"move away what stands in the way of {directory}"
        remedies = {
            errno.ENOSPC: full,
            errno.EDQUOT: full,
            errno.EACCES: rights,
            errno.EPERM: rights,
            errno.EROFS: f"{directory} is mounted read-only: remount it, or use another directory",
            errno.EEXIST: obstacle,
            errno.ENOTDIR: obstacle,
            errno.EFBIG: f"the file system of {directory} or a limit of this process allows no file this large",
            errno.ENOENT: "the copy was removed behind our back; import the image again"
            if directory.is_dir()
            else f"{directory} is not there any more: mount it or put it back, then import again",
            errno.EXDEV: f"{directory} is on another disk than before: mount it as it was, then import again",
        }
        return remedies.get(error.errno or 0, f"check the disk and file system of {directory}")


def _moved(backing_file: Path | None, final: Path, mark: str, ctx: Context) -> PartialFile | None:
    """Return scratch data on the same file system, which has the bytes of the image already, as the file to be."""
    try:
        if (
            backing_file is not None
            and backing_file.stat().st_dev == final.parent.stat().st_dev
            and ctx.take_file(backing_file)
        ):
            return PartialFile.moved(backing_file, final, mark)
    except OSError:
        # Writing the bytes works everywhere.
        return None
    return None


def _url(path: Path) -> str:
    return f"file://{quote(str(path))}"
