"""Failures of qemu-img itself; a small shell script takes its place."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from imageport import Cancelled, ImageportError, LimitExceeded, TransformFailed, VerificationFailed
from imageport_builtin import qemu_export, qemu_img

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

Replace = Callable[[str], None]


@pytest.fixture
def replace_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Put a script before qemu-img on the PATH; ``$real`` in it is qemu-img, ``$0.pid`` a place for its number."""
    return _replacing("qemu-img", tmp_path, monkeypatch)


def _replacing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replace:
    real = subprocess.run(["which", name], check=True, capture_output=True, text=True).stdout.strip()

    def replace(script: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(f"#!/bin/sh\nreal={real} python='{sys.executable}'\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return replace


#: Hang where qemu-img converts, and where qemu-nbd exports; qemu-img does the rest of its work.
HANG = """
[ "$1" = convert ] || [ "$1" = --read-only ] || exec "$real" "$@"
sleep 600 & echo $! > "$0.child"
echo $$ > "$0.pid"
wait
"""


def has_ended(number: int) -> bool:
    for _ in range(200):
        try:
            state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def recorded(tmp_path: Path, suffix: str, *, program: str = "qemu-img") -> int:
    path = tmp_path / "programs" / f"{program}.{suffix}"
    for _ in range(500):
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.02)
    raise AssertionError(f"{path} was never written")


@pytest.mark.parametrize(
    ("script", "error", "match"),
    [
        ("echo broken >&2; exit 1", TransformFailed, r"qemu-img failed \(broken\)"),
        ("exit 3", TransformFailed, r"qemu-img failed \(exit code 3, no message\)"),
        ('echo careful >&2; exec "$real" "$@"', TransformFailed, "careful"),
        ("kill -KILL $$", TransformFailed, "qemu-img was killed by SIGKILL"),
        ("kill -SEGV $$", TransformFailed, r"qemu-img crashed on this image \(SIGSEGV\)"),
        ("kill -ABRT $$", LimitExceeded, "qemu-img needs more than 1.0 GiB of memory"),
        ("kill -XCPU $$", LimitExceeded, "qemu-img used more than 10 s of CPU time"),
        ("echo '[1, 2]'", TransformFailed, "cannot be read"),
        ("echo nonsense", TransformFailed, "cannot be read"),
        ("echo '{}'", TransformFailed, "cannot be read"),
        ("yes | head -c 6000000", VerificationFailed, "more than 4.0 MiB of descriptions"),
        ("yes | head -c 6000000 >&2; exit 1", TransformFailed, "y y y"),
        (r"printf '\033[2Jcleared\007' >&2; exit 1", TransformFailed, r"failed \(\?\[2Jcleared\?\)"),
        (
            """echo '{"format": "raw", "virtual-size": 1}'""",
            VerificationFailed,
            "the image is qcow2, but qemu-img takes it for raw",
        ),
        (
            """echo '{"format": "qcow2", "virtual-size": 512}'""",
            VerificationFailed,
            "the qcow2 image has 4194304 bytes by its header, but qemu-img reads 512",
        ),
        (
            """echo '{"format": "qcow2", "virtual-size": 1, "backing-filename": "/etc/passwd"}'""",
            VerificationFailed,
            "refers to other files: /etc/passwd",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_failing_qemu_img_fails_the_import_and_leaves_nothing(
    script: str,
    error: type[ImageportError],
    match: str,
    replace_qemu_img: Replace,
    make: Callable[[str], Path],
    bench: Bench,
) -> None:
    image = make("qcow2 v3")
    replace_qemu_img(script)

    with pytest.raises(error, match=match) as failure:
        bench.convert(image, stream=True)

    assert failure.value.hint
    assert "\x1b" not in failure.value.message
    assert bench.work_files() == []


@pytest.mark.parametrize(
    ("script", "match"),
    [
        ("exit 1", "qemu-img failed"),
        ('for last; do :; done; echo part > "$last"; echo trouble >&2', "trouble"),
        ('for last; do :; done; echo "no qcow2" > "$last"', "not a proper vmdk|instead of"),
    ],
)
def test_a_failing_conversion_leaves_nothing(
    script: str, match: str, replace_qemu_img: Replace, make: Callable[[str], Path], bench: Bench
) -> None:
    replace_qemu_img(f'[ "$1" = convert ] || exec "$real" "$@"\n{script}')

    with pytest.raises(ImageportError, match=match):
        bench.convert(make("qcow2 v3"), stream=True, output_format="vmdk")
    assert bench.work_files() == []


def test_limits_are_in_force_before_qemu_img_starts(
    replace_qemu_img: Replace, make: Callable[[str], Path], bench: Bench
) -> None:
    report = "grep -E 'cpu|address|core|file size' /proc/self/limits | tr -s ' ' >&2; exit 1"
    replace_qemu_img(f'[ "$1" = convert ] || exec "$real" "$@"\n{report}')
    bench.limit(conversion_memory="512 MiB", image_size_cap="8 MiB", conversion_deadline=100)

    with pytest.raises(TransformFailed) as failure:
        bench.convert(make("qcow2 v3"), output_format="vmdk")

    seconds = 100 * (os.cpu_count() or 1) + 1
    assert f"Max cpu time {seconds} {seconds + 1} seconds" in failure.value.message
    assert f"Max file size {8 << 20} {8 << 20} bytes" in failure.value.message
    assert "Max core file size 0 0 bytes" in failure.value.message
    assert f"Max address space {512 << 20} {512 << 20} bytes" in failure.value.message


@pytest.mark.parametrize("output_format", ["vmdk", "raw"])
def test_the_real_programs_cannot_have_more_memory_than_permitted(
    output_format: str, make: Callable[[str], Path], bench: Bench
) -> None:
    # Too little for them to start, whatever they would need later.
    bench.limit(conversion_memory="16 MiB")

    with pytest.raises(ImageportError):
        bench.convert(make("qcow2 v3"), stream=True, output_format=output_format)
    assert bench.work_files() == []


@pytest.fixture(params=[("qemu-img", "vmdk"), ("qemu-nbd", "raw")], ids=["qemu-img", "qemu-nbd"])
def hanging(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Return a program that hangs, and the format that it is used for."""
    program, output_format = request.param
    _replacing(program, tmp_path, monkeypatch)(HANG)
    return program, output_format


def test_a_program_that_hangs_is_killed_with_its_children(
    hanging: tuple[str, str], make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    program, output_format = hanging
    bench.limit(conversion_deadline=1)

    with pytest.raises(LimitExceeded, match=f"{program} did not finish within 1 s"):
        bench.convert(make("qcow2 v3"), stream=True, output_format=output_format)

    assert has_ended(recorded(tmp_path, "pid", program=program))
    assert has_ended(recorded(tmp_path, "child", program=program))
    assert bench.work_files() == []


def test_a_cancelled_import_kills_the_program(
    hanging: tuple[str, str], make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    program, output_format = hanging

    def cancel_once_it_runs() -> None:
        recorded(tmp_path, "pid", program=program)
        bench.ctx.cancelled.set()

    canceller = threading.Thread(target=cancel_once_it_runs)
    canceller.start()
    with pytest.raises(Cancelled):
        bench.convert(make("qcow2 v3"), stream=True, output_format=output_format)
    canceller.join()
    assert has_ended(recorded(tmp_path, "child", program=program))
    assert bench.work_files() == []


def test_qemu_img_does_not_outlive_a_process_that_is_killed(
    replace_qemu_img: Replace, make: Callable[[str], Path], tmp_path: Path
) -> None:
    replace_qemu_img('echo $$ > "$0.pid"; exec sleep 600')
    program = f"""
import logging, pathlib
from imageport import Caller, Context
from imageport.limits import Limits
from imageport_builtin import qemu_img
ctx = Context(caller=Caller(user="a"), image_id="i", task_id="t", step="s", limits=Limits(), http=None,
    log=logging.getLogger(), work_folder=pathlib.Path("."), read_replica=None)
qemu_img.check(pathlib.Path({str(make("qcow2 v3"))!r}), "qcow2", ctx)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", program], env=environment) as process:
        try:
            number = recorded(tmp_path, "pid")
        finally:
            process.send_signal(signal.SIGKILL)

    assert has_ended(number)


def test_a_missing_qemu_img_is_reported_with_its_package(
    make: Callable[[str], Path], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make("qcow2 v3")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("setpriv", "prlimit"):
        found = subprocess.run(["which", name], check=True, capture_output=True, text=True).stdout.strip()
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(TransformFailed, match="qemu-img is not installed") as failure:
        bench.convert(image, stream=True)
    assert "qemu-utils" in failure.value.hint


EXCHANGE_BEFORE_CONVERTING = """
[ "$1" = convert ] && mv '{evil}' '{image}'
exec "$real" "$@"
"""


def test_a_file_that_is_exchanged_after_the_inspection_is_not_converted(
    replace_qemu_img: Replace, make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    secret, evil, image = (tmp_path / name for name in ("secret", "evil.qcow2", "image.qcow2"))
    secret.write_bytes(b"the key of the host".ljust(bench.disk.stat().st_size, b"."))
    options: list[str | Path] = ["-q", "-f", "qcow2", "-b", secret, "-F", "raw"]
    subprocess.run(["qemu-img", "create", *options, evil], check=True)
    shutil.copy(make("qcow2 v3"), image)
    replace_qemu_img(EXCHANGE_BEFORE_CONVERTING.format(evil=evil, image=image))

    result = bench.convert(image, output_format="vdi")

    assert not evil.exists()
    assert bench.holds_the_disk(result)


#: A raw disk is read through qemu-nbd: what happens when that goes wrong.
EXCHANGE_BEFORE_READING = """
mv '{evil}' '{image}'
exec "$real" "$@"
"""

ANSWER_NONSENSE = """
while [ "$1" != --socket ]; do shift; done
exec "$python" -c '
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
connection, _ = server.accept()
connection.sendall(bytes.fromhex(sys.argv[2]) + bytes(1 << 20))
connection.recv(1)
' "$2" {greeting}
"""


@pytest.fixture
def replace_qemu_nbd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Put a script before qemu-nbd on the PATH, as ``replace_qemu_img`` does."""
    return _replacing("qemu-nbd", tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("script", "error", "match"),
    [
        ("echo broken >&2; exit 1", TransformFailed, r"qemu-nbd failed \(broken\)"),
        ("kill -KILL $$", TransformFailed, "qemu-nbd was killed by SIGKILL"),
        ("kill -XCPU $$", LimitExceeded, "CPU time"),
        (ANSWER_NONSENSE.format(greeting="00"), TransformFailed, "does not use the fixed newstyle"),
        (
            ANSWER_NONSENSE.format(greeting=(b"NBDMAGICIHAVEOPT\0\3").hex()),
            TransformFailed,
            "answers another request",
        ),
    ],
    ids=["complains", "killed", "too long", "no nbd", "no options"],
)
def test_a_failing_export_fails_the_import_and_leaves_nothing(
    script: str,
    error: type[ImageportError],
    match: str,
    replace_qemu_nbd: Replace,
    make: Callable[[str], Path],
    bench: Bench,
) -> None:
    replace_qemu_nbd(script)

    with pytest.raises(error, match=match) as failure:
        bench.convert(make("qcow2 v3"), stream=True)
    assert failure.value.hint
    assert bench.work_files() == []


def test_stores_that_take_their_time_are_not_the_programs_fault(
    make: Callable[[str], Path], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the stores take time here, by a clock of the test."""
    now = [0.0]
    monkeypatch.setattr(qemu_export, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=time.sleep))
    bench.limit(conversion_deadline=1)
    size = bench.disk.stat().st_size
    found = []
    for piece in qemu_img.raw_disk(make("qcow2 v3"), "qcow2", bench.ctx, size=size).chunks():
        now[0] += 1.2
        found.append(bytes(piece))
    assert b"".join(found) == bench.disk.read_bytes()


def test_a_reader_that_stops_early_ends_the_export(
    replace_qemu_nbd: Replace, make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    replace_qemu_nbd('echo $$ > "$0.pid"; exec "$real" "$@"')
    data = qemu_img.raw_disk(make("qcow2 v3"), "qcow2", bench.ctx, size=bench.disk.stat().st_size)
    for _ in data.chunks():
        break
    assert has_ended(recorded(tmp_path, "pid", program="qemu-nbd"))
    assert bench.work_files() == []


def test_a_file_that_is_exchanged_after_the_inspection_is_not_read(
    replace_qemu_nbd: Replace, make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    secret, evil, image = (tmp_path / name for name in ("secret", "evil.qcow2", "image.qcow2"))
    secret.write_bytes(b"the key of the host".ljust(bench.disk.stat().st_size, b"."))
    options: list[str | Path] = ["-q", "-f", "qcow2", "-b", secret, "-F", "raw"]
    subprocess.run(["qemu-img", "create", *options, evil], check=True)
    shutil.copy(make("qcow2 v3"), image)
    replace_qemu_nbd(EXCHANGE_BEFORE_READING.format(evil=evil, image=image))

    result = bench.convert(image)

    assert not evil.exists()
    assert bench.holds_the_disk(result)
