"""A package of a third party, built and installed as a wheel, adds a command and a finding of the doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from tests.plugins.installing import pip_install

if TYPE_CHECKING:
    from tests.plugins.conftest import Desk

FILES = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling>=1.26"]
        build-backend = "hatchling.build"

        [project]
        name = "acme-lab"
        version = "2.1"
        dependencies = ["imageport"]

        [project.entry-points."imageport.plugins"]
        lab = "acme_lab:Lab"

        [project.entry-points."imageport.commands"]
        lab-status = "acme_lab:lab_status"

        [tool.hatch.build.targets.wheel]
        only-include = ["acme_lab.py"]
    """,
    "acme_lab.py": """
        from collections.abc import Iterator

        import typer

        from imageport import Image, hookimpl
        from imageport.stores import FolderStore, FolderStoreConfig
        from imageport.values import Finding


        class LabConfig(FolderStoreConfig):
            '''Options of ``lab``.'''

            bench: int = 1


        class Lab(FolderStore[LabConfig]):
            '''Keep images in the lab.'''

            def file_name(self, image: Image) -> str:
                return f"bench-{self.config.bench}-{image.record.id}"

            @hookimpl
            def diagnose(self) -> Iterator[Finding]:
                yield from super().diagnose()
                if self.config.bench > 4:
                    yield Finding("error", f"there is no bench {self.config.bench}", "choose one from 1 to 4")


        def lab_status(name: str = "the lab") -> None:
            '''Print the status of the lab.'''
            typer.echo(f"{name} is open")
    """,
}


@pytest.fixture(scope="session")
def acme_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it, and return where it is installed."""
    folder = tmp_path_factory.mktemp("acme-lab")
    source = folder / "source"
    source.mkdir()
    for name, text in FILES.items():
        (source / name).write_text(dedent(text))
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder / "wheels", source], check=True
    )
    [wheel] = (folder / "wheels").glob("*.whl")
    pip_install(folder / "site", wheel)
    return folder / "site"


def test_its_command_is_run_and_listed(desk: Callable[..., Desk], acme_lab: Path) -> None:
    lab = desk(acme_lab)
    done = lab.imageport("lab-status", "--name", "room 1")
    assert (done.exit_code, done.stdout) == (0, "room 1 is open\n")
    assert "Print the status of the lab." in lab.imageport("--help").stdout
    assert desk().imageport("lab-status").exit_code == 2


def test_the_doctor_reports_its_findings(desk: Callable[..., Desk], acme_lab: Path) -> None:
    lab = desk(acme_lab)
    (lab.folder / "imageport.yaml").write_text(
        "stores:\n"
        "  - {use: lab, with: {directory: images}}\n"
        "  - {use: lab, id: attic, with: {directory: images, bench: 9}}\n"
    )
    done = lab.imageport("doctor", "--json")
    assert done.exit_code == 1
    found = {one["subject"]: one for one in json.loads(done.stdout) if not one["ok"]}
    assert found == {
        "store attic": {
            "subject": "store attic",
            "ok": False,
            "severity": "error",
            "message": "there is no bench 9",
            "hint": "choose one from 1 to 4",
        }
    }
    good = [one for one in json.loads(done.stdout) if one["subject"] == "store lab"]
    assert [one["ok"] for one in good] == [True]
