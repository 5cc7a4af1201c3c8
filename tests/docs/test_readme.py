"""Every command in README.md and CONTRIBUTING.md works."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.markdown import PIP_WITHOUT_NETWORK, play

from imageport.errors import ExitCode
from imageport.testing.http_server import HttpServer

PROJECT = Path(__file__).parents[2]


def test_the_readme_runs(clone: Path, internet: HttpServer, site_file: Path) -> None:
    play(clone / "README.md", clone, {"IMAGEPORT_CONFIG": str(site_file), **PIP_WITHOUT_NETWORK})
    assert any(path.endswith("genericcloud-amd64.qcow2") for path in internet.paths())
    assert len([path for path in clone.glob("demo-run/images/*/*") if path.is_file()]) == 2


def test_contributing_runs(clone: Path) -> None:
    # The tests are what this is part of: within it they are checked and collected, not run once more.
    cache = {"MYPY_CACHE_DIR": str(PROJECT / ".mypy_cache")}
    play(clone / "CONTRIBUTING.md", clone, {"PYTEST_ADDOPTS": "--collect-only --quiet", **cache})


def test_the_readme_shows_every_exit_code() -> None:
    listed = re.findall(r"^\| (\d+) \|", (PROJECT / "README.md").read_text(), re.MULTILINE)
    assert [int(code) for code in listed] == [code.value for code in ExitCode]


def test_the_readme_names_every_built_in_plugin() -> None:
    entry_points = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["entry-points"]
    listed = set()
    for row in re.findall(r"^\| (`.*?) \|", (PROJECT / "README.md").read_text(), re.MULTILINE):
        listed |= set(re.findall(r"`([\w-]+)`", row))
    assert listed == set(entry_points["imageport.plugins"])


def test_every_relative_link_leads_somewhere() -> None:
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CODE_OF_CONDUCT.md",
        "RELEASING.md",
        "SECURITY.md",
        "docs/changes/README.md",
    ):
        text = (PROJECT / page).read_text()
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (PROJECT / page).parent.joinpath(target).exists(), f"{page} links to {target}"


def test_every_fragment_of_the_changelog_comes_into_the_next_release() -> None:
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version=9.9", "--name=imageport"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    written = " ".join(draft.split())
    fragments = [path for path in (PROJECT / "docs/changes").glob("*.md") if path.name != "README.md"]
    assert fragments
    for fragment in fragments:
        assert re.fullmatch(r"\d{4}\.(added|changed|fixed|removed|security)\.md", fragment.name)
        assert " ".join(fragment.read_text().split()) in written
    assert re.search(r"^## 9\.9 \([-\d]+\)$", draft, re.MULTILINE)
