"""The driver that uses librbd by the bindings that Ceph ships for Python."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC

import rados
import rbd
from imageport.dataplane import Chunk
from imageport.stores import VolumeFacts
from imageport.values import ClientSettings, Finding

from imageport_rbd.cluster import MARK, SNAPSHOT, cannot_connect, no_pool, room
from imageport_rbd.options import RbdOptions


@contextmanager
def _system_errors() -> Iterator[None]:
    """Raise errors of Ceph as those of the system, by their numbers."""
    try:
        yield
    except (rados.Error, rbd.Error) as error:
        number = getattr(error, "errno", None) or errno.EIO
        raise OSError(number, os.strerror(number)) from error


class BindingsVolume:
    """An open image, or a snapshot of one."""

    def __init__(self, image: rbd.Image) -> None:
        self._image = image

    def write(self, offset: int, data: Chunk) -> None:
        """Write *data* at *offset*."""
        with _system_errors():
            self._image.write(bytes(data), offset)

    def resize(self, size: int) -> None:
        """Change the size."""
        with _system_errors():
            self._image.resize(size)

    def flush(self) -> None:
        """Make all writes durable."""
        with _system_errors():
            self._image.flush()

    def data_ranges(self) -> Sequence[tuple[int, int]]:
        """Return offset and length of what was written, as the object map and the objects know it."""
        ranges: list[tuple[int, int]] = []

        def note(offset: int, length: int, exists: bool) -> None:
            if exists:
                ranges.append((offset, length))

        with _system_errors():
            self._image.diff_iterate(0, self._image.size(), None, note)
        return ranges

    def read(self, offset: int, length: int) -> bytes:
        """Return *length* bytes at *offset*."""
        with _system_errors():
            return self._image.read(offset, length)

    def close(self) -> None:
        """Close the image."""
        with _system_errors():
            self._image.close()


class BindingsCluster:
    """A connection of librados to a pool. Raises ``StoreFailed`` when there is none."""

    def __init__(self, options: RbdOptions, client: ClientSettings) -> None:
        self._options = options
        settings = {
            "client_mount_timeout": f"{client.connect_timeout:.0f}",
            "rados_mon_op_timeout": f"{client.read_timeout:.0f}",
            "rados_osd_op_timeout": f"{client.read_timeout:.0f}",
            # Every write is used once, and flushed at the end.
            "rbd_cache": "false",
            "log_to_stderr": "false",
            "err_to_stderr": "false",
        }
        if options.keyring is not None:
            settings["keyring"] = str(options.keyring)
        try:
            self._rados = rados.Rados(rados_id=options.user, conffile=str(options.conf), conf=settings)
            self._rados.connect(timeout=max(1, round(client.connect_timeout)))
        except rados.Error as error:
            number = getattr(error, "errno", None)
            raise cannot_connect(options, os.strerror(number) if number else str(error)) from error
        try:
            self._pool = self._rados.open_ioctx(options.pool)
        except rados.Error as error:
            self._rados.shutdown()
            raise no_pool(options.pool) from error
        # Else writes to a full pool wait until there is room, and so would a removal.
        self._pool.set_osdmap_full_try()
        self._rbd = rbd.RBD()
        self.fsid = self._rados.get_fsid()
        self.in_flight = options.in_flight

    def create(self, name: str, size: int) -> BindingsVolume:
        """Create an image and open it."""
        options = self._options
        features = None
        if options.features is not None:
            features = self._rbd.features_from_string(",".join(sorted(options.features)))
        with _system_errors():
            self._rbd.create(
                self._pool, name, size,
                order=19 + options.object_size.bit_length(), features=features, data_pool=options.data_pool,
            )  # fmt: skip
            try:
                return BindingsVolume(rbd.Image(self._pool, name))
            except rbd.Error:
                self._rbd.remove(self._pool, name)
                raise

    def open_snapshot(self, name: str) -> BindingsVolume:
        """Open the snapshot of an image."""
        with _system_errors():
            return BindingsVolume(rbd.Image(self._pool, name, snapshot=SNAPSHOT, read_only=True))

    def set_mark(self, name: str, mark: str) -> None:
        """Write the mark into the metadata of an image."""
        with _system_errors(), rbd.Image(self._pool, name) as image:
            image.metadata_set(MARK, mark)

    def protect_snapshot(self, name: str) -> None:
        """Make the snapshot of an image, and protect it."""
        with _system_errors(), rbd.Image(self._pool, name) as image:
            image.create_snap(SNAPSHOT)
            image.protect_snap(SNAPSHOT)

    def rename(self, hidden: str, name: str) -> None:
        """Rename an image."""
        with _system_errors():
            self._rbd.rename(self._pool, hidden, name)

    def clones(self, name: str) -> list[str]:
        """Return the clones of the snapshot."""
        with _system_errors():
            try:
                with rbd.Image(self._pool, name, snapshot=SNAPSHOT, read_only=True) as image:
                    return sorted(f"{clone['pool']}/{clone['image']}" for clone in image.list_children2())
            except rbd.ImageNotFound:
                return []

    def remove(self, name: str) -> None:
        """Remove an image with its snapshot."""
        with _system_errors():
            try:
                with rbd.Image(self._pool, name, read_only=True) as image:
                    if any(image.watchers_list()):
                        # To open it as a writer would mean to wait for the client that has it, and to be one more.
                        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
                    has_snapshot = any(snapshot["name"] == SNAPSHOT for snapshot in image.list_snaps())
                if has_snapshot:
                    with rbd.Image(self._pool, name) as image:
                        if image.is_protected_snap(SNAPSHOT):
                            image.unprotect_snap(SNAPSHOT)
                        image.remove_snap(SNAPSHOT)
                self._rbd.remove(self._pool, name)
            except rbd.ImageNotFound:
                return

    def facts(self, name: str) -> VolumeFacts | None:
        """Return size, mark and time of creation."""
        with _system_errors():
            try:
                with rbd.Image(self._pool, name, read_only=True) as image:
                    mark = dict(image.metadata_list()).get(MARK)
                    created = image.create_timestamp().replace(tzinfo=UTC)
                    return VolumeFacts(size=image.size(), mark=mark, modified=created)
            except rbd.ImageNotFound:
                return None

    def names(self) -> list[str]:
        """Return the names of all images."""
        with _system_errors():
            return self._rbd.list(self._pool)

    def findings(self) -> Iterator[Finding]:
        """Yield how much room the pool has."""
        question = {"prefix": "df", "detail": "detail", "format": "json"}
        with _system_errors():
            status, answer, _ = self._rados.mon_command(json.dumps(question), b"")
        if status:
            raise OSError(-status, os.strerror(-status))
        yield room(self._options.data_pool or self._options.pool, answer)

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()
        self._rados.shutdown()
