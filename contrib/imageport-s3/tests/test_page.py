"""The page of the documentation runs as it is written."""

from __future__ import annotations

from pathlib import Path

from conftest import BUCKET, Bucket
from tests.markdown import play

PAGE = Path(__file__).parents[3] / "docs/how-to/store-in-s3.md"


def test_the_page_runs_as_it_is_written(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("incoming/debian.raw", bytes(1 << 20))
    home = tmp_path / "you"
    home.mkdir()
    access = bucket.access
    environment = {"S3_KEY": access["access_key_id"], "S3_SECRET": access["secret_access_key"]}
    stand_ins = {
        "https://s3.example.org": access["endpoint"],
        "bucket: images": f"bucket: {BUCKET}",
        "s3://images/": f"s3://{BUCKET}/",
        "incoming/": f"{bucket.prefix}incoming/",
        "{directory: staging}": "{directory: staging}\nnetwork: {allow_networks: [127.0.0.0/8]}",
    }
    play(PAGE, home, environment, stand_ins)
