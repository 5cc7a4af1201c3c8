"""The scratch area: staged images, work folders, and leftovers of a crash.

Every name begins with the id of its image, up to the first dot, so that leftovers are not taken for the data of
living images.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from imageport.atomic_file import sync_directory
from imageport.cleaning import logged
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.spool import write_spool, writing_to
from imageport.errors import Conflict
from imageport.partial_source import PartialSource

#: Ends the names of files with incoming data; who writes one holds a lock on it.
HALF_STAGED = ".staging"
#: Seconds to wait for the lock, which ``gc`` holds for a moment to see whether a file is in use.
_PATIENCE = 1.0


class Incoming:
    """A file with data that is being put in staging."""

    def __init__(self, descriptor: int, path: Path, final: Path) -> None:
        self.path = path
        self.is_kept = False
        self.is_left = False
        self._descriptor = descriptor
        self._final = final

    def write(self, chunks: Chunks, *, needed: int | None) -> int:
        """Write *chunks* to the disk and return the bytes.

        Raises ``LimitExceeded`` before the first of them when the *needed* bytes do not fit, if they are known.
        """
        length = write_spool(chunks, self._descriptor, self.path.parent, needed=needed)
        os.fsync(self._descriptor)
        return length

    def keep(self) -> None:
        """Make this the staged data of the image."""
        self.path = self.path.rename(self._final)
        # The catalog is about to count on the name.
        sync_directory(self._final.parent)
        self.is_kept = True

    def leave(self) -> None:
        """Keep the data after a failure if it is the staged data of the image: the catalog may count on it."""
        self.is_left = self.path == self._final


class Staging:
    """The staging directory of a site."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def staged(self, image_id: str) -> Path | None:
        """Return the data that was put in staging for an image, or None."""
        path = self.directory / image_id
        with writing_to(self.directory):
            return path if path.is_file() else None

    def is_written(self, image_id: str) -> bool:
        """Return whether a command is putting data for an image in staging now."""
        partial = self.directory / f"{image_id}{HALF_STAGED}"
        return os.path.lexists(partial) and not _is_unlocked(partial)

    @contextmanager
    def incoming(self, image_id: str) -> Iterator[Incoming]:
        """Give the file for the data of an image to one command alone; it goes unless it is kept, and if that fails.

        Raises ``Conflict`` while another command has it.
        """
        partial = self.directory / f"{image_id}{HALF_STAGED}"
        with writing_to(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            if partial.is_symlink():
                partial.unlink(missing_ok=True)
            with _locked(partial) as descriptor:
                incoming = Incoming(descriptor, partial, self.directory / image_id)
                try:
                    yield incoming
                except BaseException:
                    if not incoming.is_left:
                        with logged(f"remove {incoming.path}"):
                            incoming.path.unlink(missing_ok=True)
                    raise
                if not incoming.is_kept:
                    incoming.path.unlink(missing_ok=True)

    def remove(self, image_id: str) -> None:
        """Remove the staged data of an image, if any, also that of a killed command."""
        (self.directory / image_id).unlink(missing_ok=True)
        _remove_unlocked(self.directory / f"{image_id}{HALF_STAGED}")

    def remove_all_of(self, image_id: str, task_id: str) -> None:
        """Remove the staged data of an image and the work folder of its import. Raises ``OSError``."""
        self.remove(image_id)
        if (folder := self._work_folder(image_id, task_id)).exists():
            shutil.rmtree(folder)

    @contextmanager
    def work_folder(self, image_id: str, task_id: str) -> Iterator[Path]:
        """Make a folder for the scratch files of one import, and remove it afterwards."""
        folder = self._work_folder(image_id, task_id)
        with writing_to(self.directory):
            folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def partial(self, image_id: str, task_id: str) -> PartialSource:
        """Return the spooled part of the source."""
        return PartialSource(self._work_folder(image_id, task_id))

    def set_aside(self, image_id: str, task_id: str) -> Path:
        """Give the work folder of a dead import another name, and return it: it is not cleaned up with the rest."""
        aside = self._work_folder(image_id, str(uuid.uuid4()))
        with writing_to(self.directory):
            return self._work_folder(image_id, task_id).rename(aside)

    def _work_folder(self, image_id: str, task_id: str) -> Path:
        return self.directory / f"{image_id}.{task_id}"

    def contents(self, image_id: str | None = None) -> list[Path]:
        """Return the files and folders here that bear the id of an image, of this one or of any.

        Data that a command is just putting in staging is left out.
        """
        with writing_to(self.directory):
            paths = sorted(self.directory.iterdir()) if self.directory.is_dir() else []
        return [
            path
            for path in paths
            if _is_image_id(stem := path.name.partition(".")[0])
            and image_id in (None, stem)
            and (not path.name.endswith(HALF_STAGED) or _is_unlocked(path))
        ]


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists. Raises ``OSError``."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_on_disk(path: Path) -> int:
    """Return the bytes that a leftover file or folder takes on disk."""
    taken = 0
    # The target of a link is not here. Path.rglob would raise when another process removes the folder just now.
    inside = () if path.is_symlink() else os.walk(path)
    for file in (path, *(Path(folder, name) for folder, *names in inside for name in chain(*names))):
        with suppress(FileNotFoundError):
            taken += file.lstat().st_blocks * 512
    return taken


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open an empty file that no other process writes, be it new or left over from a command that was killed."""
    descriptor = _open_locked(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_locked(path: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had the lock before may have removed or renamed the file by now.
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                os.ftruncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise Conflict(
                    f"data for image {path.stem} is being staged already", hint="wait for the other command"
                ) from None
            time.sleep(_PATIENCE / 20)
        os.close(descriptor)


def _is_unlocked(path: Path) -> bool:
    if path.is_symlink():
        return True
    try:
        with _opened_as_is(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_unlocked(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError, BlockingIOError), _opened_as_is(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
            path.unlink()


def _opened_as_is(path: Path) -> BinaryIO:
    """Open a file to lock it, but follow no link, and wait for no writer of a pipe that bears its name."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK))


def _is_image_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
