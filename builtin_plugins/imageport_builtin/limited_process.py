"""Run a program that handles hostile data: under limits, watched, and killed rather than left behind."""

from __future__ import annotations

import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imageport import Context, LimitExceeded, TransformFailed
from imageport.limits import format_size

#: Programs of util-linux that set the limits.
WRAPPERS = {"prlimit": "util-linux", "setpriv": "util-linux"}

_QEMU = "qemu-utils (Debian, Ubuntu) or qemu-img (Fedora)"
#: Ends a program whose parent ended before it could ask for the signal for that: none would come any more.
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'

#: Words of QEMU for a file that would grow too large, where there is no signal.
_TOO_LARGE = re.compile("(writ|resize).*File too large|too large for file format")

_PACKAGES = {"qemu-img": _QEMU, "qemu-nbd": _QEMU}
_TICK = 0.05
_MAX_STDERR = 4096


@dataclass(frozen=True)
class Bounds:
    """Limits of one run: bytes of address space and of any file written, seconds of CPU and in all."""

    memory: int
    file_size: int
    cpu_seconds: int
    deadline: float


@dataclass(frozen=True)
class ProcessResult:
    """How a program ended: its exit code (minus the signal that killed it) and the start of its standard error."""

    code: int
    stderr: str


def run(
    command: list[str],
    bounds: Bounds,
    ctx: Context,
    on_output: Callable[[bytes], None],
    on_tick: Callable[[], None] = lambda: None,
) -> ProcessResult:
    """Run *command* to its end, passing its standard output on as it comes.

    *on_tick* is called several times a second, whether there is output or not. Raises ``LimitExceeded`` when the
    program takes too long or writes too much, ``Cancelled`` when the import is cancelled, ``TransformFailed`` when it
    is not installed, and the errors of *on_output* and *on_tick*; the program is dead then.
    """
    give_up = time.monotonic() + bounds.deadline

    def watch() -> None:
        ctx.check_cancelled()
        if time.monotonic() > give_up:
            raise out_of_time(command[0], bounds)
        on_tick()

    with start(command, bounds) as process:
        stderr = _follow(process, on_output, watch)
    # The work of a short run since the last tick.
    on_tick()
    return checked_result(command[0], bounds, process.returncode, stderr)


@contextmanager
def start(
    command: list[str], bounds: Bounds, *, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* in *folder* while the body of a ``with`` statement runs, which has to read both its pipes.

    Waits for its end afterwards; if the body raises, it is killed. Raises ``TransformFailed`` when it is not installed.
    """
    process = subprocess.Popen(
        [*_limiting(bounds), locate(command[0]), *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        # One arena: each further one reserves address space, which is what the memory limit counts.
        env={**clean_environment(), "MALLOC_ARENA_MAX": "1"},
        # A separate process group, so that Ctrl-C reaches this process only.
        start_new_session=True,
    )
    with process:
        try:
            yield process
        except BaseException:
            # Until it is waited for, the number still belongs to it.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            raise


def checked_result(name: str, bounds: Bounds, code: int, stderr: bytes | bytearray | str) -> ProcessResult:
    """Return how the program *name* has ended; raise ``LimitExceeded`` when one of its *bounds* was the reason."""
    stderr = stderr if isinstance(stderr, str) else _printable(stderr)
    if code == -signal.SIGXCPU:
        raise LimitExceeded(
            f"{name} used more than {bounds.cpu_seconds} s of CPU time",
            hint="the image is probably made to exhaust the machine; get it from a source you trust",
        )
    if code == -signal.SIGXFSZ or _TOO_LARGE.search(stderr):
        raise LimitExceeded(
            f"{name} tried to write more than {format_size(bounds.file_size)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    return ProcessResult(code, stderr)


def out_of_time(name: str, bounds: Bounds) -> LimitExceeded:
    """Return the error for a program *name* that has not finished by its deadline."""
    return LimitExceeded(
        f"{name} did not finish within {bounds.deadline:g} s",
        hint="raise limits.conversion_deadline in the site file if images this large are expected",
    )


def locate(program: str) -> str:
    """Return the path of *program*. Raises ``TransformFailed`` when it is not installed."""
    path = shutil.which(program)
    if path is None:
        raise TransformFailed(
            f"{program} is not installed", hint=f"install the package {_PACKAGES.get(program, 'util-linux')}"
        )
    return path


def clean_environment() -> dict[str, str]:
    """Return the environment of programs that handle hostile data: the secrets in ours are not for them."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def limit_prefix(cpu_seconds: int) -> list[str]:
    """Return the words before a command that let it neither outlive this process nor compute any longer.

    Programs do this rather than ``preexec_fn``, which may deadlock when other threads run, and rather than
    ``resource.prlimit`` from here, which comes after the start. The last word is ``prlimit`` or an option of it.
    Raises ``TransformFailed`` when one of the programs is not installed.
    """
    seconds = _permitted(resource.RLIMIT_CPU, cpu_seconds)
    return [
        *(locate("setpriv"), "--pdeathsig", "KILL"),
        *("/bin/sh", "-c", _UNLESS_ORPHANED, str(os.getpid())),
        *(locate("prlimit"), "--core=0"),
        # At the first limit comes SIGXCPU, which differs from other signals; SIGKILL at the second.
        f"--cpu={seconds}:{_permitted(resource.RLIMIT_CPU, seconds + 1)}",
    ]


def _follow(
    process: subprocess.Popen[bytes], on_output: Callable[[bytes], None], watch: Callable[[], None]
) -> str:
    """Pass standard output on until the process ends, and return its standard error."""
    stderr = bytearray()

    def keep_stderr(piece: bytes) -> None:
        stderr.extend(piece[: _MAX_STDERR - len(stderr)])

    with selectors.DefaultSelector() as selector:
        for stream, consume in ((process.stdout, on_output), (process.stderr, keep_stderr)):
            assert stream is not None  # noqa: S101 - for the type checker: both are pipes
            selector.register(stream, selectors.EVENT_READ, consume)
        while selector.get_map():
            for key, _ in selector.select(_TICK):
                if piece := os.read(key.fd, 64 << 10):
                    key.data(piece)
                else:
                    selector.unregister(key.fileobj)
            watch()
    while True:
        try:
            process.wait(_TICK)
        except subprocess.TimeoutExpired:
            watch()
        else:
            return _printable(stderr)


def _limiting(bounds: Bounds) -> list[str]:
    """Return the words before a command that put it under all *bounds*."""
    return [
        *limit_prefix(bounds.cpu_seconds),
        f"--as={_permitted(resource.RLIMIT_AS, bounds.memory)}",
        f"--fsize={_permitted(resource.RLIMIT_FSIZE, bounds.file_size)}",
    ]


def _permitted(kind: int, wanted: int) -> int:
    """Return *wanted*, or less when this process itself is under a stricter limit."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _printable(text: bytes | bytearray) -> str:
    """Return *text* as one line that cannot play tricks on a terminal."""
    line = " ".join(bytes(text).decode("utf-8", "replace").split())
    return "".join(character if character.isprintable() else "?" for character in line)
