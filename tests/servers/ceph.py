"""A real Ceph on one node: monitor, OSD and, where asked for, an S3 gateway; without authentication, on loopback.

Its Debian packages are installed by ``.ci/prepare packages``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.servers.daemon import Daemon, answers, free_port

POOL = "rbd"
ACCESS_KEY, SECRET_KEY = "imageport", "imageport-secret"

#: Where Debian has the bindings of its Python; other Pythons cannot import them.
_BINDINGS = Path("/usr/lib/python3/dist-packages")

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{monitor_port}/0
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {folder}
crash_dir = {folder}
keyring = {folder}/keyring
admin_socket =
log_file =
log_to_stderr = true
err_to_stderr = true
osd_pool_default_size = 1
# An OSD that was frozen for longer than its read lease, 16 s by default, may refuse reads for good afterwards.
osd_pool_default_read_lease_ratio = 100
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_max_pg_per_osd = 1000
[mon]
mon_data = {folder}/mon
mon_initial_members = a
# Its default of 1 s is most of the start of a cluster of one node.
paxos_propose_interval = 0.01
paxos_min_wait = 0.005
[mgr]
mgr_data = {folder}/mgr
mgr_initial_modules =
[osd]
osd_data = {folder}/osd
osd_objectstore = {objectstore}
osd_class_update_on_start = false
osd_memory_target = 939524096
osd_mclock_skip_benchmark = true
osd_fast_shutdown = true
memstore_device_bytes = 2147483648
bluestore_block_size = 10737418240
bluestore_block_create = true
bluestore_fsck_on_mount = false
[client]
log_to_stderr = false
[client.rgw]
# Its default, "secure", needs authentication: it would look for the monitor for ever.
ms_mon_client_mode = crc
rgw_frontends = beast endpoint=127.0.0.1:{gateway_port}
rgw_data = {folder}/gateway
rgw_run_sync_thread = false
rgw_enable_apis = s3, swift, swift_auth, admin
rgw_dns_name = localhost
# Removed objects are freed at once: an OSD in memory is small.
rgw_gc_obj_min_wait = 1
rgw_gc_processor_period = 2
rgw_gc_processor_max_time = 2
"""


class Ceph:
    """A cluster in the empty *folder*.

    ``memstore`` starts in a second, keeps 2 GiB, and loses its data when the OSD is killed; ``bluestore`` keeps 10 GiB
    in a sparse file and needs five seconds.
    """

    def __init__(self, folder: Path, objectstore: Literal["memstore", "bluestore"] = "memstore") -> None:
        self.folder = folder
        self.fsid = str(uuid.uuid4())
        self.configuration = folder / "ceph.conf"
        self.gateway_port = free_port()
        self.monitor_port = free_port()
        self.configuration.write_text(
            _CONFIGURATION.format(
                fsid=self.fsid, folder=folder, objectstore=objectstore,
                monitor_port=self.monitor_port, gateway_port=self.gateway_port,
            )
        )  # fmt: skip
        self.monitor = self._daemon("ceph-mon", "mon", "-i", "a")
        self.osd = self._daemon("ceph-osd", "osd", "-i", "0")
        self.manager = self._daemon("ceph-mgr", "mgr", "-i", "x")
        self.gateway = self._daemon("radosgw", "gateway", "-n", "client.rgw")

    def start(self) -> None:
        """Start monitor and OSD, with the pool ``rbd``."""
        (self.folder / "keyring").touch()
        monitors = self.folder / "monmap"
        address = f"[v2:127.0.0.1:{self.monitor_port}]"
        self._run("monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, monitors)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--keyring", "/dev/null")
        self.monitor.start()
        self.monitor.await_ready(lambda: answers(self.monitor_port))
        osd = str(uuid.uuid4())
        self("ceph", "osd", "new", osd)
        self("ceph", "osd", "crush", "add-bucket", "default", "root")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start_osd()
        self.make_pool(POOL)

    def start_osd(self) -> None:
        """Start the OSD, and wait until the monitor has it."""
        self.osd.start()
        self.osd.await_ready(
            lambda: json.loads(self("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] == 1
        )

    def start_gateway(self) -> None:
        """Start the S3 gateway, with a user that has ``ACCESS_KEY`` and ``SECRET_KEY``."""
        self.restart_gateway()
        keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        self(
            "radosgw-admin",
            "-n",
            "client.rgw",
            "user",
            "create",
            "--uid=tests",
            "--display-name=tests",
            *keys,
        )

    def restart_gateway(self) -> None:
        """Start the S3 gateway after it was killed."""
        self.gateway.start()
        self.gateway.await_ready(lambda: answers(self.gateway_port))

    @contextmanager
    def without_room(self) -> Iterator[None]:
        """Let the user of the S3 gateway write nothing more, by a quota."""
        quota = ("radosgw-admin", "-n", "client.rgw", "quota")
        user = ("--quota-scope=user", "--uid=tests")
        self(*quota, "set", *user, "--max-size=1")
        self(*quota, "enable", *user)
        try:
            yield
        finally:
            self(*quota, "disable", *user)

    def start_manager(self) -> None:
        """Start the manager, and wait until it has collected how full pools are."""
        self.manager.start()
        self.manager.await_ready(lambda: "max_avail" in self("ceph", "df", "--format", "json"))

    def stop(self) -> None:
        """End all daemons of the cluster, whose data is not used again."""
        for daemon in (self.gateway, self.manager, self.osd, self.monitor):
            daemon.kill()

    def make_pool(self, name: str) -> None:
        """Make a pool for RBD images."""
        self("ceph", "osd", "pool", "create", name, "8", "8")
        self("rbd", "pool", "init", name)

    def __call__(self, *command: str | Path) -> str:
        """Run a client of the cluster and return its output."""
        return self._run(*command)

    @property
    def facts(self) -> dict[str, str]:
        """What clients need: ``configuration``, ``fsid``, and ``pool``; for S3 ``endpoint`` and both keys."""
        return {
            "configuration": str(self.configuration),
            "fsid": self.fsid,
            "pool": POOL,
            "endpoint": f"http://127.0.0.1:{self.gateway_port}",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }

    def _daemon(self, program: str, name: str, *options: str) -> Daemon:
        (self.folder / name).mkdir()
        environment = {"CEPH_CONF": str(self.configuration)}
        return Daemon([program, "-f", *options], self.folder / f"{name}.log", environment)

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command, env={**os.environ, "CEPH_CONF": str(self.configuration)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def running_ceph(folder: Path, objectstore: Literal["memstore", "bluestore"] = "memstore") -> Iterator[Ceph]:
    """Run a cluster that one test alone uses, and may freeze and kill."""
    folder.mkdir(parents=True, exist_ok=True)
    ceph = Ceph(folder, objectstore)
    try:
        ceph.start()
        yield ceph
    finally:
        ceph.stop()
        shutil.rmtree(folder)


@contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run the cluster that all tests of a run share, with its S3 gateway."""
    with running_ceph(folder) as ceph:
        ceph.start_gateway()
        yield ceph.facts


def client(facts: dict[str, str], *command: str) -> str:
    """Run a command of Ceph with the cluster of these *facts*, and return its output."""
    environment = {**os.environ, "CEPH_CONF": facts["configuration"]}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def bindings_of_this_python() -> list[Path]:
    """Return the modules ``rados`` and ``rbd`` as Debian has them, none when they are for another Python."""
    name = f".cpython-3{sys.version_info.minor}-*.so"
    return [path for module in ("rados", "rbd") for path in _BINDINGS.glob(module + name)]
