from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.plugins.installing import REPOSITORY, packages_outside

PACKAGES = sorted(path.parent for path in (REPOSITORY / "contrib").glob("*/pyproject.toml"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_passes_its_own_tests_when_it_is_installed(package: Path, tmp_path: Path) -> None:
    site = packages_outside(tmp_path, package)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "sources" / package.name,
        env={**os.environ, "PYTHONPATH": str(site), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_is_one_that_can_be_published(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["name"] == package.name
    assert "imageport>=0.1,<0.2" in project["dependencies"]
    assert project["entry-points"]["imageport.plugins"]
    assert f"## {project['version']}" in (package / "CHANGELOG.md").read_text()
    readme = (package / project["readme"]).read_text()
    assert all(f"`{plugin}`" in readme for plugin in project["entry-points"]["imageport.plugins"])
    assert (package / "src" / package.name.replace("-", "_") / "py.typed").exists()
