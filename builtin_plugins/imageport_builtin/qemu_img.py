"""Run qemu-img on images nobody trusts: with the format forced, under limits, watched and killed in doubt."""

from __future__ import annotations

import json
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imageport import Context, LimitExceeded, TransformFailed, format_size

#: Programs used here. The two wrappers are part of util-linux.
BINARIES = ("qemu-img", "prlimit", "setpriv")

#: What qemu calls the disk formats of image records.
DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}

_CREATE_OPTIONS = {
    "vmdk": ["-o", "subformat=streamOptimized"],
    # Else the size of the disk is rounded up to whole cylinders.
    "vhd": ["-o", "force_size=on"],
}
_INFO_MEMORY = 1 << 30
_INFO_CPU_SECONDS = 10
_INFO_DEADLINE = 60.0
_TICK = 0.05
_LARGEST_ANSWER = 4 << 20
_PROGRESS = re.compile(rb"\((\d+\.\d+)/100%\)")


@dataclass(frozen=True)
class DiskInfo:
    """What ``qemu-img info`` says: the virtual size in bytes, and the other files it would open."""

    driver: str
    virtual_size: int
    encrypted: bool
    create_type: str | None
    references: tuple[str, ...]


@dataclass(frozen=True)
class _Bounds:
    memory: int
    cpu_seconds: int
    file_size: int
    deadline: float


