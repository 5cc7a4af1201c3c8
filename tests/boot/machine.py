"""Boot a disk in an emulated PC without network, and read its screen and its serial line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

#: The text screen of a PC: 25 lines of 80 characters, each followed by its colours.
SCREEN, COLUMNS, LINES = 0xB8000, 80, 25

_TICK = 0.2
_OPTIONS = "-accel tcg -m 1024 -nodefaults -nic none -vga std -display none -no-reboot -snapshot"


@dataclass
class Machine:
    """A running machine, with the files of it in *folder*."""

    folder: Path
    process: subprocess.Popen[bytes]
    monitor: IO[str]

    def wait_for(self, text: str, patience: float) -> None:
        """Wait until *text* shows on the screen or the serial line; fail with both after *patience* seconds."""
        give_up = time.monotonic() + patience
        while text not in (shown := f"{self.screen()}\n{self.serial()}"):
            assert self.process.poll() is None, f"the machine ended with status {self.process.returncode}"
            assert time.monotonic() < give_up, f"{text!r} did not show within {patience} s, but:\n{shown}"
            time.sleep(_TICK)

    def screen(self) -> str:
        """Return the text on the screen."""
        dump = self.folder / "screen"
        self.command("pmemsave", val=SCREEN, size=2 * COLUMNS * LINES, filename=str(dump))
        characters = dump.read_bytes()[::2].decode("cp437")
        rows = (characters[start : start + COLUMNS] for start in range(0, len(characters), COLUMNS))
        return "\n".join(row.rstrip() for row in rows)

    def serial(self) -> str:
        """Return what came on the serial line so far."""
        return (self.folder / "serial").read_text(errors="replace")

    def photograph(self, path: Path) -> None:
        """Write a picture of the screen to *path*, as PNG."""
        self.command("screendump", filename=str(path), format="png")

    def command(self, name: str, **arguments: Any) -> None:
        """Let the monitor execute a command of the QEMU Machine Protocol, and wait for its answer."""
        self.monitor.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.monitor.flush()
        for line in self.monitor:
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return
        raise AssertionError("the machine has ended")


@contextmanager
def booted(disk: Path, folder: Path) -> Iterator[Machine]:
    """Start a machine whose first hard disk is the raw *disk*, which stays as it is."""
    ours, theirs = socket.socketpair()
    (folder / "serial").touch()
    command = [
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *_OPTIONS.split()),
        *("-drive", f"file={str(disk).replace(',', ',,')},format=raw,if=ide"),
        *("-serial", f"file:{folder / 'serial'}"),
        *("-chardev", f"socket,id=monitor,fd={theirs.fileno()}", "-mon", "chardev=monitor,mode=control"),
    ]
    environment = {"TMPDIR": str(folder), "PATH": os.defpath}
    with (
        ours,
        subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment) as process,
        ours.makefile("rw") as monitor,
    ):
        theirs.close()
        try:
            machine = Machine(folder, process, monitor)
            monitor.readline()
            machine.command("qmp_capabilities")
            yield machine
        finally:
            process.kill()
