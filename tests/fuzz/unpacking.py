"""Unpack a case with the step ``image_decompression``, without a process for each."""

from __future__ import annotations

import functools
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.fuzz.case import Outcome

from imageport import (
    Chunks,
    Context,
    Image,
    ImageData,
    ImageportError,
    ImageRecord,
    LimitExceeded,
    VerificationFailed,
)
from imageport.dataplane import CHUNK_SIZE
from imageport.limits import Limits
from imageport.testing.contexts import make_context
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression
from imageport_builtin.unpacking import decoder_process, isolation, lha_member, seven_zip_member, zip_member
from imageport_builtin.unpacking.job import Job

#: What is in the archives; none may unpack to much more.
_LIMITS = Limits.model_validate({"image_size_cap": "16 MiB", "conversion_deadline": 20})
_ID = "6f1c6d1e-3f1b-4a2b-9d3e-0c8f4b7a1d11"


def unpack(data: bytes, folder: Path) -> Outcome:
    """Return what the step makes of *data*. Raises ``AssertionError`` for an error of the wrong class or form."""
    context = _context(folder)
    try:
        step = ImageDecompression(DecompressionConfig(max_layers=1))
        image = step.transform(
            Image(ImageRecord(id=_ID), ImageData.from_chunks(lambda: iter([data]))), context
        )
        if image is None:
            return Outcome(None, "not recognised")
        content = b"".join(image.data.chunks())
    except ImageportError as error:
        assert isinstance(error, VerificationFailed | LimitExceeded), f"{type(error).__name__}: {error}"
        assert error.message.isprintable(), repr(error.message)
        assert error.hint
        return Outcome(None, error.message)
    finally:
        assert list(folder.iterdir()) == [], "something is left in the work folder"
    return Outcome(content)


@contextmanager
def forked_decoders() -> Iterator[None]:
    """Decode in a fork of this process instead of a new one, which would take most of the time."""
    with patch.multiple(decoder_process, _confine=_confine):
        modules = [lha_member, seven_zip_member, zip_member]
        patches = [
            patch.object(module, "decode_elsewhere", _decode_in_fork)
            for module in modules
            if hasattr(module, "decode_elsewhere")
        ]
        for each in patches:
            each.start()
        try:
            yield
        finally:
            for each in patches:
                each.stop()


def _confine(memory: int) -> None:
    """Limit the child, which has the memory of this process from the start."""
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    of_parent = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (of_parent + memory,) * 2)


def _decode_in_fork(archive: str, task: Mapping[str, object], job: Job) -> Chunks:
    output, target = os.pipe()
    with tempfile.TemporaryFile() as complaint:
        child = os.fork()
        if not child:
            status = 70
            try:
                os.dup2(target, 1)
                os.dup2(complaint.fileno(), 2)
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the child's whole life
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
                sys.argv = ["decoder", archive, str(job.memory), json.dumps(task)]
                status = decoder_process.main()
                sys.stderr.flush()
            finally:
                os._exit(status)
        os.close(target)
        try:
            while piece := os.read(output, CHUNK_SIZE):
                yield piece
        finally:
            os.close(output)
            _, status = os.waitpid(child, 0)
        if status:
            raise isolation._failure(archive, os.waitstatus_to_exitcode(status), complaint)


@functools.cache
def _context(folder: Path) -> Context:
    return make_context(folder, step="image_decompression", image_id=_ID, limits=_LIMITS)
