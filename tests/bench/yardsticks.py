"""Times that the shell and the hardware need for the parts of an import."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.bench.inputs import Inputs
from tests.bench.measuring import Cost, measure

CURL = "curl to file"
DIGESTS = "md5 and sha512, side by side"
COPY = "cp --sparse"
SPARSE_WRITE = "sparse write"
UNPACK = "curl | gzip -dc > file, then sha512sum"
CONVERT = "qemu-img convert"
START = "python -c pass"

_COMMANDS: Mapping[str, str] = {
    CURL: 'curl --silent --fail --output out "$BENCH_URL/$(basename "$BENCH_RAW")"',
    DIGESTS: f'"{sys.executable}" -I "{Path(__file__).with_name("digest_pass.py")}" "$BENCH_RAW"',
    COPY: 'cp --sparse=always "$BENCH_RAW" out',
    # Past the page cache where the file system can, which is how to write once at the speed of the disk.
    SPARSE_WRITE: 'dd if="$BENCH_RAW" of=out bs=4M conv=sparse oflag=direct ||'
    ' dd if="$BENCH_RAW" of=out bs=4M conv=sparse,fsync',
    UNPACK: 'curl --silent --fail "$BENCH_URL/$(basename "$BENCH_GZIP")" | gzip -dc >out && sha512sum out',
    CONVERT: 'qemu-img convert -f qcow2 -O raw "$BENCH_QCOW2" out',
    START: f'"{sys.executable}" -c pass',
}

YARDSTICKS = tuple(_COMMANDS)


def run_yardstick(name: str, inputs: Inputs, url: str, folder: Path) -> Cost:
    """Return what the yardstick called *name* costs in an empty *folder*; *url* serves the *inputs*."""
    environment = {
        "PATH": os.environ["PATH"],
        "BENCH_URL": url,
        "BENCH_RAW": str(inputs.raw),
        "BENCH_GZIP": str(inputs.gzip),
        "BENCH_QCOW2": str(inputs.qcow2),
    }
    return measure(["bash", "-eo", "pipefail", "-c", _COMMANDS[name]], folder, environment=environment)
