"""The scratch area: staged images, work folders, and what a crash left there.

Every name begins with the id of its image, up to the first dot, so that leftovers can be told from the data of
living images.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imageport.data import Chunks, write_sparse
from imageport.errors import Conflict, ImageportError, UsageError

#: Ends the names of files that ``put`` is writing; it holds a lock on each.
_HALF_STAGED = ".staging"


class Staging:
    """The staging directory of a site."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def staged(self, image_id: str) -> Path | None:
        """Return the data that was put in staging for an image, or None."""
        path = self.directory / image_id
        return path if path.is_file() else None

    def put(self, image_id: str, chunks: Chunks) -> int:
        """Write *chunks* as the staged data of an image and return the bytes. A failure leaves no file."""
        with _usable(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / image_id
            partial = self.directory / f"{image_id}{_HALF_STAGED}"
            try:
                descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileExistsError:
                raise Conflict(
                    f"data for image {image_id} is being staged already",
                    hint="wait for the other command; if it was killed, 'imageport gc' cleans up after it",
                ) from None
            try:
                position = 0
                for piece in chunks:
                    write_sparse(descriptor, piece, position)
                    position += len(piece)
                os.ftruncate(descriptor, position)
                os.fsync(descriptor)
                partial.rename(path)
            except BaseException:
                partial.unlink()
                raise
            finally:
                os.close(descriptor)
        return position

    def remove(self, image_id: str) -> None:
        """Remove the staged data of an image, if any."""
        (self.directory / image_id).unlink(missing_ok=True)

    @contextmanager
    def work_folder(self, image_id: str, task_id: str) -> Iterator[Path]:
        """Make a folder for the scratch files of one import, and remove it afterwards."""
        folder = self.directory / f"{image_id}.{task_id}"
        with _usable(self.directory):
            folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def leftovers(self, in_use: Callable[[str], bool]) -> list[Path]:
        """Return what belongs to no image for which ``in_use(image_id)`` holds; files of others are not ours.

        Data that is being staged tells by its lock whether somebody still writes it.
        """
        if not self.directory.is_dir():
            return []
        return [
            path
            for path in sorted(self.directory.iterdir())
            if _is_image_id(stem := path.name.partition(".")[0])
            and (_is_unlocked(path) if path.name.endswith(_HALF_STAGED) else not in_use(stem))
        ]


def size_on_disk(path: Path) -> int:
    """Return the bytes that a leftover file or folder takes on disk."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.lstat().st_blocks * 512 for file in files)


def remove_leftover(path: Path) -> int:
    """Remove a leftover file or folder and return the bytes that it took on disk."""
    taken = size_on_disk(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return taken


def _is_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_image_id(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    try:
        yield
    except ImageportError:
        raise
    except OSError as error:
        raise UsageError(
            f"cannot write to the staging directory {directory}: {error.strerror}",
            hint="make it writable or free space, or set staging.directory in the site file",
        ) from error
