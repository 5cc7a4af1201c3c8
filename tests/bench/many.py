"""Many imports of a small disk into one catalog, from one process or several.

``python -m tests.bench.many FOLDER URL COUNT AT_ONCE`` makes COUNT imports of URL with the site file and ``flow.yaml``
in FOLDER, AT_ONCE of them at a time, and prints how many seconds each has taken, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.bench.flows import IMAGEPORT, Flow, copies, downloaded, prepare
from tests.bench.inputs import Inputs
from tests.bench.measuring import BenchFailed

REPOSITORY = Path(__file__).parents[2]
SMALL = Flow("small", "web-download", downloaded("small"))


def import_many(folder: Path, url: str, count: int, at_once: int) -> list[float]:
    """Import *url* so often; return the seconds of each import. Raises what the first that fails has raised."""
    from imageport.catalog import Catalog
    from imageport.configuration.pipeline import load_pipeline
    from imageport.configuration.site_file import load_site
    from imageport.importing.admission import ImportRequest
    from imageport.importing.importer import Importer
    from imageport.importing.lease_keeper import Interruption
    from imageport.importing.plan import make_plan
    from imageport.plugins.registry import PluginRegistry
    from imageport.values import Caller

    site = load_site("imageport.yaml", environ=os.environ, cwd=folder)
    registry = PluginRegistry.installed()

    def run(catalog: Catalog) -> float:
        started = time.monotonic()
        pipeline = load_pipeline(
            folder / "flow.yaml", site=site, registry=registry, source_uri=url, more_stores=("store1",)
        )
        request = ImportRequest(caller=Caller(user="bench"), disk_format="raw", stores=("store1",))
        with Interruption() as interruption:
            report = Importer(site, catalog, registry, interruption).run(make_plan(pipeline), request)
        if report.error is not None:
            raise report.error
        return time.monotonic() - started

    catalog = Catalog(site.catalog)
    with ThreadPoolExecutor(at_once) as threads:
        seconds = list(threads.map(run, [catalog] * count))
    catalog.close()
    return seconds


def in_processes(
    folder: Path, inputs: Inputs, url: str, *, processes: int, count: int, at_once: int
) -> list[float]:
    """Make *count* imports in each of so many *processes* and return the seconds of each."""
    environment = {**os.environ, **prepare(folder, SMALL)}
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "tests.bench.many",
        folder,
        f"{url}/{inputs.small.name}",
    ]
    command += [str(count), str(at_once)]
    printed = _all_at_once([command] * processes, REPOSITORY, environment)
    if len(copies(folder / "store1")) != processes * count:
        raise BenchFailed(f"{len(copies(folder / 'store1'))} copies of {processes * count} imports are there")
    return [seconds for line in printed for seconds in json.loads(line)]


def commands_at_once(folder: Path, inputs: Inputs, url: str, count: int) -> float:
    """Run *count* commands at the same time; return how long it took until the last had ended."""
    environment = prepare(folder, SMALL)
    command: list[str | Path] = [
        IMAGEPORT,
        "run",
        "flow.yaml",
        f"{url}/{inputs.small.name}",
        "--disk-format",
        "raw",
    ]
    command += ["--store", "store1", "--quiet"]
    started = time.monotonic()
    _all_at_once([command] * count, folder, environment)
    seconds = time.monotonic() - started
    if len(copies(folder / "store1")) != count:
        raise BenchFailed(f"{len(copies(folder / 'store1'))} copies of {count} imports are there")
    return seconds


def _all_at_once(
    commands: Sequence[Sequence[str | Path]], folder: Path, environment: Mapping[str, str]
) -> list[str]:
    """Run *commands* at the same time and return what they print. Raises ``BenchFailed`` when one fails."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for command in commands
        ]
        printed = [process.communicate() for process in processes]
    failed = [errors for process, (_, errors) in zip(processes, printed, strict=True) if process.returncode]
    if failed:
        raise BenchFailed(f"{len(failed)} of {len(commands)} have failed; the first: {failed[0][-4000:]}")
    return [output for output, _ in printed]


if __name__ == "__main__":
    found = import_many(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(found))
