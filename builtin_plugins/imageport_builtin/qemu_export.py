"""Read the disk in an image file as it would be raw, without writing it anywhere."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from imageport import Chunks, Context, LimitExceeded, TransformFailed
from imageport_builtin.limited_process import Bounds, judged, start
from imageport_builtin.nbd import NbdError, NbdExport

#: Seconds after which a wait for the program looks whether the import is to stop.
_TICK = 0.2
_MOST_COMPLAINTS = 4096


def raw_chunks(source: Path, driver: str, ctx: Context, bounds: Bounds, *, size: int) -> Chunks:
    """Iterate over the *size* bytes of the disk in *source*, which qemu opens as *driver*.

    Its holes are ``ZERO_CHUNK`` pieces. Raises ``TransformFailed``, ``LimitExceeded`` or ``Cancelled``; the program is
    dead then, and whenever the iteration ends.
    """
    give_up = time.monotonic() + bounds.deadline

    def check() -> None:
        ctx.check_cancelled()
        if time.monotonic() > give_up:
            raise LimitExceeded(
                f"qemu-nbd did not finish within {bounds.deadline:.0f} s",
                hint="raise limits.conversion_deadline in the site file if images this large are expected",
            )

    name = ctx.work_file(".nbd").name
    # The path of the folder may be longer than the address of a socket can be.
    address = f"/proc/self/cwd/{name}"
    arguments = ["--read-only", "--format", driver, "--cache", _cache_mode(source), "--socket", address]
    command = ["qemu-nbd", *arguments, str(source.absolute())]
    with start(command, bounds, folder=ctx.work_folder) as process:
        try:
            with closing(_connect(ctx.work_folder, name, process, check)) as connection:
                export = NbdExport(connection, check)
                if export.size != size:
                    raise NbdError(f"the disk has {export.size} bytes instead of {size}")  # noqa: TRY301
                for piece in export.chunks():
                    handed_on = time.monotonic()
                    yield piece
                    # What the stores take for the bytes is not the program's time.
                    give_up += time.monotonic() - handed_on
        except (NbdError, OSError) as error:
            raise _failure(process, bounds, error) from error
        finally:
            process.kill()
            (ctx.work_folder / name).unlink(missing_ok=True)


def _cache_mode(source: Path) -> str:
    """Return ``none``, which leaves the page cache alone, where the file system permits."""
    try:
        os.close(os.open(source, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return "writeback"
    return "none"


def _connect(
    folder: Path, name: str, process: subprocess.Popen[bytes], check: Callable[[], None]
) -> socket.socket:
    """Connect to the program once it listens. Raises ``NbdError`` when it has ended, and what *check* raises."""
    connection = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        while process.poll() is None:
            check()
            try:
                connection.connect(f"/proc/self/fd/{descriptor}/{name}")
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(_TICK / 40)
            else:
                connection.settimeout(_TICK)
                return connection
        raise NbdError("it has ended")  # noqa: TRY301
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(descriptor)


def _failure(process: subprocess.Popen[bytes], bounds: Bounds, error: Exception) -> TransformFailed:
    """Return what to tell of *error*. Raises ``LimitExceeded`` when a limit has killed the program."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TICK)
    code = process.poll()
    process.kill()
    complaints = process.stderr.read(_MOST_COMPLAINTS) if process.stderr else b""
    ending = judged("qemu-nbd", bounds, code or 0, complaints)
    said = f"; it said: {ending.complaints}" if ending.complaints else ""
    return TransformFailed(
        f"qemu-nbd cannot read the disk in the image: {error}{said}",
        hint="look at the image with qemu-img check, or get it again",
    )
