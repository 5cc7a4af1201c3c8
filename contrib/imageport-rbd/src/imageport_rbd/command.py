"""The driver that uses the commands ``rbd`` and ``ceph``, for Pythons that cannot import the bindings."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, NoReturn

from imageport import StoreFailed
from imageport.dataplane import Chunk
from imageport.stores import VolumeFacts
from imageport.values import ClientSettings, Finding

from imageport_rbd.cluster import MARK, SNAPSHOT, cannot_connect, no_pool, room
from imageport_rbd.options import RbdOptions

_ZEROS = bytes(1 << 20)


class CommandVolume:
    """An image as the input of ``rbd import -``, or the output of ``rbd export``: its bytes come in order."""

    def __init__(self, cluster: CommandCluster, command: Sequence[str], size: int | None = None) -> None:
        self._cluster = cluster
        self._size = size
        self._position = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the volume
        pipe, none = subprocess.PIPE, subprocess.DEVNULL
        writes = size is not None
        self._process = subprocess.Popen(
            command, stdin=pipe if writes else none, stdout=none if writes else pipe, stderr=self._errors
        )
        self._stream: IO[bytes] = self._process.stdin if writes else self._process.stdout  # type: ignore[assignment]

    def write(self, offset: int, data: Chunk) -> None:
        """Write *data* at *offset*, with zeros between it and the last write."""
        self._send_zeros(offset - self._position)
        self._send(data)

    def resize(self, size: int) -> None:
        """Note the size; the command makes the image as long as what it reads."""
        self._size = size

    def flush(self) -> None:
        """Complete the image."""
        self._send_zeros((self._size or 0) - self._position)
        with suppress(BrokenPipeError):
            self._stream.close()
        self._require_success()

    def data_ranges(self) -> Sequence[tuple[int, int]]:
        """Return one range of all bytes."""
        return [(0, 1 << 63)]

    def read(self, offset: int, length: int) -> bytes:
        """Return the next *length* bytes, which are at *offset*."""
        data = self._stream.read(length)
        if len(data) < length:
            self._require_success()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return data

    def close(self) -> None:
        """End the command: without further input it completes its image, which can be removed then."""
        with suppress(BrokenPipeError):
            self._stream.close()
        try:
            self._process.wait(self._cluster.patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _send_zeros(self, count: int) -> None:
        for start in range(0, count, len(_ZEROS)):
            self._send(memoryview(_ZEROS)[: count - start])

    def _send(self, data: Chunk) -> None:
        try:
            self._stream.write(data)
        except BrokenPipeError:
            self._require_success()
            raise
        self._position += len(data)

    def _require_success(self) -> None:
        try:
            status = self._process.wait(self._cluster.patience)
        except subprocess.TimeoutExpired:
            status = errno.ETIMEDOUT
        if status:
            self._cluster.fail(status)


class CommandCluster:
    """A pool as the commands see it. Raises ``StoreFailed`` when the cluster cannot be used."""

    def __init__(self, options: RbdOptions, client: ClientSettings) -> None:
        self._options = options
        self.in_flight = 1
        self.patience = 4 * client.read_timeout
        keyring = [] if options.keyring is None else ["--keyring", str(options.keyring)]
        self._client = [
            "--conf", str(options.conf), "--id", options.user, *keyring,
            "--client-mount-timeout", f"{client.connect_timeout:.0f}",
            "--rados-mon-op-timeout", f"{client.read_timeout:.0f}",
            "--rados-osd-op-timeout", f"{client.read_timeout:.0f}",
        ]  # fmt: skip
        try:
            done = self._run("ceph", "--connect-timeout", f"{client.connect_timeout:.0f}", "fsid")
        except FileNotFoundError as error:
            raise StoreFailed(
                "the commands of Ceph, rbd and ceph, are missing", hint="install ceph-common, or python3-rbd"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise cannot_connect(options, os.strerror(errno.ETIMEDOUT)) from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise cannot_connect(options, last)
        self.fsid = done.stdout.strip()
        if self._run("rbd", "ls", options.pool).returncode == errno.ENOENT:
            raise no_pool(options.pool)

    def create(self, name: str, size: int) -> CommandVolume:
        """Begin an image."""
        options = self._options
        if full := self._fullness():
            raise OSError(full, os.strerror(full))
        features = sorted(options.features or ())
        return CommandVolume(
            self,
            self._command(
                "rbd", "import", "--no-progress", "--object-size", f"{options.object_size}M",
                *[f"--image-feature={feature}" for feature in features],
                *([f"--data-pool={options.data_pool}"] if options.data_pool else []),
                "-", self._spec(name),
            ),
            size,
        )  # fmt: skip

    def open_snapshot(self, name: str) -> CommandVolume:
        """Begin to read the snapshot of an image."""
        return CommandVolume(
            self, self._command("rbd", "export", "--no-progress", self._spec(name, SNAPSHOT), "-")
        )

    def set_mark(self, name: str, mark: str) -> None:
        """Write the mark into the metadata of an image."""
        self._ask("rbd", "image-meta", "set", self._spec(name), MARK, mark)

    def protect_snapshot(self, name: str) -> None:
        """Make the snapshot of an image, and protect it."""
        self._ask("rbd", "snap", "create", "--no-progress", self._spec(name, SNAPSHOT))
        self._ask("rbd", "snap", "protect", self._spec(name, SNAPSHOT))

    def rename(self, hidden: str, name: str) -> None:
        """Rename an image."""
        self._ask("rbd", "rename", self._spec(hidden), self._spec(name))

    def clones(self, name: str) -> list[str]:
        """Return the clones of the snapshot."""
        try:
            found = self._json("rbd", "children", self._spec(name, SNAPSHOT))
        except FileNotFoundError:
            return []
        return sorted(f"{clone['pool']}/{clone['image']}" for clone in found)

    def remove(self, name: str) -> None:
        """Remove an image with its snapshot."""
        try:
            if self._json("rbd", "status", self._spec(name))["watchers"]:
                # The commands that follow would wait for the client that has it.
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            for snapshot in self._json("rbd", "snap", "ls", self._spec(name)):
                if snapshot["name"] == SNAPSHOT:
                    if snapshot["protected"] == "true":
                        self._ask("rbd", "snap", "unprotect", self._spec(name, SNAPSHOT))
                    self._ask("rbd", "snap", "rm", "--no-progress", self._spec(name, SNAPSHOT))
            self._ask("rbd", "rm", "--no-progress", self._spec(name))
        except FileNotFoundError:
            return

    def facts(self, name: str) -> VolumeFacts | None:
        """Return size and mark."""
        try:
            size = self._json("rbd", "info", self._spec(name))["size"]
            metadata = self._json("rbd", "image-meta", "ls", self._spec(name)) or {}
        except FileNotFoundError:
            return None
        return VolumeFacts(size=size, mark=metadata.get(MARK))

    def names(self) -> list[str]:
        """Return the names of all images."""
        found: list[str] = self._json("rbd", "ls", self._options.pool)
        return found

    def findings(self) -> Iterator[Finding]:
        """Yield how much room the pool has."""
        answer = self._ask("ceph", "df", "detail", "--format", "json")
        yield room(self._options.data_pool or self._options.pool, answer)

    def close(self) -> None:
        """Close nothing: each command has a separate connection."""

    def fail(self, status: int) -> NoReturn:
        """Raise the error of a command that ended with *status*, the number of an error of the system."""
        number = status if status > 0 else errno.EIO
        if number == errno.ETIMEDOUT:
            number = self._fullness() or number
        raise OSError(number, os.strerror(number))

    def _fullness(self) -> int | None:
        """Return the number of the error of a pool without room, in which writes wait until their time is over."""
        wanted = self._options.data_pool or self._options.pool
        pools = self._json("ceph", "osd", "pool", "ls", "detail")
        flags: list[str] = next(
            (pool["flags_names"].split(",") for pool in pools if pool["pool_name"] == wanted), []
        )
        return errno.EDQUOT if "full_quota" in flags else errno.ENOSPC if "full" in flags else None

    def _spec(self, name: str, snapshot: str | None = None) -> str:
        return f"{self._options.pool}/{name}" + (f"@{snapshot}" if snapshot else "")

    def _json(self, *command: str) -> Any:
        text = self._ask(*command, "--format", "json")
        return json.loads(text) if text.strip() else None

    def _ask(self, *command: str) -> str:
        try:
            done = self._run(*command)
        except subprocess.TimeoutExpired:
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
        if done.returncode:
            self.fail(done.returncode)
        return done.stdout

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=self.patience,
        )  # fmt: skip

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [program, *self._client, *arguments]
