"""Servers for the tests of packages."""

from tests.servers.fixtures import ceph

__all__ = ["ceph"]
