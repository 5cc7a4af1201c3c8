"""Images that a caller may see: alternatives, each a mapping of fields of ``ImageRecord`` to the values they need.

A rule becomes a scope once the caller is known. A scope can be asked of one record, and be part of a query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageport.values import ImageRecord

Scope = Sequence[Mapping[str, str]]

EVERYTHING: Scope = (MappingProxyType({}),)
NOTHING: Scope = ()


def admits(scope: Scope, record: ImageRecord) -> bool:
    """Return whether all values of one alternative of *scope* are those of *record*."""
    return any(all(getattr(record, field) == value for field, value in wanted.items()) for wanted in scope)
