"""An image into an S3 bucket: by Imageport, and by the program of AWS with and without the same digests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.bench.measuring import Cost, measure
from tests.servers.wsgi import PROGRAMS

IMAGEPORT = "imageport run, store s3"
WITH_DIGESTS = "tee >(md5sum) >(sha512sum) | aws s3 cp -"
BARE = "aws s3 cp"

_NATIVE = {
    WITH_DIGESTS: 'tee >(md5sum >md5) >(sha512sum >sha512) <"$IMAGE" | "$AWS" s3 cp --quiet - "$URL"',
    BARE: '"$AWS" s3 cp --quiet "$IMAGE" "$URL"',
}

BUCKET = "bench"


def s3_jobs(
    image: Path, facts: Mapping[str, str], program: Path, checksum: str = "md5"
) -> dict[str, Callable[[Path], Cost]]:
    """Return what to measure by its title; each takes an empty folder, and removes what it has stored.

    *facts* are those of a server (``tests.servers``), *program* is the command of Imageport with imageport-s3,
    and *checksum* the digest of parts.
    """
    environment = {**_environment(facts), "IMAGE": str(image), "URL": f"s3://{BUCKET}/native"}

    def shell(command: str, folder: Path) -> Cost:
        return measure(["bash", "-eo", "pipefail", "-c", command], folder, environment=environment)

    def native(command: str, folder: Path) -> Cost:
        cost = shell(command, folder)
        shell('"$AWS" s3 rm --quiet "$URL"', folder)
        return cost

    def imageport(folder: Path) -> Cost:
        options = {"bucket": BUCKET, "endpoint": facts["endpoint"], "checksum": checksum}
        site = {
            "catalog": f"sqlite:///{folder}/catalog.db",
            "staging": {"directory": "staging"},
            "stores": [{"use": "s3", "id": "s3", "with": options}],
        }
        pipeline = {"name": "bench", "source": {"use": "glance-direct"}, "stores": ["s3"]}
        (folder / "imageport.yaml").write_text(json.dumps(site))
        (folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        own = {**environment, "HOME": str(folder)}
        arguments = ["run", "pipeline.yaml", str(image), "--name", "disk", "--disk-format", "raw", "--quiet"]
        cost = measure([program, *arguments], folder, environment=own)
        measure([program, "images", "delete", "disk", "--yes"], folder, environment=own)
        return cost

    jobs: dict[str, Callable[[Path], Cost]] = {IMAGEPORT: imageport}
    return jobs | {title: partial(native, command) for title, command in _NATIVE.items()}


def make_bucket(facts: Mapping[str, str], folder: Path) -> None:
    """Make the bucket of the jobs."""
    command = '"$AWS" s3 mb "$URL"'
    environment = {**_environment(facts), "URL": f"s3://{BUCKET}"}
    measure(["bash", "-ec", command], folder, environment=environment)


def _environment(facts: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "AWS": str(PROGRAMS / "aws"),
        "AWS_ACCESS_KEY_ID": facts["access_key"],
        "AWS_SECRET_ACCESS_KEY": facts["secret_key"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": facts["endpoint"],
        "AWS_CONFIG_FILE": os.devnull,
    }
