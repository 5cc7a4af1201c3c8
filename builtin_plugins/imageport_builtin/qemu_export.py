"""Read the disk in an image file as raw bytes, without writing it anywhere."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from imageport import Chunks, Context, ImageportError, TransformFailed
from imageport_builtin.limited_process import checked_result, out_of_time, start
from imageport_builtin.nbd import NbdError, NbdExport, NbdHangUpError, NbdReadError
from imageport_builtin.qemu_failures import Run, damaged

#: Seconds after which a wait for the program is interrupted to check deadline and cancellation.
_TICK = 0.2
_MAX_STDERR = 4096


def raw_chunks(program: Run, arguments: Sequence[str], ctx: Context, *, size: int) -> Chunks:
    """Iterate over the *size* bytes of the disk that qemu-nbd opens with *arguments*.

    Its holes are ``ZERO_CHUNK`` pieces. Raises ``VerificationFailed`` when the image is damaged, ``TransformFailed``,
    ``LimitExceeded`` or ``Cancelled``; the program is dead then, and whenever the iteration ends.
    """
    bounds = program.bounds
    give_up = time.monotonic() + bounds.deadline

    def require_time() -> None:
        ctx.check_cancelled()
        if time.monotonic() > give_up:
            raise out_of_time(program.program, bounds)

    name = ctx.work_file(".nbd").name
    # The path of the folder may be longer than the address of a socket can be.
    address = f"/proc/self/cwd/{name}"
    command = [program.program, "--read-only", "--cache", _cache_mode(program.path), "--socket", address]
    with start([*command, *arguments], bounds, folder=ctx.work_folder) as process:
        try:
            with closing(_connect(ctx.work_folder, name, process, require_time)) as connection:
                export = NbdExport(connection, require_time)
                if export.size != size:
                    raise damaged(
                        f"qemu-nbd exports a disk of {export.size} bytes from the image, "
                        f"but its virtual size is {size} bytes"
                    )
                for piece in export.chunks():
                    handed_on = time.monotonic()
                    yield piece
                    # The time of the stores for the bytes is not the program's.
                    give_up += time.monotonic() - handed_on
        except NbdReadError as error:
            raise program.unreadable(error.position, error.code, error.message) from error
        except (NbdHangUpError, OSError) as error:
            raise _failure(program, process, error) from error
        except NbdError as error:
            raise _broken_protocol(error) from error
        finally:
            process.kill()
            with suppress(OSError):
                (ctx.work_folder / name).unlink(missing_ok=True)


def _cache_mode(source: Path) -> str:
    """Return ``none``, which leaves the page cache alone, where the file system permits."""
    try:
        os.close(os.open(source, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return "writeback"
    return "none"


def _connect(
    folder: Path, name: str, process: subprocess.Popen[bytes], require_time: Callable[[], None]
) -> socket.socket:
    """Connect to the program once it listens. Raises ``NbdHangUpError`` when it has ended."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TICK)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        while process.poll() is None:
            require_time()
            try:
                connection.connect(f"/proc/self/fd/{descriptor}/{name}")
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                time.sleep(_TICK / 40)
            else:
                return connection
        raise NbdHangUpError("the server has ended")  # noqa: TRY301
    except BaseException:
        connection.close()
        raise
    finally:
        os.close(descriptor)


def _failure(program: Run, process: subprocess.Popen[bytes], error: Exception) -> ImageportError:
    """Return the error for a program that broke off. Raises ``LimitExceeded`` when a limit has killed it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_TICK)
    code = process.poll()
    if code is None:
        # Children would keep its standard error open.
        os.killpg(process.pid, signal.SIGKILL)
    stderr = process.stderr.read(_MAX_STDERR) if process.stderr else b""
    result = checked_result(program.program, program.bounds, code or 0, stderr)
    if code or result.stderr:
        return program.failure(result)
    return _broken_protocol(error)


def _broken_protocol(error: Exception) -> TransformFailed:
    return TransformFailed(
        f"qemu-nbd does not serve the disk: {error}", hint="check the installation of qemu-nbd"
    )
