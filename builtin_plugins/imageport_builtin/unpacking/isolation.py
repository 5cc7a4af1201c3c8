"""Run the decoders of 7z and LHA, and of Deflate64 and PPMd in zip, in a separate process.

Their libraries were not written for hostile input: lzhlib checks few of its indices, and py7zr takes the
memory an archive asks for. Over there a crash is an error message, memory and processor time have limits, and
there are no secrets in the environment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import IO

from imageport import (
    Chunks,
    ImageportError,
    LimitExceeded,
    TransformFailed,
    UnsupportedFormat,
    VerificationFailed,
)
from imageport.dataplane import CHUNK_SIZE
from imageport_builtin.cancellable_read import read_patiently
from imageport_builtin.limited_process import clean_environment, limit_prefix
from imageport_builtin.unpacking.job import Job
from imageport_builtin.unpacking.members import printable

_MODULE = "imageport_builtin.unpacking.decoder_process"

_ERRORS: Mapping[str, type[ImageportError]] = {
    error.code: error for error in (LimitExceeded, UnsupportedFormat, VerificationFailed)
}

#: Bytes that a pipe may hold without special rights (pipe(7)).
_PIPE = 1 << 20


def decode_elsewhere(archive: str, task: Mapping[str, object], job: Job) -> Chunks:
    """Yield the output of the decoder process for *task*, the arguments for the format *archive*.

    Raises the error that the process reported, and ``VerificationFailed`` when the archive made it crash. The process
    never outlives the iteration.
    """
    seconds = int(job.ctx.limits.conversion_deadline) + 1
    # Its files are limited in size: bytecode that it wrote would be cut off, and stay (-B).
    decoder = [sys.executable, "-P", "-B", "-W", "ignore", "-m", _MODULE, archive, str(job.memory)]
    with (
        tempfile.TemporaryFile(dir=job.ctx.work_folder) as complaint,
        subprocess.Popen(
            [*limit_prefix(seconds), *decoder, json.dumps(task)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaint,
            pipesize=_PIPE,
            # Ctrl-C is for this process, which then ends the other one.
            start_new_session=True,
            # It finds the same modules, however they were found here.
            env={**clean_environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - asked for above
        try:
            while piece := read_patiently(process.stdout.fileno(), CHUNK_SIZE, job.ctx):
                yield piece
            process.wait()
        finally:
            process.kill()
        if process.returncode == -signal.SIGXCPU:
            raise LimitExceeded(
                f"{archive}: the decoder used more than {seconds} s of CPU time",
                hint="raise limits.conversion_deadline in the site file if images this large are expected",
            )
        if process.returncode:
            raise _failure(archive, process.returncode, complaint)


def _failure(archive: str, code: int, complaint: IO[bytes]) -> ImageportError:
    complaint.seek(0)
    message = complaint.read().decode(errors="replace")
    if code < 0:
        return VerificationFailed(
            f"{archive}: the archive is damaged: it made the decoder crash with signal {-code}",
            hint="fetch the image again, and compare its checksum with the publisher's; do not trust the archive",
        )
    try:
        reason = json.loads(message)
        return _ERRORS.get(reason["code"], TransformFailed)(reason["message"], hint=reason["hint"])
    except (ValueError, KeyError, TypeError):
        return TransformFailed(
            f"{archive}: the decoder ended with status {code}: {printable(message[-80:])}",
            hint="install Imageport again: part of it or of its dependencies is missing",
        )
