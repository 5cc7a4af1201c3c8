"""Makes the packages of ``imageport plugins new``, and runs tools on them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from imageport.testing.installing import PluginFolder
from imageport_kit.names import PackageNames
from imageport_kit.package import write_package
from imageport_kit.variants import VARIANTS

REPOSITORY = Path(__file__).parents[2]

#: Each kind of package: its hook, and the base of stores.
ALL = list(VARIANTS)

#: A place of a template that got no value; ``${{`` belongs to the file of the CI.
VARIABLES = re.compile(r"\$\{(?!\{)|\$\$")


def render(folder: Path, name: str, hook: str, base: str | None) -> Path:
    """Write the package *name* into *folder*, and return its folder."""
    variant = next(found for key, found in VARIANTS.items() if key == (hook, base))
    write_package(PackageNames.of(name), variant, folder / name)
    return folder / name


def module_path(site: Path, package: Path) -> str:
    """Return the module path with *package*, whose metadata is written to the new folder *site*, as pip would."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    (found,) = (name for name in project["entry-points"] if name != "imageport.contract")
    (contract,) = project["entry-points"]["imageport.contract"]
    PluginFolder(site).install(
        project["name"],
        project["entry-points"][found],
        group=found,
        contract=contract,
        version=project["version"],
    )
    return os.pathsep.join([str(site), str(package / "src")])


def tool(package: Path, *command: str, exit_code: int = 0, **environment: str) -> str:
    """Run a program in the folder of *package*, and return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=package,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout
