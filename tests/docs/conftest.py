"""A proxy that leads https addresses of the internet to a local server, and the database of the catalog tests."""

from __future__ import annotations

import importlib.metadata
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.catalog.conftest import postgresql_socket
from tests.http.test_proxy import tunnel_to

from imageport.testing.command import sha512
from imageport.testing.http_server import HttpServer

__all__ = ["postgresql_socket"]

PROJECT = Path(__file__).parents[2]

#: Hosts that pages may fetch from.
HOSTS = ("cloud.debian.org",)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the repository that `make` finds prepared."""
    clone = tmp_path / "clone"
    not_copied = shutil.ignore_patterns(
        ".git", ".venv", ".packages", ".tox", "demo-run", "bench-run", "__pycache__", ".*_cache"
    )
    shutil.copytree(PROJECT, clone, ignore=not_copied)
    _make_environment(clone / ".venv")
    for purpose in ("demo", "test"):
        (clone / f".venv/.prepared-{purpose}").touch()
    return clone


def _make_environment(folder: Path) -> None:
    """Make a virtual environment on top of the one that runs the tests, so that pages may install into it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    ours, outer = ({"base": str(prefix), "platbase": str(prefix)} for prefix in (folder, sys.prefix))
    below = sysconfig.get_path("purelib", vars=outer)
    Path(sysconfig.get_path("purelib", vars=ours), "below.pth").write_text(
        f"import site; site.addsitedir({below!r})\n"
    )
    for script in importlib.metadata.entry_points(group="console_scripts"):
        program = folder / "bin" / script.name
        program.write_text(
            # A line with "#!" cannot name a path with blanks: what is a command for sh is a string for Python.
            f"#!/bin/sh\n'''exec' \"{folder}/bin/python\" \"$0\" \"$@\"\n' '''\n"
            f"import sys\nfrom {script.module} import {script.attr}\nsys.exit({script.attr}())\n"
        )
        program.chmod(0o755)
    # The one program that is not written in Python.
    (folder / "bin/ruff").symlink_to(Path(sys.executable).with_name("ruff"))


@pytest.fixture
def internet(tmp_path: Path, raw_disk: Path) -> Iterator[HttpServer]:
    """Publish the disk where Debian publishes its cloud image."""
    folder = tmp_path / "internet"
    folder.mkdir()
    image = folder / "debian-12-genericcloud-amd64.qcow2"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw_disk, image], check=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*_certificate(folder))
    with HttpServer(tls=tls) as server, HttpServer() as proxy:
        for host in HOSTS:
            proxy.answer(f"{host}:443", tunnel_to(server.port))
        latest = "/images/cloud/bookworm/latest"
        server.publish(f"{latest}/{image.name}", image.read_bytes())
        server.publish(f"{latest}/SHA512SUMS", f"{sha512(image)}  {image.name}\n".encode())
        (folder / "imageport.yaml").write_text(
            f"network: {{proxy: '{proxy.url()}', ca_bundle: {folder}/certificate.pem}}\n"
        )
        yield server


@pytest.fixture
def site_file(internet: HttpServer, tmp_path: Path) -> Path:
    """Return the site file of a machine that reaches the internet through the proxy."""
    return tmp_path / "internet/imageport.yaml"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate that is good for all hosts and return it and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=internet"
    command = f"openssl req {options} -addext subjectAltName={names}"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return certificate, key
