"""The pipelines that the pages show import an image into a real cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import images, remove_all
from imageport.testing import HttpServer, RunImageport
from tests.servers.ceph import POOL, Ceph

from imageport_rbd.options import RbdOptions

README = Path(__file__).parents[1] / "README.md"
HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "store-in-ceph.md"


@pytest.mark.parametrize("page", [README, HOW_TO], ids=lambda page: page.name)
def test_the_pipeline_of_a_page_runs(
    page: Path, ceph: Ceph, site_folder: Path, run_imageport: RunImageport, http_server: HttpServer
) -> None:
    (pipeline,) = re.findall(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    keyring = site_folder / "keyring"
    keyring.touch()
    pipeline = pipeline.replace(
        "pool: images", f"conf: {ceph.configuration}, pool: {POOL}" if page == README else "pool: rbd"
    )
    pipeline = pipeline.replace("/etc/ceph/ceph.conf", str(ceph.configuration))
    pipeline = pipeline.replace("/etc/ceph/ceph.client.imageport.keyring", str(keyring))
    (site_folder / "pipeline.yaml").write_text(pipeline)
    url = http_server.publish("/disk.raw", bytes(1 << 20) + b"boot me" + bytes(505))
    done = run_imageport.inside("run", "pipeline.yaml", url, "--json")
    assert done.exit_code == 0, done.stderr
    assert images(ceph) == [json.loads(done.stdout.splitlines()[-1])["image"]["id"]]
    remove_all(ceph)


def test_the_options_of_the_readme_are_those_of_the_store() -> None:
    shown = re.findall(r"^\| `(\w+)` \| [^|]*\| ", README.read_text(), re.MULTILINE)
    assert [name for name in shown if name in RbdOptions.model_fields] == list(RbdOptions.model_fields)
