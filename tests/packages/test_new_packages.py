"""Each package of ``imageport plugins new`` is installed by pip in an environment of its author, and passes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.imageport_kit.rendering import ALL, REPOSITORY, render


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with Imageport from its wheel; what it needs comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("author")
    venv.create(folder, with_pip=True, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # The libraries and tools are there, but not Imageport itself, which is in the environment as a link.
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "tools.pth").write_text("".join(f"{path}\n" for path in others))
    pip(folder, REPOSITORY)
    return folder


def pip(environment: Path, package: Path) -> None:
    """Install *package* with pip."""
    run(
        REPOSITORY,
        environment,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        package,
    )


def run(folder: Path, environment: Path, *command: str | Path) -> str:
    """Run a module of Python in *folder*, and return its output."""
    kept = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [environment / "bin/python", "-m", *map(str, command)],
        cwd=folder,
        env={**kept, "HOME": str(environment), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("hook", "base"), ALL)
def test_a_new_package_passes_its_tests_ruff_and_the_type_checkers_and_is_certified(
    tmp_path: Path, environment: Path, hook: str, base: str | None
) -> None:
    name = f"acme-{hook}-{base or 'one'}".replace("_", "-")
    package = render(tmp_path, name, hook, base)
    pip(environment, package)
    run(package, environment, "ruff", "check")
    run(package, environment, "ruff", "format", "--check")
    run(package, environment, "mypy")
    run(package, environment, "pyright", "--pythonpath", environment / "bin/python")
    run(package, environment, "pytest", "-q")
    options = ("--options", "tests/options.yaml") if (package / "tests/options.yaml").exists() else ()
    assert f"{name} keeps the contract" in run(
        package, environment, "imageport", "plugins", "certify", name, *options
    )
