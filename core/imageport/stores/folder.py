"""The base of stores that keep each image as a file in a folder."""

from __future__ import annotations

import errno
import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import quote, unquote, urlsplit

from pydantic import Field

from imageport.atomic_file import make_directory, sync_directory
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk
from imageport.errors import StoreFailed
from imageport.hookspecs import hookimpl
from imageport.limits import format_size
from imageport.plugin import PluginConfig
from imageport.stores.copy_file import CopyFile, has_mark, hidden_name, mark_of
from imageport.stores.folder_id import ATTRIBUTE, identify, identity
from imageport.stores.remedies import system_hint
from imageport.stores.store import Store
from imageport.values import Finding, Image, Location, StoreCapabilities, StoredCopy

#: The name under which a location keeps the identity of the folder.
_FOLDER = "folder"

#: Free bytes below which a folder is reported: most images are larger.
_LITTLE_ROOM = 1 << 30

#: The option for the permissions of files.
FileMode = Annotated[
    str,
    Field(
        pattern="^0?[0-7]{3}$",
        coerce_numbers_to_str=True,
        description="Permissions of the files in octal digits, as for chmod.",
    ),
]


class FolderStoreConfig(PluginConfig):
    """Options of every store that keeps images in a folder."""

    directory: Path = Field(description="Folder that receives the images; made when missing.")
    mode: FileMode = "0640"


FolderConfigT = TypeVar("FolderConfigT", bound=FolderStoreConfig)


