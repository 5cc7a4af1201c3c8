"""An image into a pool of Ceph: by Imageport, and by the command ``rbd`` with and without the same digests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.bench.measuring import Cost, measure
from tests.servers.ceph import bindings_of_this_python

IMAGEPORT = "imageport run, store rbd"
WITH_DIGESTS = "tee >(md5sum) >(sha512sum) | rbd import -"
BARE = "rbd import"

_NATIVE = {
    WITH_DIGESTS: 'tee >(md5sum >md5) >(sha512sum >sha512) <"$IMAGE" | rbd import --no-progress - "$TARGET"',
    BARE: 'rbd import --no-progress "$IMAGE" "$TARGET"',
}


def ceph_jobs(image: Path, facts: Mapping[str, str], program: Path) -> dict[str, Callable[[Path], Cost]]:
    """Return what to measure by its title; each takes an empty folder, and removes what it has stored.

    *facts* are those of a cluster (``tests.servers.ceph``), *program* is the command of Imageport with imageport-rbd.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "CEPH_CONF": facts["configuration"],
        "IMAGE": str(image),
        "TARGET": f"{facts['pool']}/native",
    }

    def native(command: str, folder: Path) -> Cost:
        def shell(text: str) -> Cost:
            return measure(["bash", "-eo", "pipefail", "-c", text], folder, environment=environment)

        cost = shell(command)
        shell('rbd remove --no-progress "$TARGET"')
        return cost

    def imageport(folder: Path) -> Cost:
        modules = folder / "modules"
        modules.mkdir()
        for module in bindings_of_this_python():
            (modules / module.name).symlink_to(module)
        options = {"pool": facts["pool"], "conf": facts["configuration"]}
        site = {
            "catalog": f"sqlite:///{folder}/catalog.db",
            "staging": {"directory": "staging"},
            "stores": [{"use": "rbd", "id": "ceph", "with": options}],
        }
        pipeline = {"name": "bench", "source": {"use": "glance-direct"}, "stores": ["ceph"]}
        (folder / "imageport.yaml").write_text(json.dumps(site))
        (folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        own = {**environment, "HOME": str(folder), "PYTHONPATH": str(modules)}
        run: list[str | Path] = [
            program,
            "run",
            "pipeline.yaml",
            image,
            "--name",
            "disk",
            "--disk-format",
            "raw",
            "--quiet",
        ]
        cost = measure(run, folder, environment=own)
        measure([program, "images", "delete", "disk", "--yes"], folder, environment=own)
        return cost

    jobs: dict[str, Callable[[Path], Cost]] = {IMAGEPORT: imageport}
    return jobs | {title: partial(native, command) for title, command in _NATIVE.items()}
