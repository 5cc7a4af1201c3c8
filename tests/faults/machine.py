"""A machine with a site, stores and pipelines, whose commands are forked, watched, killed, and looked after."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.faults.forked_commands import begin

from imageport.catalog import Catalog
from imageport.testing.forked import forks
from imageport.values import ImageRecord

SERVER = Path(__file__).with_name("forked_commands.py")
#: Seconds that any command here may take; one that takes longer hangs.
DEADLINE = 60.0
#: Seconds until a process whose parent was killed has to be gone.
_LAST_BREATH = 10.0

#: Make a separate file system for some folders, for this process and its children alone; without root, too.
_MOUNTING = """
while [ "$1" != -- ]; do mkdir -p "$1" && mount -t tmpfs -o size="$2" none "$1" || exit; shift 2; done
shift
exec "$@"
"""
_IS_ROOT = os.geteuid() == 0
_ALONE = ["unshare", "--mount"] if _IS_ROOT else ["unshare", "--user", "--map-root-user", "--mount"]

SITE = """\
catalog: {catalog}
staging: {{directory: {folder}/staging}}
"""


@dataclass
class Command:
    """A command that was started, and how it ended."""

    pid: int
    stdout: Path
    stderr: Path
    moments: Path
    #: The exit status, negative for a signal; None while it runs.
    status: int | None = None
    #: The most memory it took, in bytes.
    peak: int = 0

    @property
    def report(self) -> dict[str, Any]:
        """The last line of ``run --json``."""
        found: dict[str, Any] = json.loads(self.stdout.read_text().splitlines()[-1])
        return found

    @property
    def complaints(self) -> str:
        return self.stderr.read_text()

    def passed(self) -> list[str]:
        """Return the moments that it has passed."""
        return self.moments.read_text().splitlines()

    @property
    def had_failing_commit(self) -> bool:
        """Whether it came to its failing commit."""
        return Path(f"{self.stdout}.failed").exists()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still runs."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass
class Machine:
    """A folder with a site; ``stores`` are the folders in it that receive images.

    ``seen`` is the folder as its commands see it, with the file systems that are mounted for them alone; ``catalog``
    is of no use when that is on one of these.
    """

    folder: Path
    #: The process that starts the commands.
    server: int
    connection: socket.socket
    catalog: Catalog
    stores: tuple[str, ...]
    seen: Path
    _commands: dict[int, Command] = field(default_factory=dict)
    _started: int = 0

    def start(
        self,
        *arguments: str | Path,
        signals: Mapping[int, int] | None = None,
        stdin: str | Path = os.devnull,
        site: str = "imageport.yaml",
        failing_commit: int = 0,
    ) -> Command:
        """Start a command; with *signals* it gets some at the moments of these numbers.

        The *failing_commit*, counted from 1, is one that the disk of an SQLite catalog refuses.
        """
        self._started += 1
        stdout, stderr, moments = (
            self.folder / f"{self._started}.{end}" for end in ("stdout", "stderr", "moments")
        )
        for path in (stdout, stderr, moments):
            # A command may be killed before it opens them.
            path.touch()
        request = {
            "arguments": ["--config", str(self.folder / site), *map(str, arguments)],
            "folder": str(self.folder),
            "stdin": str(stdin),
            "stdout": str(stdout),
            "stderr": str(stderr),
            "moments": None if signals is None else str(moments),
            "signals": signals or {},
            "failing_commit": failing_commit,
        }
        self.connection.send(json.dumps(request).encode())
        while "started" not in (answer := self._answer(DEADLINE)):
            self._note(answer)
        command = Command(answer["started"], stdout, stderr, moments)
        self._commands[command.pid] = command
        return command

    def wait(self, command: Command, seconds: float = DEADLINE) -> Command:
        """Wait for the end of a command; one that does not end in time fails the test."""
        deadline = time.monotonic() + seconds
        while command.status is None:
            try:
                self._note(self._answer(max(0.01, deadline - time.monotonic())))
            except TimeoutError:
                raise AssertionError(f"a command hangs: {command.complaints}") from None
        assert "Traceback" not in command.complaints, command.complaints
        assert "internal error" not in command.complaints, command.complaints
        return command

    def is_over(self, command: Command) -> bool:
        """Return whether a command has ended."""
        with suppress(BlockingIOError):
            self._note(self._answer(0.0))
        return command.status is not None

    def await_file(self, command: Command, store: str) -> None:
        """Wait until the command has written to a hidden file in a store."""
        deadline = time.monotonic() + DEADLINE
        inside = f"{self.folder / store}/"
        while not any(_is_written(link, inside) for link in Path(f"/proc/{command.pid}/fd").iterdir()):
            assert time.monotonic() < deadline, "nothing is written"
            time.sleep(0.01)

    def await_event(self, command: Command, kind: str) -> None:
        """Wait until a command with ``--json`` has printed an event."""
        deadline = time.monotonic() + DEADLINE
        while not command.stdout.exists() or f'"type": "{kind}"' not in command.stdout.read_text():
            assert time.monotonic() < deadline, command.complaints
            time.sleep(0.01)

    def run(self, *arguments: str | Path, **options: Any) -> Command:
        """Run a command to its end."""
        return self.wait(self.start(*arguments, **options))

    def _answer(self, seconds: float) -> dict[str, Any]:
        self.connection.settimeout(seconds)
        answer: dict[str, Any] = json.loads(self.connection.recv(1 << 16))
        return answer

    def _note(self, end: Mapping[str, int]) -> None:
        command = self._commands.pop(end["ended"])
        command.status = end["status"]
        command.peak = end["peak"] << 10

    def mount(self, *arguments: str | Path) -> None:
        """Run mount(8) where the file systems of the commands are."""
        self._inside("mount", *arguments)

    def unmount(self, *arguments: str | Path) -> None:
        """Run umount(8) where the file systems of the commands are."""
        self._inside("umount", *arguments)

    def _inside(self, *command: str | Path) -> None:
        spaces = ["--mount"] if _IS_ROOT else ["--mount", "--user", "--preserve-credentials"]
        subprocess.run(["nsenter", "--target", str(self.server), *spaces, *command], check=True)

    # ---------------------------------------------------------------------------------------- what is there

    def new_image(self, disk_format: str) -> str:
        """Make an empty image and return its id."""
        record = ImageRecord(
            id=str(uuid.uuid4()), owner="tester", disk_format=disk_format, container_format="bare"
        )
        return self.catalog.create_image(record).id

    def files(self, store: str) -> list[Path]:
        """Return all files of a store, hidden ones included."""
        folder = self.seen / store
        return sorted(folder.rglob("*")) if folder.exists() else []

    def assert_whole(self, expected: str, image: str = "") -> None:
        """Check that all that can be seen of an image, or of all, in stores and in the catalog is as *expected*."""
        for store in self.stores:
            for path in self.files(store):
                assert path.name.startswith(".") or image not in path.name or digest(path) == expected, path
        for record in self.catalog.list_images():
            for location in record.locations if image in record.id else ():
                assert digest(self._seen(location.url)) == expected, location

    def assert_nothing_left(self) -> None:
        """Check that there is nothing but images that are whole: no file, row, lock, task, or process."""
        known, staged = set(), set()
        for record in self.catalog.list_images():
            assert not self.catalog.is_locked(record.id), record
            assert record.status in {"queued", "active", "uploading"}
            assert bool(record.locations) is (record.status == "active")
            if record.status == "uploading":
                staged.add(self.seen / "staging" / record.id)
            assert record.properties.get("os_glance_importing_to_stores", "") == ""
            known |= {self._seen(location.url) for location in record.locations}
        assert {*(self.seen / "staging").rglob("*")} == staged
        assert {path for store in self.stores for path in self.files(store)} == known
        assert all(task.finished for task in self.catalog.list_tasks())
        assert list(self.catalog.hidden_copies()) == []
        self.assert_no_process_left()

    def _seen(self, url: str) -> Path:
        return self.seen / Path(unquote(urlsplit(url).path)).relative_to(self.folder)

    def assert_no_process_left(self) -> None:
        """Check that no program which a command has started is still there."""
        deadline = time.monotonic() + _LAST_BREATH
        while strays := self._strays():
            assert time.monotonic() < deadline, strays
            time.sleep(0.02)

    def _strays(self) -> list[str]:
        server = self.server
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return [child for child in children if int(child) not in self._commands and not _is_dead(child)]


@contextmanager
def machine(
    folder: Path,
    stores: Sequence[str],
    disks: Mapping[str, str] | None = None,
    *,
    catalog_url: str | None = None,
) -> Iterator[Machine]:
    """Make a machine in *folder*; some folders in it may be separate *disks*, of a size as mount(8) writes it.

    The catalog is an SQLite file unless *catalog_url* names another one.
    """
    url = catalog_url or f"sqlite:///{folder}/catalog/catalog.db"
    (folder / "imageport.yaml").write_text(SITE.format(folder=folder, catalog=url))
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "HOME": str(folder), "LOGNAME": "tester", "PYTHONPATH": ":".join(sys.path)}
    with there:
        server, wait = _server(
            there, environment, {str(folder / name): size for name, size in (disks or {}).items()}
        )
    try:
        here.settimeout(DEADLINE)
        assert here.recv(64) == b"ready"
        seen = Path(f"/proc/{server}/root{folder}")
        catalog = Catalog(url)
        try:
            yield Machine(folder, server, here, catalog, tuple(stores), seen)
        finally:
            catalog.close()
    finally:
        here.close()
        wait()


def _server(
    commands: socket.socket, environment: Mapping[str, str], disks: Mapping[str, str]
) -> tuple[int, Callable[[], object]]:
    """Start the process that starts the commands; return its id, and a function that waits for its end."""
    if not disks:
        forked = forks().Process(target=begin, args=(commands, environment))
        forked.start()
        assert forked.pid is not None
        return forked.pid, partial(forked.join, DEADLINE)
    mounting = [word for disk in disks.items() for word in disk]
    command = [*_ALONE, "sh", "-c", _MOUNTING, "sh", *mounting, "--", sys.executable, str(SERVER)]
    started = subprocess.Popen(
        [*command, str(commands.fileno())],
        pass_fds=[commands.fileno()], env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return started.pid, partial(started.wait, DEADLINE)


def _is_written(link: Path, inside: str) -> bool:
    """Return whether an open file is *inside* a folder and has data."""
    try:
        return str(link.readlink()).startswith(inside) and link.stat().st_blocks > 0
    except FileNotFoundError:
        return False


def _is_dead(process: str) -> bool:
    """Return whether a process is gone, or would be if its parent asked how it ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
