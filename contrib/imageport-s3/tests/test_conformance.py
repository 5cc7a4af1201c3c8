"""The plugins keep the promises of stores and sources, with real servers that are frozen and killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import PrivateServer, make_bucket, private_server
from imageport import Source
from imageport.testing import HttpServer, MethodConformance, StoreConformance
from imageport.testing.http_answers import Behaviour


@pytest.fixture(scope="class")
def own_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    """Run the server of a class of tests, which freeze and kill it."""
    kind = request.cls.kind
    with private_server(kind, tmp_path_factory.mktemp(kind)) as server:
        yield server


class S3Conformance(StoreConformance):
    plugin = "s3"
    kind: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _in_a_new_bucket(self, own_server: PrivateServer) -> None:
        self.bucket = make_bucket(self.kind, own_server.facts)
        self.options = self.bucket.options

    @pytest.fixture
    def server(self, own_server: PrivateServer) -> PrivateServer:
        return own_server

    @pytest.fixture
    def fill(self, own_server: PrivateServer) -> Callable[[], AbstractContextManager[object]] | None:
        return own_server.fill

    def traces(self, folder: Path) -> list[str]:
        return self.bucket.traces()


class TestS3OnSeaweed(S3Conformance):
    kind = "seaweed"


class TestS3OnCeph(S3Conformance):
    kind = "ceph"


class TestS3Download(MethodConformance):
    plugin = "s3-download"

    @pytest.fixture(autouse=True)
    def _of_the_faulty_server(self, faulty_server: HttpServer) -> None:
        self.options = {"endpoint": faulty_server.url("/").rstrip("/"), "anonymous": True}

    @pytest.fixture
    def offer(self, faulty_server: HttpServer) -> Callable[..., Source]:
        def offer(*behaviours: Behaviour) -> Source:
            faulty_server.answer("/bucket/disk.raw", *behaviours)
            return Source(method="s3-download", uri="s3://bucket/disk.raw")

        return offer
