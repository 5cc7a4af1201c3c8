"""Deprecated parts of the contract with plugins, and the release in which each is removed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A part of the contract that is deprecated *since* a release and is gone in another: versions such as ``0.1``.

    A test fails when Imageport reaches the version ``removed_in`` and the record is still there.
    """

    name: str
    since: str
    removed_in: str
    instead: str

    def warn(self, user: type) -> None:
        """Warn the author of the class *user*, which still uses it, with a ``DeprecationWarning``."""
        warnings.warn(
            f"{user.__module__}.{user.__qualname__} uses {self.name}, deprecated since imageport {self.since} and "
            f"removed in {self.removed_in}: {self.instead}",
            DeprecationWarning,
            stacklevel=5,  # this method, the base, its metaclass: then the class statement
        )


STORE_CLOSE = Deprecation("Store.close(copy)", "0.1", "0.3", "name the method 'finish'")

STORE_FAILURES = Deprecation(
    "Store.failures", "0.1", "0.3", "list the errors in 'errors', each with its remedy, or \"\" for none"
)

DEPRECATIONS = (STORE_CLOSE, STORE_FAILURES)
