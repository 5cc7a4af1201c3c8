"""Whole imports with the real command: into a bucket and out of it, and killed at any moment."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Bucket
from imageport.testing import RunImageport
from imageport.testing.command import IMAGEPORT

DISK = random.Random(4).randbytes(24 << 20)

#: Seconds after which an import is killed; it takes about 2.
MOMENTS = [round(random.Random(seed).uniform(0.4, 2.2), 2) for seed in range(8)]


@pytest.fixture
def site(site_folder: Path, bucket: Bucket) -> Path:
    """Return a folder with a site file, a disk, and a pipeline into the bucket."""
    (site_folder / "disk.raw").write_bytes(DISK)
    site = json.loads((site_folder / "imageport.yaml").read_text())
    site["stores"].append({"use": "s3", "id": "bucket", "with": {**bucket.options, "part_size": "5 MiB"}})
    (site_folder / "imageport.yaml").write_text(json.dumps(site))
    write_pipeline(site_folder, {"use": "glance-direct"})
    return site_folder


def write_pipeline(folder: Path, source: dict[str, Any]) -> None:
    pipeline = {"name": "test", "source": source, "stores": ["bucket"]}
    (folder / "pipeline.yaml").write_text(json.dumps(pipeline))


def test_an_image_goes_into_the_bucket_and_comes_out(
    site: Path, bucket: Bucket, run_imageport: RunImageport
) -> None:
    report = run_imageport.inside("run", "pipeline.yaml", "disk.raw", "--json").report
    assert report["stores"]["bucket"]["status"] == "published", report
    (name,) = bucket.objects()
    assert report["stores"]["bucket"]["location"].endswith(name)
    assert bucket.content(name) == DISK
    image = report["image"]["id"]
    assert run_imageport.inside("images", "export", image, "back.raw").exit_code == 0
    assert (site / "back.raw").read_bytes() == DISK
    assert run_imageport.inside("images", "delete", image, "--yes").exit_code == 0
    assert bucket.traces() == []


def test_an_image_comes_from_a_bucket(site: Path, bucket: Bucket, run_imageport: RunImageport) -> None:
    write_pipeline(site, {"use": "s3-download", "with": bucket.access})
    url = bucket.put("source/disk.raw", DISK)
    report = run_imageport.inside("run", "pipeline.yaml", url, "--json").report
    assert report["status"] == "success", report
    assert (report["image"]["name"], report["image"]["size"]) == ("disk.raw", len(DISK))


def test_no_secret_is_in_the_output(site: Path, bucket: Bucket, run_imageport: RunImageport) -> None:
    done = run_imageport.inside("run", "pipeline.yaml", "disk.raw", "--json")
    assert bucket.access["secret_access_key"] not in done.stdout + done.stderr


@pytest.mark.parametrize("moment", MOMENTS)
def test_nothing_is_left_of_an_import_that_is_killed(
    site: Path, bucket: Bucket, run_imageport: RunImageport, moment: float
) -> None:
    command: list[str | Path] = [IMAGEPORT, "run", "pipeline.yaml", "disk.raw"]
    with subprocess.Popen(
        command, cwd=site, env=run_imageport.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
    cleaned = run_imageport.inside("gc")
    assert cleaned.exit_code == 0, cleaned.stderr
    assert bucket.uploads() == []
    listed = run_imageport.inside("images", "list", "--json").json
    active = [image for image in listed if image["status"] == "active"]
    assert len(bucket.objects()) == len(active)
