"""Deadlines: each part of an import has a time limit, and all of them together have one."""

from __future__ import annotations

from typing import Any

from imageport.limits import Limits


def deadlines(limits: Limits) -> dict[str, Any]:
    """Return the tree of deadlines: what is inside of a part ends with it at the latest.

    All numbers are seconds, but for ``minimum_rate`` in bytes a second; None is no deadline.
    """
    return {
        "import": {
            "in_all": limits.import_deadline,
            "download": {
                "each_try": limits.download_deadline,
                "connecting": limits.connect_timeout,
                "silence": limits.read_timeout,
                "minimum_rate": limits.minimum_rate,
            },
            "conversion": {"each": limits.conversion_deadline},
            "store": {"standstill": limits.store_patience},
        }
    }
