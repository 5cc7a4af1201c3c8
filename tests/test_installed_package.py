"""The installed package is complete; run on its own against the built wheel."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import tomllib
from pathlib import Path

from imageport.testing.command import RunImageport, sha512

PROJECT = Path(__file__).parents[1]


def test_the_command_prints_the_installed_version(run_imageport: RunImageport) -> None:
    finished = run_imageport.installed("--version")
    assert finished.stdout == f"imageport {importlib.metadata.version('imageport')}\n"


def test_every_plugin_of_the_project_file_is_installed_and_works(run_imageport: RunImageport) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    named = set(project["entry-points"]["imageport.plugins"])
    listed = {plugin["name"]: plugin for plugin in run_imageport.installed("plugins", "list", "--json").json}
    assert named <= listed.keys()
    assert {listed[name]["status"] for name in named} == {"ok"}


def test_both_packages_announce_that_they_have_types() -> None:
    for package in ("imageport", "imageport_builtin", "imageport_glance"):
        assert importlib.resources.files(package).joinpath("py.typed").is_file()


def test_an_image_can_be_imported(run_imageport: RunImageport, raw_disk: Path, site_folder: Path) -> None:
    pipeline = site_folder / "smallest.yaml"
    pipeline.write_text("name: smallest\nsource: {use: glance-direct}\n")
    finished = run_imageport.installed("run", pipeline, raw_disk, "--json")
    assert finished.exit_code == 0, finished.stderr
    assert sha512(finished.copies["default"]) == sha512(raw_disk)
