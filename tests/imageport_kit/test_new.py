"""``imageport plugins new`` writes packages that pass their own tests, ruff and the type checkers as they are."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from tests.imageport_kit.rendering import ALL, REPOSITORY, VARIABLES, module_path, render, tool

import imageport
from imageport.testing import RunImageport

#: The longest name: lines with it are the longest.
LONGEST = "acme-" + "a" * 35


@pytest.mark.parametrize(("hook", "base"), ALL)
def test_a_package_is_complete(tmp_path: Path, hook: str, base: str | None) -> None:
    package = render(tmp_path, "acme-scan", hook, base)
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    module = "command" if hook == "command" else "plugin"
    assert files - {"tests/options.yaml"} == {
        ".github/workflows/test.yml",
        ".gitignore",
        "CHANGELOG.md",
        "README.md",
        "pyproject.toml",
        "src/acme_scan/__init__.py",
        "src/acme_scan/py.typed",
        f"src/acme_scan/{module}.py",
        "tests/test_conformance.py",
    }
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    group = "imageport.commands" if hook == "command" else "imageport.plugins"
    contract = ".".join(map(str, imageport.CONTRACT))
    assert set(project["entry-points"]) == {group, "imageport.contract"}
    assert set(project["entry-points"][group]) == {"acme-scan"}
    assert project["entry-points"]["imageport.contract"] == {contract: "acme_scan"}
    own, other = project["dependencies"]
    major, minor = version("imageport").split(".")[:2]
    assert own.startswith(f"imageport>={major}.{minor},<")
    assert other in (requires("imageport") or ())
    assert not VARIABLES.search("".join(path.read_text() for path in package.rglob("*.*") if path.is_file()))
    readme = (package / "README.md").read_text()
    assert "imageport plugins certify acme-scan" in readme
    assert hook == "command" or "| option | type | default | description |" in readme


@pytest.mark.parametrize("name", ["acme-scan", LONGEST])
def test_all_packages_pass_ruff(tmp_path: Path, name: str) -> None:
    for hook, base in ALL:
        (folder := tmp_path / f"{hook}-{base}").mkdir()
        render(folder, name, hook, base)
    tool(tmp_path, "ruff", "check", "--no-cache")
    tool(tmp_path, "ruff", "format", "--check", "--no-cache")


@pytest.mark.parametrize(("hook", "base"), [("transform", None), ("store_write", "folder")])
def test_a_package_passes_its_tests(tmp_path: Path, hook: str, base: str | None) -> None:
    package = render(tmp_path, "acme-scan", hook, base)
    tool(package, "pytest", "-q", PYTHONPATH=module_path(tmp_path / "site", package))


def test_a_package_passes_both_type_checkers_until_a_hook_has_no_mark(tmp_path: Path) -> None:
    package = render(tmp_path, "acme-scan", "transform", None)
    core = str(REPOSITORY / "core")
    checkers = (("mypy",), ("pyright", "--pythonpath", sys.executable))
    for checker in checkers:
        tool(package, *checker, MYPYPATH=core)
    path = package / "src/acme_scan/plugin.py"
    path.write_text(path.read_text().replace("    @hookimpl\n", "").replace(", hookimpl", ""))
    for checker in checkers:
        found = tool(package, *checker, exit_code=1, MYPYPATH=core)
        assert re.search(r"plugin\.py:\d+.*transform.*overrid", found), found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Acme.Scan", "call it acme-scan"),
        ("acme_scan", "call it acme-scan"),
        ("acme--scan", "call it acme-scan"),
        ("-rf", "call it rf"),
        ("../acme", "call it like acme-scan"),
        ("/etc/passwd", "call it like acme-scan"),
        ("acme scan", "call it like acme-scan"),
        ("acme\nscan", "call it like acme-scan"),
        ("", "call it like acme-scan"),
        ("acmé", "call it like acme-scan"),
        ("a$(id)", "call it like acme-scan"),
        ("a" * 41, "use at most 40"),
        ("7zip", "begin it with a letter"),
        ("imageport-7zip", "begin it with a letter"),
        ("class", "use no word of the Python language"),
        ("json", "choose another name"),
        ("pytest", "choose another name"),
        ("imageport", "choose another name"),
        ("imageport-kit", "choose another name"),
        ("checksum", "choose another name"),
        ("imageport-checksum", "choose another name"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    site_folder: Path, run_imageport: RunImageport, name: str, hint: str
) -> None:
    before = sorted(site_folder.iterdir())
    done = run_imageport.inside("plugins", "new", "--hook", "transform", "--", name)
    assert done.exit_code == 2
    assert hint in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert sorted(site_folder.iterdir()) == before


def test_the_prefix_of_a_distribution_is_not_part_of_the_name_of_its_plugin(tmp_path: Path) -> None:
    package = render(tmp_path, "imageport-virus-scan", "transform", None)
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["name"] == "imageport-virus-scan"
    assert project["entry-points"]["imageport.plugins"] == {
        "virus-scan": "imageport_virus_scan.plugin:VirusScan"
    }


@pytest.mark.parametrize("there", ["a folder", "an empty folder", "a file", "a link to nowhere"])
def test_a_folder_that_is_there_is_never_touched(
    site_folder: Path, run_imageport: RunImageport, there: str
) -> None:
    target = site_folder / "acme-scan"
    if there == "a file":
        target.write_text("mine")
    elif there == "a link to nowhere":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        if there == "a folder":
            (target / "mine").touch()
    before = sorted(site_folder.rglob("*"))
    done = run_imageport.inside("plugins", "new", "acme-scan", "--hook", "transform")
    assert done.exit_code == 2
    assert "acme-scan is there already" in done.stderr
    assert sorted(site_folder.rglob("*")) == before


def test_a_folder_that_cannot_be_made_leaves_nothing(site_folder: Path, run_imageport: RunImageport) -> None:
    before = sorted(site_folder.rglob("*"))
    done = run_imageport.inside(
        "plugins", "new", "acme-scan", "--hook", "transform", "--folder", "no/such/place"
    )
    assert done.exit_code == 2
    assert "no/such/place cannot be made: No such file or directory" in done.stderr
    assert sorted(site_folder.rglob("*")) == before


def test_a_base_is_for_stores_alone(run_imageport: RunImageport) -> None:
    done = run_imageport.inside("plugins", "new", "acme-scan", "--hook", "transform", "--base", "part")
    assert done.exit_code == 2
    assert "--base part is for --hook store_write alone" in done.stderr


def test_the_entry_in_the_readme_is_one_of_a_pipeline(site_folder: Path, run_imageport: RunImageport) -> None:
    """Each example is put into a pipeline, which is valid once the package is installed."""
    paths = []
    for hook, base in ALL:
        if hook == "command":
            continue
        name = f"acme-{hook}-{base or 'x'}".replace("_", "-")
        package = render(site_folder, name, hook, base)
        paths.append(module_path(site_folder / f"site-{name}", package))
        example = (package / "README.md").read_text().partition("```yaml\n")[2].partition("```")[0]
        store = {"use": "file", "id": "one", "with": {"directory": "./one"}}
        rest = {"name": "test", "source": {"use": "glance-direct"}, "stores": [store]}
        rest.pop(example.partition(":")[0], None)
        if hook == "store_read":
            example += f"  - {json.dumps(store)}\n"
        lines = "".join(f"{key}: {json.dumps(value)}\n" for key, value in rest.items())
        (site_folder / f"{name}.yaml").write_text(lines + example)
    environment = {**run_imageport.environment, "PYTHONPATH": os.pathsep.join(paths)}
    pipelines = sorted(path.name for path in site_folder.glob("acme-*.yaml"))
    done = RunImageport(site_folder, environment)("validate", *pipelines)
    assert done.exit_code == 0, done.stdout + done.stderr
