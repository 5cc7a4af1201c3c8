"""Deliberate differences from Glance: the one table, in ``differences.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from tests.glance.cases import COMPARED, Outcome

#: By case, and then by the differing fact: the value of Glance, and the value of Imageport.
Differences = dict[str, dict[str, list[str]]]

_FILE = Path(__file__).with_name("differences.yaml")


def known_differences() -> Differences:
    """Return the differences that are meant to be, for all reasons together."""
    known: Differences = {}
    reasons: list[dict[str, Any]] = YAML(typ="safe").load(_FILE)
    for reason in reasons:
        for title, fields in reason["cases"].items():
            for field, pair in fields.items():
                assert field not in known.get(title, {}), f"{title}, {field}: in the table twice"
                known.setdefault(title, {})[field] = pair
    return known


def differences_between(glance: Outcome, imageport: Outcome) -> dict[str, list[str]]:
    """Return what differs, in the words of the table."""
    different = [field for field in COMPARED if glance[field] != imageport[field]]
    return {field: _pair(glance[field], imageport[field]) for field in different}


def _pair(glance: Any, imageport: Any) -> list[str]:
    pair = [_shown(glance), _shown(imageport)]
    return pair if pair[0] != pair[1] else [pair[0], f"another {pair[1]}"]


def _shown(value: Any) -> str:
    """Return *value* in words; sizes and digests change with the tools that make the images, so they are only named."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, (list, dict)):
        return ", ".join(sorted(value))
    if isinstance(value, int):
        return "its size" if value else "0"
    text = str(value)
    return "a digest" if len(text) in (32, 128) else text
