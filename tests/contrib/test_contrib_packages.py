from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.plugins.installing import REPOSITORY, packages_outside

PACKAGES = sorted(path.parent for path in (REPOSITORY / "contrib").glob("*/pyproject.toml"))

#: The packages whose tests start no server of tests/servers: "make packages" tests the others.
WITHOUT_SERVERS = [
    package for package in PACKAGES if "tests/servers" not in (package / "pyproject.toml").read_text()
]


@pytest.mark.parametrize("package", WITHOUT_SERVERS, ids=lambda package: package.name)
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
    assert any(one.startswith("imageport>=") for one in project["dependencies"])
    assert project["entry-points"]["imageport.plugins"]
    assert f"## {project['version']}" in (package / "CHANGELOG.md").read_text()
    readme = (package / project["readme"]).read_text()
    assert all(f"`{plugin}`" in readme for plugin in project["entry-points"]["imageport.plugins"])
    assert (package / "src" / package.name.replace("-", "_") / "py.typed").exists()
    suites = (package / "tests" / "test_conformance.py").read_text()
    assert all(f'plugin = "{plugin}"' in suites for plugin in project["entry-points"]["imageport.plugins"])


def test_what_packages_require_is_derived_from_the_version_of_imageport(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    copy.mkdir()
    for path in (*(REPOSITORY / "contrib").glob("pins.py"), REPOSITORY / "README.md", *PACKAGES):
        target = copy / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target)
    for version, expected in (("0.1.0", "imageport>=0.1,<0.2"), ("1.12.3", "imageport>=1.12,<2")):
        (copy / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
        assert _pins(copy, "--check") == (expected != "imageport>=0.1,<0.2")
        assert _pins(copy) == 0
        assert _pins(copy, "--check") == 0
        for package in PACKAGES:
            written = (copy / package.relative_to(REPOSITORY) / "pyproject.toml").read_text()
            assert expected in tomllib.loads(written)["project"]["dependencies"]


def test_all_packages_and_pages_require_that() -> None:
    assert _pins(REPOSITORY, "--check") == 0


def _pins(repository: Path, *arguments: str) -> int:
    return subprocess.run(
        [sys.executable, repository / "contrib" / "pins.py", *arguments], check=False
    ).returncode
