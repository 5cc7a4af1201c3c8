"""The bytes that a command and its children read and write, by file, as strace sees their system calls."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FROM_FILE = frozenset({"read", "pread64", "readv", "preadv", "preadv2", "recvfrom", "recvmsg"})
_TO_FILE = frozenset({"write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg"})
#: The descriptors of these are (to, from) and (from, to).
_BETWEEN_FILES = {"sendfile": (1, 0), "copy_file_range": (0, 1), "splice": (0, 1)}
_CALL = re.compile(r"(?:\[pid +\d+\] )?(\w+)\((.*)\) += (\d+)")
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")


@dataclass(frozen=True)
class Moved:
    """Bytes ``read`` from and ``written`` to each file; a connection is a file named ``TCP:...``."""

    read: Mapping[str, int]
    written: Mapping[str, int]

    def read_from(self, place: Path | str) -> int:
        """Return the bytes read from files at or below *place*."""
        return sum(count for name, count in self.read.items() if name.startswith(str(place)))

    def written_to(self, place: Path | str) -> int:
        """Return the bytes written to files at or below *place*."""
        return sum(count for name, count in self.written.items() if name.startswith(str(place)))


def trace(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], traces: Path) -> Moved:
    """Run *command* in *folder* and return what it moved; *traces* is an empty folder for what strace writes."""
    calls = ",".join([*_FROM_FILE, *_TO_FILE, *_BETWEEN_FILES])
    # A file for each thread, so that no line is cut in two.
    strace = ["strace", "-ff", "--seccomp-bpf", "-yy", "-s", "0", "-e", f"trace={calls}", "-e", "signal=none"]
    done = subprocess.run(
        [*strace, "-o", traces / "thread", *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    for file in traces.iterdir():
        for line in file.read_text().splitlines():
            _count(line, read, written)
    return Moved(read, written)


def _count(line: str, read: dict[str, int], written: dict[str, int]) -> None:
    found = _CALL.match(line)
    if found is None:
        return
    name, arguments, count = found[1], found[2], int(found[3])
    files = _DESCRIPTOR.findall(arguments)
    if name in _BETWEEN_FILES:
        source, target = _BETWEEN_FILES[name]
        _add(read, files[source], count)
        _add(written, files[target], count)
    elif files:
        _add(read if name in _FROM_FILE else written, files[0], count)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count
