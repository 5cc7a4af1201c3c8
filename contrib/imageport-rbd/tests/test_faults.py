"""Servers that die or freeze under a real import, and imports that are killed: commands end, and nothing is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import DRIVERS, images, remove_all
from imageport.testing import RunImageport
from imageport.testing.command import IMAGEPORT
from tests.servers.ceph import POOL, Ceph

MIB = 1 << 20
NOISE = random.Random(13).randbytes(24 * MIB)

#: Seconds without progress after which an import gives a store up, and those that a command may take after that.
PATIENCE, GRACE = 5, 10

#: Seconds that Ceph remembers a client that was killed or cut off, and the time to try again.
RECOVERY = 60

GATE = '''
"""A store that waits for the test before it completes its copy."""

import time
from pathlib import Path

from imageport import NoConfig, StoreFailed
from imageport.stores import Store


class Gate(Store[NoConfig, list]):
    """Keep nothing."""

    def url(self, image):
        return "gate://copy"

    def open(self, location, image, ctx):
        return []

    def write(self, copy, chunk):
        pass

    def finish(self, copy):
        Path("arrived").touch()
        while not Path("open").exists():
            time.sleep(0.02)
            if Path("fail").exists():
                raise StoreFailed("the gate is closed", hint="open it")

    def publish(self, copy):
        pass

    discard = publish

    def read(self, location, ctx):
        raise StoreFailed("the gate keeps nothing", hint="read another copy")

    def delete(self, location, ctx):
        pass
'''


@dataclass
class Site:
    """A folder whose pipeline imports standard input into Ceph and through the gate."""

    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [IMAGEPORT, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )

    def start_import(self, *stores: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start an import into Ceph, and into the other *stores*."""
        site = json.loads((self.folder / "imageport.yaml").read_text())
        pipeline = {"name": "test", "source": {"use": "glance-direct"}, "stores": [*site["stores"], *stores]}
        (self.folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        return self.start("run", "pipeline.yaml", "-", "--disk-format", "raw", "--json")


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def site(driver: str, site_folder: Path, run_imageport: RunImageport, ceph: Ceph) -> Iterator[Site]:
    store = {
        "use": "rbd", "id": "ceph",
        "with": {"pool": POOL, "conf": str(ceph.configuration), "driver": driver},
    }  # fmt: skip
    limits = {"store_patience": PATIENCE}
    (site_folder / "imageport.yaml").write_text(json.dumps({"stores": [store], "limits": limits}))
    plugins = site_folder / "plugins"
    metadata = plugins / "gate-1.0.dist-info"
    metadata.mkdir(parents=True)
    (plugins / "gate.py").write_text(GATE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gate\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[imageport.plugins]\ngate = gate:Gate\n")
    path = f"{plugins}{os.pathsep}{os.environ['PYTHONPATH']}"
    yield Site(
        site_folder,
        {**os.environ, **run_imageport.environment, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"},
    )
    remove_all(ceph)


class Fault:
    """A way in which the OSD does not answer any more, and the way back."""

    def __init__(self, ceph: Ceph, kind: str) -> None:
        self._begin: Callable[[], None] = ceph.osd.freeze if kind == "frozen" else ceph.osd.kill
        self._end: Callable[[], None] = ceph.osd.thaw if kind == "frozen" else ceph.start_osd
        self._holds = False

    def begin(self) -> None:
        self._begin()
        self._holds = True

    def end(self) -> None:
        if self._holds:
            self._end()
            self._holds = False


@pytest.fixture
def osd(request: pytest.FixtureRequest, ceph: Ceph, site: Site) -> Iterator[Fault]:
    fault = Fault(ceph, request.param)
    yield fault
    fault.end()


#: With each driver, an OSD that does not answer, and with one of them an OSD that is gone as well.
ways = pytest.mark.parametrize(
    ("driver", "osd"), [*((driver, "frozen") for driver in DRIVERS), (DRIVERS[0], "killed")], indirect=True
)


def await_that(condition: Callable[[], object]) -> None:
    """Wait until *condition*."""
    deadline = time.monotonic() + RECOVERY
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def feed(process: subprocess.Popen[bytes], data: bytes) -> threading.Thread:
    """Write *data* to the command in a thread; it may have ended before it reads them all."""
    assert process.stdin is not None
    stream = process.stdin

    def write() -> None:
        with suppress(BrokenPipeError):
            stream.write(data)
            stream.flush()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def close(process: subprocess.Popen[bytes]) -> None:
    """End the input of the command."""
    stream, process.stdin = process.stdin, None
    assert stream is not None
    with suppress(BrokenPipeError):
        stream.close()


def end_in_time(process: subprocess.Popen[bytes], osd: Fault) -> str:
    """Return what the command printed, which must end in time although the OSD does not answer; then mend that."""
    stream, process.stdin = process.stdin, None  # communicate() would close it
    try:
        out, err = process.communicate(timeout=PATIENCE + GRACE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate()
        raise AssertionError(f"the command did not end:\n{err.decode()}") from None
    finally:
        process.stdin = stream
        osd.end()
    return f"{out.decode()}{err.decode()}"


def require_clean(site: Site, ceph: Ceph) -> None:
    """Require that gc removes everything as soon as Ceph has forgotten the clients that are gone."""
    deadline = time.monotonic() + RECOVERY
    while True:
        done = subprocess.run(
            [IMAGEPORT, "gc"],
            cwd=site.folder,
            env=site.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and images(ceph) == []:
            return
        assert time.monotonic() < deadline, f"{images(ceph)} are left:\n{done.stdout}{done.stderr}"
        time.sleep(2)


@ways
def test_an_import_ends_when_the_osd_stops_in_mid_write(site: Site, ceph: Ceph, osd: Fault) -> None:
    with site.start_import() as process:
        feed(process, NOISE[: 8 * MIB]).join()
        await_that(lambda: images(ceph))
        osd.begin()
        rest = feed(process, NOISE * 4)  # more than may be in flight
        output = end_in_time(process, osd)
        rest.join()
        close(process)
    assert process.returncode == 6, output
    require_clean(site, ceph)


@ways
def test_an_import_ends_when_the_osd_stops_before_it_is_published(site: Site, ceph: Ceph, osd: Fault) -> None:
    with site.start_import({"use": "gate", "id": "gate"}) as process:
        feed(process, NOISE).join()
        close(process)
        await_that((site.folder / "arrived").exists)
        await_that(lambda: sealed(ceph))
        osd.begin()
        (site.folder / "open").touch()
        output = end_in_time(process, osd)
    assert process.returncode == 6, output
    require_clean(site, ceph)


@ways
def test_an_import_ends_when_the_osd_stops_before_it_is_discarded(site: Site, ceph: Ceph, osd: Fault) -> None:
    with site.start_import({"use": "gate", "id": "gate"}) as process:
        feed(process, NOISE).join()
        close(process)
        await_that((site.folder / "arrived").exists)
        await_that(lambda: sealed(ceph))
        osd.begin()
        (site.folder / "fail").touch()
        output = end_in_time(process, osd)
    assert process.returncode == 6, output
    assert "the gate is closed" in output
    require_clean(site, ceph)


@ways
def test_a_deletion_ends_when_the_osd_has_stopped(site: Site, ceph: Ceph, osd: Fault) -> None:
    with site.start_import() as process:
        out, _ = process.communicate(NOISE)
    image = json.loads(out.splitlines()[-1])["image"]["id"]
    osd.begin()
    with site.start("images", "delete", image, "--yes") as process:
        output = end_in_time(process, osd)
    assert process.returncode == 6, output
    require_clean(site, ceph)


def test_a_killed_import_keeps_no_other_from_its_work_and_gc_removes_what_is_left(
    site: Site, ceph: Ceph
) -> None:
    generator = random.Random(17)
    for _ in range(6):
        with site.start_import() as process:
            feeding = feed(process, NOISE[: generator.randrange(len(NOISE))])
            time.sleep(generator.uniform(0.5, 2.5))
            process.send_signal(signal.SIGKILL)
            feeding.join()
            close(process)
    with site.start_import() as process:
        out, err = process.communicate(NOISE)
    assert process.returncode == 0, err
    image = json.loads(out.splitlines()[-1])["image"]["id"]
    assert image in images(ceph)
    with site.start("images", "delete", image, "--yes") as process:
        process.communicate()
    require_clean(site, ceph)


def sealed(ceph: Ceph) -> bool:
    """Whether there is an image with a protected snapshot."""
    return any(
        one["protected"] == "true"
        for name in images(ceph)
        for one in json.loads(ceph("rbd", "snap", "ls", "--format", "json", f"{POOL}/{name}"))
    )
