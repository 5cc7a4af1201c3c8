"""The pages that need a database get the one of the catalog's tests."""

from tests.catalog.conftest import postgresql_socket

__all__ = ["postgresql_socket"]
