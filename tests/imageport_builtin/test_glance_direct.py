"""Data that is here already is read to its end, and a source that stalls can be given up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest
from tests.noise import noise

from imageport import Cancelled, Context, ImageData, ImageRecord, NoConfig, Source, SourceUnavailable
from imageport.dataplane import CHUNK_SIZE
from imageport.testing.contexts import make_context
from imageport_builtin.glance_direct import GlanceDirect

CONTENT = noise(2_500_000)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, step="glance-direct", image_id="image")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def stage(uri: str, ctx: Context) -> ImageData:
    source = Source(method="glance-direct", uri=uri)
    return GlanceDirect(NoConfig()).stage(source, ImageRecord(id="image"), ctx)


def in_background(work: Callable[[], object]) -> Future[object]:
    """Do *work* in a thread that does not keep the tests from ending should it hang."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - handed to the test
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def write_in_parts(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(CONTENT), 10_007):
            file.write(CONTENT[start : start + 10_007])


def test_a_pipe_is_read_to_its_end_in_full_pieces(ctx: Context, pipe: Path) -> None:
    reading = in_background(lambda: list(stage(str(pipe), ctx).chunks()))
    in_background(lambda: write_in_parts(pipe))
    pieces = cast("list[bytes]", reading.result(timeout=30))
    assert b"".join(pieces) == CONTENT
    assert [len(piece) for piece in pieces[:-1]] == [CHUNK_SIZE] * (len(CONTENT) // CHUNK_SIZE)


def test_a_pipe_that_no_process_writes_to_can_be_given_up(ctx: Context, pipe: Path) -> None:
    reading = in_background(lambda: list(stage(str(pipe), ctx).chunks()))
    ctx.cancelled.set()
    assert isinstance(reading.exception(timeout=30), Cancelled)


def test_a_pipe_whose_writer_stalls_can_be_given_up(ctx: Context, pipe: Path) -> None:
    chunks = stage(str(pipe), ctx).chunks()
    first = in_background(lambda: next(chunks))
    with pipe.open("wb", buffering=0) as writer:
        writer.write(bytes(CHUNK_SIZE))
        assert first.result(timeout=30) == bytes(CHUNK_SIZE)
        rest = in_background(lambda: list(chunks))
        ctx.cancelled.set()
        assert isinstance(rest.exception(timeout=30), Cancelled)


def test_standard_input_that_is_closed_is_reported_as_such(tmp_path: Path) -> None:
    pipeline = "{name: p, source: {use: glance-direct}, stores: [{use: file, with: {directory: ./images}}]}"
    (tmp_path / "p.yaml").write_text(pipeline)
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m imageport run p.yaml - <&-', sys.executable],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == SourceUnavailable.exit_code
    assert "standard input is closed" in done.stderr
