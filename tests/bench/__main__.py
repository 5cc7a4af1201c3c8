"""``make bench``: measure Imageport, Glance, the shell and the hardware, side by side."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.bench.file_server import serving
from tests.bench.glance import PYTHON, glance_in
from tests.bench.inputs import GIB, MIB, Inputs
from tests.bench.jobs import RECORDED, Bench
from tests.bench.measuring import Cost
from tests.bench.results import Results, machine
from tests.bench.rounds import go_round
from tests.bench.table import report

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/explanation/performance.md"
BEGIN, END = "<!-- written by make bench -->\n", "<!-- end -->\n"


def main() -> None:
    """Measure, and print the tables; a file ``results.json`` beside the inputs has every run."""
    options = _options()
    folder: Path = options.folder
    inputs = Inputs.of_size(folder / "inputs", options.size * MIB)
    print("making the inputs", file=sys.stderr)
    inputs.make()
    try:
        results = _measure(inputs, folder / "run", options)
    finally:
        shutil.rmtree(folder / "run", ignore_errors=True)
    about = machine(folder)
    text = report(results, about, inputs.size)
    written = {
        "machine": about,
        "size": inputs.size,
        "recorded": results.recorded,
        "results": results.as_list(),
    }
    (folder / "results.json").write_text(json.dumps(written, indent=1))
    if options.write:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")
    print(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--size", type=int, default=2048, metavar="MIB", help="size of the disk")
    parser.add_argument("--rounds", type=int, default=5, help="runs of everything that is quick")
    parser.add_argument("--glance-rounds", type=int, default=1, help="runs of Glance")
    parser.add_argument("--no-glance", action="store_true", help="use recorded figures of Glance")
    parser.add_argument("--only", default="", metavar="WORDS", help="only what has these words in its title")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "bench-run", help="where to work")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.name}")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write needs all rows of the tables: leave --only out")
    return options


def _measure(inputs: Inputs, folder: Path, options: argparse.Namespace) -> Results:
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as stack:
        url = stack.enter_context(serving(inputs.folder))
        glance = None
        if PYTHON.exists() and not options.no_glance:
            glance = stack.enter_context(glance_in(folder / "glance"))
        jobs = Bench(inputs, url, options.rounds).jobs(glance, options.glance_rounds)
        chosen = [job for job in jobs if options.only in job.title]
        results = go_round(chosen, options.rounds, folder)
    if glance is None and inputs.size == 2 * GIB:
        results.recorded = True
        results.costs |= {("glance", title): [Cost(seconds)] for title, seconds in RECORDED.items()}
    return results


if __name__ == "__main__":
    main()
