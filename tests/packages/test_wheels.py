"""Each package is built as a wheel, installed alone into a new environment of each Python, and certified there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.servers.openstack import sign_in

REPOSITORY = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in (REPOSITORY / "contrib").glob("*/pyproject.toml"))
PYTHONS = ("3.11", "3.12", "3.13")


def _run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheels of Imageport and of all packages."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ("--quiet", "--no-deps", "--wheel-dir", folder)
    _run(sys.executable, "-m", "pip", "wheel", *options, REPOSITORY, *PACKAGES)
    return folder


@pytest.fixture(scope="session", params=PYTHONS)
def environment(
    request: pytest.FixtureRequest, wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Install all wheels, and pytest for the suites, into a new environment of one Python."""
    folder: Path = tmp_path_factory.mktemp("environments") / request.param
    _run(_run(REPOSITORY / ".ci/interpreter", request.param).strip(), "-m", "venv", folder)
    _run(folder / "bin/pip", "install", "--quiet", "pytest>=9", *sorted(wheels.glob("*.whl")))
    return folder


def test_every_plugin_of_every_package_loads(environment: Path, tmp_path: Path) -> None:
    listed = json.loads(_run(environment / "bin/imageport", "plugins", "list", "--json", HOME=str(tmp_path)))
    text = json.dumps(listed)
    assert all(package.name in text for package in PACKAGES)
    for plugin in ("named_file", "s3", "rbd", "openstack"):
        shown = _run(environment / "bin/imageport", "plugins", "show", plugin, HOME=str(tmp_path))
        assert plugin in shown


def test_the_openstack_store_certifies(environment: Path, openstack: dict[str, str], tmp_path: Path) -> None:
    assert _certified(environment, "openstack", sign_in(openstack), tmp_path)


def test_the_s3_store_certifies(environment: Path, ceph: dict[str, str], tmp_path: Path) -> None:
    keys = {"access_key_id": ceph["access_key"], "secret_access_key": ceph["secret_key"]}
    bucket = {"bucket": "wheels", "endpoint": ceph["endpoint"], **keys}
    script = (
        "import boto3; boto3.client('s3', endpoint_url={endpoint!r}, aws_access_key_id={access_key_id!r}, "
        "aws_secret_access_key={secret_access_key!r}, region_name='us-east-1').create_bucket(Bucket='wheels')"
    )
    _run(environment / "bin/python", "-c", script.format(**bucket))
    assert _certified(environment, "s3", bucket, tmp_path)


def test_the_rbd_store_certifies(environment: Path, ceph: dict[str, str], tmp_path: Path) -> None:
    options = {"pool": ceph["pool"], "conf": ceph["configuration"], "driver": "command"}
    assert _certified(environment, "rbd", options, tmp_path)


def test_the_store_of_named_files_certifies(environment: Path, tmp_path: Path) -> None:
    assert _certified(environment, "named_file", {"directory": "library"}, tmp_path)


def _certified(environment: Path, plugin: str, options: dict[str, Any], folder: Path) -> bool:
    (folder / "options.yaml").write_text(json.dumps(options))
    command = [
        str(environment / "bin/imageport"),
        "plugins",
        "certify",
        plugin,
        "--options",
        "options.yaml",
        "--json",
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return True
