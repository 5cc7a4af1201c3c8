"""Compare imports of a folder of archives and images, or of generated ones, with reference tools.

``python -m tests.corpora FOLDER`` imports every file below a folder. ``python -m tests.corpora`` generates the files:
every method, level, flag and header variant that the usual tools write, and damaged copies. Ends with 1 when a
verdict is WRONG.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.corpora.running import Finding, run_folder, run_generated
from tests.corpora.verdicts import Verdict


def main() -> int:
    """Run what the arguments name and print the verdicts."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpora", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="folder of archives and images")
    parser.add_argument("--most", type=int, help="import only so many of the generated files")
    parser.add_argument("--seed", type=int, default=1, help="decides where generated files are damaged")
    parser.add_argument("--all", action="store_true", help="print every verdict, not only those to look at")
    options = parser.parse_args()

    def show(finding: Finding) -> None:
        if options.all or finding.verdict in (Verdict.WRONG, Verdict.STRICTER):
            print(f"{finding.verdict.value}: {finding.name}: {finding.reason}", flush=True)

    if options.folder is not None:
        tally = run_folder(options.folder, show)
    else:
        print(f"seed {options.seed}")
        tally = run_generated(options.most, show, seed=options.seed)
    print(tally)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
