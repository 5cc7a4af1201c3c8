"""Servers for the tests of packages."""

from tests.servers.fixtures import ceph, openstack

__all__ = ["ceph", "openstack"]
