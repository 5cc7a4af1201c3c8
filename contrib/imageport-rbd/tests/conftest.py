"""A Ceph for the tests of this package alone: they freeze it, kill it and fill it up."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.servers.ceph import POOL, Ceph, bindings_of_this_python, running_ceph

#: The drivers that this Python can use. Debian has the bindings for its Python only.
DRIVERS = ["bindings", "command"] if bindings_of_this_python() else ["command"]


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Run a cluster that keeps its data when it is killed, with a manager, which enforces quotas."""
    with running_ceph(tmp_path_factory.mktemp("ceph"), "bluestore") as cluster:
        cluster.start_manager()
        yield cluster


@pytest.fixture(scope="session", autouse=True)
def _bindings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let this Python import the bindings of Ceph, and the commands that tests start as well."""
    folder = tmp_path_factory.mktemp("bindings")
    for module in bindings_of_this_python():
        (folder / module.name).symlink_to(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def images(ceph: Ceph) -> list[str]:
    """Return the names of all images in the pool."""
    names: list[str] = json.loads(ceph("rbd", "ls", "--format", "json", POOL))
    return names


def remove_all(ceph: Ceph) -> None:
    """Remove the images that a test has published and left."""
    for name in sorted(images(ceph), key=lambda name: name != "volume"):
        if json.loads(ceph("rbd", "snap", "ls", "--format", "json", f"{POOL}/{name}")):
            ceph("rbd", "snap", "unprotect", f"{POOL}/{name}@snap")
            ceph("rbd", "snap", "rm", "--no-progress", f"{POOL}/{name}@snap")
        ceph("rbd", "rm", "--no-progress", f"{POOL}/{name}")


class OsdServer:
    """The server of the store for the suite: the OSD, which has the data."""

    def __init__(self, ceph: Ceph) -> None:
        self._ceph = ceph

    def freeze(self) -> None:
        self._ceph.osd.freeze()

    def thaw(self) -> None:
        self._ceph.osd.thaw()

    def kill(self) -> None:
        self._ceph.osd.kill()

    def start(self) -> None:
        self._ceph.start_osd()


@contextmanager
def full_pool(ceph: Ceph) -> Iterator[None]:
    """Set a quota that the pool exceeds, and wait until the cluster has noticed."""
    ceph("rbd", "create", "--size", "1M", f"{POOL}/ballast")
    ceph("rbd", "bench", "--io-type", "write", "--io-total", "1M", "--io-size", "1M", f"{POOL}/ballast")
    set_quota(ceph, 4096)
    try:
        yield
    finally:
        set_quota(ceph, 0)
        ceph("rbd", "rm", "--no-progress", f"{POOL}/ballast")


def set_quota(ceph: Ceph, size: int) -> None:
    """Set the quota of the pool, and wait until the cluster obeys it."""
    ceph("ceph", "osd", "pool", "set-quota", POOL, "max_bytes", str(size))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pools = json.loads(ceph("ceph", "osd", "pool", "ls", "detail", "--format", "json"))
        if any("full_quota" in pool["flags_names"] for pool in pools if pool["pool_name"] == POOL) == bool(
            size
        ):
            return
        time.sleep(0.5)
    raise AssertionError("the cluster does not obey the quota")