class FolderStore(Store[FolderConfigT, CopyFile]):
    """A store in which each image is a file; its author writes ``file_name``.

    A copy has no name while it is written, and a hidden one, ``.<name>.*.partial``, from its last byte until it is
    published; on a file system without nameless files (NFS), it has the hidden name from its first byte. Zeros become
    holes. Scratch data on the same file system is moved into place, and another copy is cloned where the file system
    can (Btrfs, XFS). File and folder are synced, and a file that is there already is never replaced.

    Each file bears the mark of its attempt: its modification time, and an extended attribute.
    """

    capabilities = StoreCapabilities(unwritten_is_zero=True, keeps_holes=True, seekable=True)

    #: The hint when there is a file of that name already.
    taken_hint: ClassVar[str] = (
        "run 'imageport gc', which removes what failed imports left; "
        "if the file stays, it does not belong to Imageport: move it away"
    )

    def __init__(self, config: FolderConfigT) -> None:
        super().__init__(config)
        self._gone: set[str] = set()

    @abstractmethod
    def file_name(self, image: Image) -> str:
        """Return the name of the file for *image*: without ``/``, and not hidden."""
        raise NotImplementedError

    def is_ours(self, path: Path, mark: str) -> bool:
        """Return whether the file at *path*, if there is one, was written with *mark*; only such files are removed."""
        return has_mark(path, mark)

    def url(self, image: Image) -> str:
        """Return the ``file:`` url of the file (RFC 8089)."""
        name = self.file_name(image)
        if name != Path(name).name or name.startswith("."):
            raise ValueError(f"'{name}' cannot be the name of a file in the store")
        return f"file://{quote(str(self.config.directory / name))}"

    def prepare(self, location: Location) -> None:
        """Make the folder. Raises ``StoreFailed`` when there is a file of that name, or the name is too long."""
        path = self.path(location)
        make_directory(self.config.directory)
        hidden = hidden_name(path, location.metadata["mark"])
        excess = len(os.fsencode(hidden.name)) - os.pathconf(self.config.directory, "PC_NAME_MAX")
        if excess > 0:
            raise StoreFailed(
                f"the file name {path.name} is {excess} bytes too long for {self.config.directory}",
                hint="give the image a shorter name",
            )
        if os.path.lexists(path):
            raise StoreFailed(f"{path} is already there", hint=self.taken_hint)

    def metadata(self, location: Location) -> Mapping[str, str]:
        """Return the identity of the folder, by which it is recognised when it is not mounted."""
        return {_FOLDER: identify(self.config.directory)}

    def open(self, location: Location, image: Image, ctx: Context) -> CopyFile:
        """Take over the file that has the bytes already, if that can be done, else make an empty one."""
        final, mark, backing_file = self.path(location), self.mark(location), image.data.backing_file
        if backing_file is not None:
            try:
                if backing_file.stat().st_dev == final.parent.stat().st_dev and ctx.take_file(backing_file):
                    return CopyFile.moved(backing_file, final, mark)
            except OSError:
                ctx.log.debug("cannot move %s; copying it", backing_file, exc_info=True)
        return CopyFile.cloned(backing_file, final, mark)

    def write(self, copy: CopyFile, chunk: Chunk) -> None:
        """Write the next bytes past the page cache where the file system permits."""
        copy.write(chunk)

    def finish(self, copy: CopyFile) -> None:
        """Complete the file under its hidden name. Raises ``StoreFailed`` where marks do not last."""
        copy.close(int(self.config.mode, 8))
        if not self.is_ours(copy.hidden, copy.mark):
            raise StoreFailed(
                f"the file system of {copy.final.parent} does not keep the modification times of files exactly",
                hint="use a directory on a Linux file system",
            )

    def publish(self, copy: CopyFile) -> None:
        """Link the file to its name, which must be free."""
        copy.publish()

    def discard(self, copy: CopyFile) -> None:
        """Remove the file for good."""
        copy.discard()
        if not copy.has_name:
            # Wherever its folder is by now, the file is gone.
            self._gone.add(copy.mark)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of the file."""
        return ImageData.from_file(self.path(location))

    def delete(self, location: Location, ctx: Context) -> None:
        """Remove the file for good, finished or not; another file that took its name stays.

        Raises ``StoreFailed`` when it is not there because the folder is not mounted.
        """
        path, mark = self.path(location), self.mark(location)
        # A read-only file system refuses to remove even missing files.
        there = [hidden] if os.path.lexists(hidden := hidden_name(path, mark)) else []
        if self.is_ours(path, mark):
            there.append(path)
        if not there and mark not in self._gone:
            self._require_folder(location)
        for name in there:
            name.unlink(missing_ok=True)
        try:
            # The copy is forgotten next, and must not be back after a power failure.
            sync_directory(path.parent)
        except OSError:
            if there:
                raise

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return size and time of the file, None when it is missing or another one took its name."""
        with self._translating(location):
            path, mark = self.path(location), self.mark(location)
            if self.is_ours(path, mark):
                with suppress(FileNotFoundError):
                    return _stored(path, location)
            self._require_folder(location)
            return None

    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]:
        """Yield the files with a mark. On a file system without extended attributes no file has one."""
        directory = self.config.directory
        with self._translating(Location(url=directory.as_uri())):
            if not directory.exists():
                return
            folder = identity(directory)
            with os.scandir(directory) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if entry.name.startswith(".") or (mark := mark_of(path)) is None:
                        continue
                    metadata = {"mark": mark, _FOLDER: folder}
                    location = Location(url=f"file://{quote(entry.path)}", metadata=metadata)
                    if self.is_ours(path, mark):
                        with suppress(FileNotFoundError):
                            yield _stored(path, location)

    def _require_folder(self, location: Location) -> None:
        """Raise ``StoreFailed`` unless the folder is the one in which the copy was written."""
        directory, expected = self.config.directory, location.metadata.get(_FOLDER)
        found = identity(directory) if directory.is_dir() else None
        if found == expected or (found and expected is None):
            return
        is_known = expected is not None and not expected.startswith("inode")
        adopt = (
            f"; if it was replaced for good: setfattr -n {ATTRIBUTE} -v {expected} {directory}"
            if is_known
            else ""
        )
        raise StoreFailed(
            f"{directory} is not the folder in which {location.url} was written"
            if found
            else f"{directory} is missing",
            hint=f"mount it or put it back{adopt}",
        )

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        """Yield whether images can be written to the folder, and how much room there is."""
        directory = self.config.directory
        try:
            yield _state_of(directory)
        except OSError as error:
            # No program can look at it: its parent cannot be entered, or its server does not answer.
            hint = system_hint(error, str(directory))
            yield Finding("error", f"{directory} cannot be used: {error.strerror}", hint)

    def mark(self, location: Location) -> str:
        """Return the mark of the attempt that wrote the copy."""
        return location.metadata["mark"]

    def path(self, location: Location) -> Path:
        """Return the path behind a location. Raises ``StoreFailed`` unless the file is directly in the folder."""
        path = Path(unquote(urlsplit(location.url).path))
        if path.parent != self.config.directory or path.name.startswith("."):
            raise StoreFailed(
                f"{location.url} is not in {self.config.directory}",
                hint="the store's directory was changed after this copy was written; change it back",
            )
        return path

    def system_failure(self, location: Location, error: OSError) -> StoreFailed:
        """Name the file, and the next step about its folder."""
        path, directory = self.path(location), self.config.directory
        hint = system_hint(error, str(directory))
        if error.errno == errno.EEXIST and directory.is_dir():
            hint = self.taken_hint
        elif error.errno == errno.ENOENT and not directory.is_dir():
            hint = f"{directory} is not there any more: mount it or put it back, then import again"
        elif error.errno == errno.ENOENT:
            self._require_folder(location)
            return StoreFailed(f"the file {path} is missing from the store", hint=hint)
        return StoreFailed(f"cannot use {path}: {error.strerror}", hint=hint)


def _stored(path: Path, location: Location) -> StoredCopy:
    status = path.lstat()
    return StoredCopy(
        location=location, size=status.st_size, modified=datetime.fromtimestamp(status.st_mtime, UTC)
    )


def _state_of(directory: Path) -> Finding:
    present = next(parent for parent in (directory, *directory.parents) if parent.exists())
    if not (present.is_dir() and os.access(present, os.W_OK | os.X_OK)):
        hint = (
            f"let the user with id {os.geteuid()} write to it"
            if present.is_dir()
            else f"remove or rename the file in the way of {directory}"
        )
        return Finding("error", f"{directory} cannot be written", hint)
    free = shutil.disk_usage(present).free
    message = f"{directory}, {format_size(free)} free"
    if present != directory:
        return Finding("ok", f"{message}; the first import makes the folder", free=free)
    if free < _LITTLE_ROOM:
        return Finding("warning", message, "free space for further images", free)
    return Finding("ok", message, free=free)
