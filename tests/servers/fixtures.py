"""Fixtures of servers that a run starts once; a test that freezes or kills a server runs one for itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.servers.shared import shared_server


@pytest.fixture(scope="session")
def ceph() -> Iterator[dict[str, str]]:
    """Give the facts of a Ceph with an S3 gateway: see ``tests.servers.ceph.Ceph.facts``."""
    with shared_server("ceph") as facts:
        yield facts


@pytest.fixture(scope="session")
def openstack() -> Iterator[dict[str, str]]:
    """Give the facts of a Keystone with a Glance: see ``tests.servers.openstack.OpenStack.facts``."""
    with shared_server("openstack") as facts:
        yield facts


@pytest.fixture(scope="session")
def seaweed() -> Iterator[dict[str, str]]:
    """Give the facts of an S3 server: see ``tests.servers.seaweed.Seaweed.facts``."""
    with shared_server("seaweed") as facts:
        yield facts
