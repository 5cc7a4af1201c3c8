"""The process in which 7z and LHA are decoded knows no secrets, has limits, and does not outlive the import."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.noise import noise

from imageport import Context, ImageData, LimitExceeded
from imageport.dataplane.buffers import CHUNK_SIZE
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job

Pack = Callable[..., bytes]
#: Decoders that run in separate processes, and options with which the packing program is fast.
ISOLATED = {"7z": ("-mx=1",), "lha": ()}
PATIENCE = 30.0
#: Bytes of an image whose decoder is at work until more than the first piece of them is read.
UNREAD = 2 * CHUNK_SIZE + (2 << 20)


def decoders(parent: int) -> list[Path]:
    """Return the folders in /proc of the decoders that *parent* has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    processes = [Path("/proc", child) for child in children]
    return [process for process in processes if b"decoder_process" in (process / "cmdline").read_bytes()]


@pytest.fixture(scope="module")
def packed(pack: Pack) -> Callable[[str], bytes]:
    """Return a function that packs an image whose decoder is at work for long."""
    return functools.cache(lambda kind: pack(kind, noise(UNREAD), *ISOLATED[kind]))


@pytest.fixture
def decoder(
    request: pytest.FixtureRequest,
    packed: Callable[[str], bytes],
    transform: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """The folder in /proc of a decoder that is at work."""
    monkeypatch.setenv("STORE_PASSWORD", "swordfish")
    image = transform(ImageData.from_chunks(lambda: iter([packed(request.param)])))
    chunks = image.data.chunks()
    next(chunks)
    [process] = decoders(os.getpid())
    yield process
    chunks.close()


@pytest.mark.parametrize("decoder", ISOLATED, indirect=True)
def test_the_decoder_gets_no_secrets(decoder: Path) -> None:
    names = {line.partition(b"=")[0] for line in (decoder / "environ").read_bytes().split(b"\0") if line}
    # The shell that starts it may add variables about itself.
    assert names - {b"PWD", b"OLDPWD", b"SHLVL", b"_"} == {b"PATH", b"LC_ALL", b"PYTHONPATH"}


@pytest.mark.parametrize("decoder", ISOLATED, indirect=True)
def test_the_decoder_writes_no_bytecode_that_its_limits_would_cut_off(decoder: Path) -> None:
    assert b"-B" in (decoder / "cmdline").read_bytes().split(b"\0")


@pytest.mark.parametrize("decoder", ISOLATED, indirect=True)
def test_the_decoder_has_limits(decoder: Path) -> None:
    limits = {line[:25].strip(): line[25:].split() for line in (decoder / "limits").read_text().splitlines()}
    assert limits["Max cpu time"][0] == "14401"
    assert limits["Max core file size"][0] == "0"
    assert int(limits["Max data size"][0]) == 216 << 20
    assert int(limits["Max file size"][0]) < 1 << 20


def test_a_decoder_that_computes_for_too_long_is_reported_as_such(
    limited_context: Callable[..., Context], pack: Pack, tmp_path: Path
) -> None:
    path = tmp_path / "packed.7z"
    path.write_bytes(pack("7z", bytes(150 << 20), "-m0=PPMd:o=32:mem=24"))
    context = limited_context(conversion_deadline=0.1)
    job = Job(context, ImageData.from_file(path), None, 256 << 20, False, True, context.check_cancelled)
    with pytest.raises(LimitExceeded, match="more than 1 s of CPU time") as caught:
        for _ in decode_elsewhere("7z", {"path": str(path), "member": None}, job):
            pass
    assert "conversion_deadline" in caught.value.hint


@pytest.mark.parametrize("module", ["seven_zip_decoder", "lha_decoder", "zip_decoder"])
def test_a_decoder_starts_without_heavy_libraries(module: str) -> None:
    imports = f"from imageport_builtin.unpacking import decoder_process, {module}"
    code = f"{imports}; import sys; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


IMPORT = """
import json, logging, pathlib, sys
from imageport import Caller, Context, ImageData
from imageport.limits import Limits
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job
ctx = Context(caller=Caller(user="u"), image_id="i", task_id="t", step="s", limits=Limits(), http=None,
    log=logging.getLogger(), work_folder=pathlib.Path("."), read_replica=None)
published = ImageData.from_file(pathlib.Path(sys.argv[1]))
job = Job(ctx, published, None, 256 << 20, False, True, ctx.check_cancelled)
chunks = decode_elsewhere("7z", {"path": sys.argv[1], "member": None}, job)
next(chunks)
print("started", flush=True)
sys.stdin.read()
"""


def test_the_decoder_dies_with_the_import(packed: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "packed.7z"
    path.write_bytes(packed("7z"))
    command = [sys.executable, "-c", IMPORT, str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert cast("Any", process.stdout).readline() == b"started\n"
        [decoder] = decoders(process.pid)
        # Stopped, it cannot notice by itself that its output is not read.
        os.kill(int(decoder.name), signal.SIGSTOP)
        process.kill()
    try:
        assert has_ended(decoder)
    finally:
        if not has_ended(decoder, patience=0):
            os.kill(int(decoder.name), signal.SIGKILL)


def has_ended(process: Path, patience: float = PATIENCE) -> bool:
    give_up = time.monotonic() + patience
    while True:
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)
