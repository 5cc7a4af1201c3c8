from __future__ import annotations

import os
from pathlib import Path

from tests.bench.s3 import BARE, IMAGEPORT, WITH_DIGESTS, make_bucket, s3_jobs

from imageport.testing.command import IMAGEPORT as PROGRAM


def test_each_program_stores_the_image_and_removes_it(seaweed: dict[str, str], tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(os.urandom(9 << 20))
    make_bucket(seaweed, tmp_path)
    jobs = s3_jobs(image, seaweed, PROGRAM)
    assert set(jobs) == {IMAGEPORT, WITH_DIGESTS, BARE}
    for title, run in jobs.items():
        work = tmp_path / title.replace(" ", "-").replace("/", "-")
        work.mkdir()
        assert run(work).cpu_seconds > 0
