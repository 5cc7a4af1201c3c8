"""Writes which versions of Imageport its packages and examples require: ``python contrib/pins.py``.

The range is derived from the version of Imageport, in its ``pyproject.toml``: from this minor release to the next one
that may break plugins (docs/explanation/compatibility.md). With ``--check`` files are only compared.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
REQUIREMENT = re.compile(r'"imageport>=[^"]*"')


def main() -> int:
    """Write the range, or with ``--check`` return 1 when a file has another."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = f'"{requirement(project["version"])}"'
    stale = [path for path in files() if set(REQUIREMENT.findall(path.read_text())) - {wanted}]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path.relative_to(REPOSITORY)}: run python contrib/pins.py")
        else:
            path.write_text(REQUIREMENT.sub(wanted, path.read_text()))
    return 1 if stale and "--check" in sys.argv[1:] else 0


def requirement(version: str) -> str:
    """Return the requirement for packages that are written for *version* of Imageport."""
    major, minor = map(int, version.split(".")[:2])
    return f"imageport>={major}.{minor},<{major + 1 if major else f'0.{minor + 1}'}"


def files() -> list[Path]:
    """Return the files that have a requirement: the packages, and the pages with packages."""
    found = [*REPOSITORY.glob("contrib/*/pyproject.toml"), *REPOSITORY.glob("docs/tutorial/*/pyproject.toml")]
    found += [*REPOSITORY.glob("docs/*/*.md"), REPOSITORY / "README.md"]
    return sorted(path for path in found if REQUIREMENT.search(path.read_text()))


if __name__ == "__main__":
    sys.exit(main())
