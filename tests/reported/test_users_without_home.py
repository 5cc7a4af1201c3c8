"""Users of containers and services: without HOME, without an entry in /etc/passwd, or with the HOME of another user."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imageport.testing.command import IMAGEPORT, RunImageport, sha512

PIPELINE = "name: p\nsource: {use: glance-direct}\n"

#: A user number without a name. The user namespace maps it to the user who runs the tests.
NAMELESS = ("unshare", "--user", "--map-user=12345", "--map-group=12345")


@pytest.fixture
def pipeline(site_folder: Path) -> Path:
    path = site_folder / "p.yaml"
    path.write_text(PIPELINE)
    return path


def run_nameless(
    folder: Path, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*NAMELESS, IMAGEPORT, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_import_needs_no_home_when_the_site_file_names_all_folders(
    site_folder: Path, pipeline: Path, raw_disk: Path
) -> None:
    done = run_nameless(site_folder, "run", pipeline, raw_disk, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert [sha512(copy) for copy in (site_folder / "images").iterdir()] == [sha512(raw_disk)]
    assert list((site_folder / "staging").iterdir()) == []


def test_without_a_site_file_the_message_names_the_missing_home(
    tmp_path: Path, pipeline: Path, raw_disk: Path
) -> None:
    done = run_nameless(tmp_path, "run", pipeline, raw_disk, "--quiet")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: HOME is not set, and user 12345 has no home folder in /etc/passwd",
        "  hint: set HOME, or name a site file with --config that has catalog, staging.directory and stores",
    ]
    assert done.stdout == ""
    assert not (tmp_path / "images").exists()
    assert list(tmp_path.rglob("*.db")) == []


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("catalog", "sqlite:///~/c.db", "'~/c.db'"),
        ("staging", "{directory: ~/staging}", "'~/staging'"),
        ("stores", "[{use: file, id: a, with: {directory: ~/a}}]", "'~/a'"),
        ("stores", "[{use: file, id: a, with: {directory: '{file.~/key}'}}]", "'~/key'"),
    ],
)
def test_a_path_below_the_home_is_refused_when_the_home_is_not_known(
    site_folder: Path, pipeline: Path, raw_disk: Path, key: str, value: str, place: str
) -> None:
    site = site_folder / "imageport.yaml"
    kept = {"catalog": "sqlite:///catalog.db", "staging": "{directory: staging}", "stores": "[{use: file}]"}
    site.write_text("".join(f"{name}: {text}\n" for name, text in {**kept, key: value}.items()))
    done = run_nameless(site_folder, "run", pipeline, raw_disk, "--quiet")
    assert done.returncode == 2
    assert f"{place}: the home folder is not known; write an absolute path" in done.stderr


def test_a_home_that_must_not_be_read_is_passed_over_with_a_warning(
    run_imageport: RunImageport, site_folder: Path, pipeline: Path, raw_disk: Path, tmp_path: Path
) -> None:
    # The kernel lets root read every folder, but no path leads through a file or has a name of 5,000 letters.
    home = tmp_path / ("n" * 5000)
    (site_folder / "imageport.yaml").rename(site_folder / "other.yaml")
    done = run_imageport("--config", "other.yaml", "run", pipeline, raw_disk, "--quiet")
    assert done.exit_code == 0
    listed = run_imageport(
        "plugins", "list", environment={"HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "/tmp"}
    )
    assert listed.exit_code == 0
    assert listed.stderr.startswith(
        f"warning: site file {home}/.config/imageport/imageport.yaml is not used: "
    )
    assert "Traceback" not in listed.stderr
