"""Real S3 servers: SeaweedFS, and the gateway of a Ceph; each test is made with both."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tests.servers.ceph import running_ceph
from tests.servers.daemon import Daemon
from tests.servers.seaweed import running_seaweed
from tests.servers.shared import shared_server

SERVERS = ("seaweed", "ceph")


#: The bucket of all tests: SeaweedFS sets room aside for each bucket.
BUCKET = "images-of-tests"


@dataclass
class Bucket:
    """The part of a bucket that one test uses: names that begin with ``prefix``."""

    kind: str
    prefix: str
    facts: dict[str, str]
    client: Any

    @property
    def options(self) -> dict[str, Any]:
        """The options of a store in this bucket."""
        return {"bucket": BUCKET, "prefix": self.prefix, **self.access}

    @property
    def access(self) -> dict[str, Any]:
        """The options by which the server is reached."""
        return {
            "endpoint": self.facts["endpoint"],
            "access_key_id": self.facts["access_key"],
            "secret_access_key": self.facts["secret_key"],
        }

    def objects(self) -> list[str]:
        """Return the names of all objects."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=self.prefix)
        return [item["Key"] for item in found.get("Contents", ())]

    def uploads(self) -> list[str]:
        """Return the names and ids of all uploads."""
        found = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=self.prefix)
        return [f"{item['Key']} {item['UploadId']}" for item in found.get("Uploads", ())]

    def traces(self) -> list[str]:
        """Return the names of all objects and uploads."""
        return [*self.objects(), *self.uploads()]

    def put(self, name: str, content: bytes) -> str:
        """Write an object and return its url."""
        self.client.put_object(Bucket=BUCKET, Key=self.prefix + name, Body=content)
        return f"s3://{BUCKET}/{self.prefix}{name}"

    def content(self, name: str) -> bytes:
        """Return the bytes of an object."""
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=name)["Body"].read()
        return content


def make_bucket(kind: str, facts: dict[str, str]) -> Bucket:
    """Return a new part of the bucket, which is made when it is missing."""
    client = boto3.client(
        "s3",
        endpoint_url=facts["endpoint"],
        aws_access_key_id=facts["access_key"],
        aws_secret_access_key=facts["secret_key"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, read_timeout=20, retries={"total_max_attempts": 3}),
    )
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    return Bucket(kind, f"{uuid.uuid4().hex}/", facts, client)


@pytest.fixture(scope="session", params=SERVERS)
def shared(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the name and the facts of a server that the run shares."""
    with shared_server(request.param) as facts:
        yield request.param, facts


@pytest.fixture
def bucket(shared: tuple[str, dict[str, str]]) -> Bucket:
    """Return a place for one test in a server that the run shares."""
    return make_bucket(*shared)


@dataclass
class PrivateServer:
    """A server that one test alone uses; ``daemon`` is the process that answers requests, ``fill`` takes its room."""

    facts: dict[str, str]
    daemon: Daemon
    restart: Callable[[], None]
    fill: Callable[[], AbstractContextManager[object]] | None = None

    def freeze(self) -> None:
        self.daemon.freeze()

    def thaw(self) -> None:
        self.daemon.thaw()

    def kill(self) -> None:
        self.daemon.kill()

    def start(self) -> None:
        self.restart()


@contextmanager
def private_server(name: str, folder: Path) -> Iterator[PrivateServer]:
    """Run a server that may be frozen and killed."""
    if name == "seaweed":
        with running_seaweed(folder / "seaweed") as seaweed:
            yield PrivateServer(seaweed.facts, seaweed.daemon, seaweed.start)
    else:
        with running_ceph(folder / "ceph") as ceph:
            ceph.start_gateway()
            yield PrivateServer(ceph.facts, ceph.gateway, ceph.restart_gateway, ceph.without_room)
