"""Servers for the tests of packages."""

from tests.servers.fixtures import ceph, openstack, seaweed

__all__ = ["ceph", "openstack", "seaweed"]
