"""Rules of the operator: permissions of callers, protected properties, and quotas.

Public are the rules of the site file and their notation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.access.policy import Policy, alternatives

__all__ = ["Policy", "alternatives"]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(__name__, {"policy": ("Policy", "alternatives")})
