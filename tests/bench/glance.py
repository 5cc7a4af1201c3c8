"""The same imports through a real Glance, where ``.ci/prepare packages`` has installed one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.bench.flows import CONVERTED, COPIED, FROM_FILE, STAGED, UNPACKED, WEB_1, WEB_3, Flow
from tests.bench.inputs import Inputs
from tests.bench.measuring import BenchFailed, Cost

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".packages/servers/bin/python"

COMPARED = (WEB_1, WEB_3, CONVERTED, UNPACKED, COPIED, STAGED, FROM_FILE)

#: Seconds after which an import is given up, alone and among others.
PATIENCE = 300.0
PATIENCE_AT_ONCE = 60.0

_DIRECT: dict[str, Any] = {
    "plugins": [], "disk_format": "raw", "stores": ["s1"], "count": 1, "at_once": False, "cap": PATIENCE
}  # fmt: skip
_ALL = ["s1", "s2", "s3"]


@dataclass(frozen=True)
class Glance:
    """A Glance that listens to *requests*, lines of JSON, and gives *answers*; see ``in_glance``."""

    requests: IO[str]
    answers: IO[str]

    def run(self, flow: Flow, inputs: Inputs, url: str) -> Cost:
        """Return what *flow* costs, FROM_FILE with its upload. Raises ``BenchFailed``."""
        answer = self._ask(_request(flow, inputs, url))
        return Cost(float(answer["with_upload" if flow == FROM_FILE else "seconds"]))

    def run_small(self, inputs: Inputs, url: str, count: int, *, at_once: bool) -> Cost:
        """Return what *count* imports of the small disk cost. Raises ``BenchFailed`` unless all of them end well."""
        small = {"uri": f"{url}/{inputs.small.name}", "count": count, "at_once": at_once}
        cap = {"cap": PATIENCE_AT_ONCE} if at_once else {}
        return Cost(float(self._ask(_DIRECT | small | cap)["seconds"]))

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        print(json.dumps(request), file=self.requests, flush=True)
        answer: dict[str, Any] = json.loads(self.answers.readline() or "{}")
        if answer.get("ended") != request["count"]:
            ended = f"{answer.get('ended', 0)} of {request['count']}"
            raise BenchFailed(f"{ended} have ended well within {request['cap']:.0f} s")
        return answer


def _request(flow: Flow, inputs: Inputs, url: str) -> dict[str, Any]:
    requests: dict[Flow, dict[str, Any]] = {
        WEB_1: {"uri": f"{url}/{inputs.raw.name}"},
        WEB_3: {"uri": f"{url}/{inputs.raw.name}", "stores": _ALL},
        CONVERTED: {
            "uri": f"{url}/{inputs.qcow2.name}",
            "disk_format": "qcow2",
            "plugins": ["image_conversion"],
            "stores": _ALL,
        },
        UNPACKED: {"uri": f"{url}/{inputs.gzip.name}", "plugins": ["image_decompression"]},
        COPIED: {"upload": str(inputs.raw), "copy_to": ["s2", "s3"]},
        STAGED: {"upload": str(inputs.raw)},
        FROM_FILE: {"upload": str(inputs.raw)},
    }
    return _DIRECT | requests[flow]


@contextmanager
def glance_in(folder: Path) -> Iterator[Glance]:
    """Give a Glance that keeps its files in *folder*."""
    command: list[str | Path] = [PYTHON, "-m", "tests.bench.in_glance", folder]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield Glance(process.stdin, process.stdout)
        finally:
            process.stdin.close()
