"""Names of processes and directories of this machine, and whether such a process runs, is stopped, or has ended."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Literal


def this_process() -> str:
    """Name this process for good: ``host:pid:start``.

    ``start`` is the start time in clock ticks since boot (field 22 of ``/proc/PID/stat``, see proc(5)), then
    the boot and the pid namespace within which tick and pid mean something.
    """
    pid = os.getpid()
    start = _stat(pid)[19]
    return f"{socket.gethostname()}:{pid}:{start}-{_process_space()}"


def place_of(directory: Path) -> str:
    """Name a directory of this machine so that no other machine, and no other directory, has the same name."""
    try:
        machine = Path("/etc/machine-id").read_text("ascii").strip()
    except (OSError, UnicodeError):
        machine = ""
    return f"{socket.gethostname()}:{machine}:{directory.resolve()}"


def is_gone(holder: str) -> bool:
    """Return whether the process that called itself *holder* has certainly ended.

    Processes of other hosts, boots and containers cannot be judged from here; only their lease can expire.
    """
    return _state(holder) == "gone"


def is_dead(holder: str, expires_at: datetime, now: datetime) -> bool:
    """Return whether the process *holder* has ended, or must be taken for dead because its lease has expired.

    A process that is seen to run is never dead by the clock, which may have been set. One that is stopped may be.
    """
    state = _state(holder)
    return state == "gone" or (state != "running" and expires_at < now)


def _state(holder: str) -> Literal["running", "stopped", "gone", "unknown"]:
    _, pid_text, start = holder.rsplit(":", 2)
    ticks, _, space = start.partition("-")
    pid = int(pid_text)
    # The name of the host is not enough: clones of one machine image often share it.
    if space != _process_space():
        return "unknown"
    try:
        fields = _stat(pid)
    except OSError:
        return "unknown" if _exists(pid) else "gone"
    if fields[0] in "ZX" or fields[19] != ticks:
        return "gone"
    return "stopped" if fields[0] in "Tt" else "running"


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the state (field 3) on."""
    return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()


def _exists(pid: int) -> bool:
    # /proc may be mounted so that it hides the processes of other users; signal 0 still works.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _process_space() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    return f"{boot.replace('-', '')}.{namespace}"