def info(path: Path, disk_format: str, ctx: Context) -> DiskInfo:
    """Ask qemu-img what it makes of the file at *path*, opened as *disk_format* and nothing else.

    Raises ``TransformFailed`` when it cannot be opened so, ``LimitExceeded`` when that takes too much.
    """
    answer = bytearray()

    def collect(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _LARGEST_ANSWER:
            raise TransformFailed(
                f"qemu-img info said more than {format_size(_LARGEST_ANSWER)} about the image"
            )

    bounds = _Bounds(_INFO_MEMORY, _INFO_CPU_SECONDS, 0, _INFO_DEADLINE)
    arguments = ["info", "--output=json", "-f", DRIVERS[disk_format], str(path.absolute())]
    _run(arguments, bounds, ctx, collect)
    try:
        return _parse_info(json.loads(answer), path.absolute())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TransformFailed("qemu-img info gave an answer that makes no sense") from error


def convert(
    source: Path,
    source_format: str,
    target: Path,
    target_format: str,
    ctx: Context,
    *,
    size: int,
    compress: bool,
) -> None:
    """Write the disk in *source* to *target*, a new file, in another format.

    *size* is the virtual size in bytes, for progress. Raises ``TransformFailed``, ``LimitExceeded`` or
    ``Cancelled``; then *target* may be there in part.
    """

    def tell(piece: bytes) -> None:
        if steps := _PROGRESS.findall(piece):
            ctx.progress(round(float(steps[-1]) / 100 * size), size)

    limits = ctx.limits
    bounds = _Bounds(
        memory=limits.conversion_memory,
        # Holds when nobody is left to watch the clock.
        cpu_seconds=int(limits.conversion_deadline * (os.cpu_count() or 1)) + 1,
        file_size=limits.image_size_cap,
        deadline=limits.conversion_deadline,
    )
    arguments = ["convert", "-p", "-S", "64k", "-f", DRIVERS[source_format], "-O", DRIVERS[target_format]]
    arguments += _CREATE_OPTIONS.get(target_format, [])
    arguments += ["-c"] if compress else []
    # An absolute path is never taken for a protocol such as nbd: or json:.
    _run([*arguments, str(source.absolute()), str(target.absolute())], bounds, ctx, tell)


def _parse_info(answer: dict[str, Any], path: Path) -> DiskInfo:
    details = answer.get("format-specific", {}).get("data", {})
    named = [answer.get("backing-filename"), answer.get("full-backing-filename"), details.get("data-file")]
    named += [extent["filename"] for extent in details.get("extents", [])]
    return DiskInfo(
        driver=str(answer["format"]),
        virtual_size=int(answer["virtual-size"]),
        encrypted=bool(answer.get("encrypted")),
        create_type=details.get("create-type"),
        references=tuple(str(name) for name in named if name not in (None, str(path))),
    )


def _run(arguments: list[str], bounds: _Bounds, ctx: Context, on_output: Callable[[bytes], None]) -> None:
    """Run qemu-img to its end; any word on standard error is a failure."""
    process = subprocess.Popen(
        [*_wrapper(bounds), _locate("qemu-img"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # One arena: each further one reserves address space, which is what the memory limit counts.
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "MALLOC_ARENA_MAX": "1"},
        # A group of its own, so that Ctrl-C reaches us alone and we decide.
        start_new_session=True,
    )
    with process:
        try:
            complaints = _follow(process, bounds, ctx, on_output)
        except BaseException:
            # Not waited for yet, so the number still belongs to it.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    _judge(arguments[0], process.returncode, complaints, bounds)


def _follow(
    process: subprocess.Popen[bytes], bounds: _Bounds, ctx: Context, on_output: Callable[[bytes], None]
) -> str:
    """Pass standard output on until the process ends, and return what it said on standard error."""
    give_up = time.monotonic() + bounds.deadline
    complaints = bytearray()

    def complain(piece: bytes) -> None:
        complaints.extend(piece[: 4096 - len(complaints)])

    def watch() -> None:
        ctx.check_cancelled()
        if time.monotonic() > give_up:
            raise LimitExceeded(
                f"qemu-img did not finish within {bounds.deadline:.0f} s",
                hint="raise limits.conversion_deadline in the site file if images this large are expected",
            )

    with selectors.DefaultSelector() as selector:
        for stream, consume in ((process.stdout, on_output), (process.stderr, complain)):
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
            return _printable(complaints)


def _judge(verb: str, code: int, complaints: str, bounds: _Bounds) -> None:
    if code == -signal.SIGXCPU:
        raise LimitExceeded(
            f"qemu-img {verb} used more than {bounds.cpu_seconds} s of CPU time",
            hint="the image is probably made to exhaust the machine; get it from a source you trust",
        )
    if code == -signal.SIGXFSZ or "File too large" in complaints:
        raise LimitExceeded(
            f"the converted image is larger than {format_size(bounds.file_size)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    if code == 0 and not complaints:
        return
    if "No space left on device" in complaints:
        hint = "free space in the staging directory"
    elif "Cannot allocate memory" in complaints or code in (-signal.SIGABRT, -signal.SIGTRAP):
        hint = f"it may use {format_size(bounds.memory)}: see limits.conversion_memory in the site file"
    else:
        hint = "check the image with qemu-img check, or get it again"
    ending = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    raise TransformFailed(f"qemu-img {verb} {ending}: {complaints or 'it said nothing'}", hint=hint)


def _wrapper(bounds: _Bounds) -> list[str]:
    """Return the words before the command that put it under limits.

    Programs do this rather than ``preexec_fn``, which may deadlock when other threads run, and rather than
    ``resource.prlimit`` from here, which comes after the start. ``setpriv`` sees to it that the command does
    not outlive this process.
    """
    seconds = _permitted(resource.RLIMIT_CPU, bounds.cpu_seconds)
    return [
        *(_locate("setpriv"), "--pdeathsig", "KILL"),
        _locate("prlimit"),
        "--core=0",
        f"--as={_permitted(resource.RLIMIT_AS, bounds.memory)}",
        f"--fsize={_permitted(resource.RLIMIT_FSIZE, bounds.file_size)}",
        # At the first limit comes SIGXCPU, which can be told from other deaths; SIGKILL at the second.
        f"--cpu={seconds}:{_permitted(resource.RLIMIT_CPU, seconds + 1)}",
    ]


def _permitted(kind: int, wanted: int) -> int:
    """Return *wanted*, or less when this process itself is under a stricter limit."""
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _locate(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        package = (
            "qemu-utils (Debian, Ubuntu) or qemu-img (Fedora)" if program == "qemu-img" else "util-linux"
        )
        raise TransformFailed(f"{program} is not installed", hint=f"install the package {package}")
    return path


def _printable(text: bytes | bytearray) -> str:
    """Return *text* as one line that cannot play tricks on a terminal."""
    line = " ".join(bytes(text).decode("utf-8", "replace").split())
    return "".join(character if character.isprintable() else "?" for character in line)
