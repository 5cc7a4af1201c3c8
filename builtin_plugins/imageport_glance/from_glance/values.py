"""Read the values of options by the rules of oslo.config."""

from __future__ import annotations

import hashlib
import re

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_LONGEST_NAME = 255
_NO_LIMIT = 1_000_000
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_QUOTA = re.compile(r"(\d{1,18})([KMGT]?)B?")


def text(value: str) -> str:
    """Return *value* as it is. Raises ``ValueError`` when nothing is there."""
    if not value:
        raise ValueError("the value is empty")
    return value


def words(value: str) -> list[str]:
    """Return the items of a list, written with or without brackets, and with or without quotes."""
    inner = value.strip().rstrip(",")
    if inner.startswith("[") != inner.endswith("]"):
        raise ValueError("a list is written [one, two]")
    inner = inner.removeprefix("[").removesuffix("]")
    return [word for item in inner.split(",") if (word := unquoted(item.strip()))]


def pairs(value: str) -> dict[str, str]:
    """Return the names and values of ``name:value,name:value``; a value may hold colons but no comma."""
    found = {}
    for pair in filter(None, value.strip().removesuffix(",").split(",")):
        name, colon, content = pair.partition(":")
        if not colon or not name.strip(" \"'") or len(name) > _LONGEST_NAME:
            raise ValueError(
                f"'{pair.strip():.40}' is not name:value with a name of at most {_LONGEST_NAME} characters"
            )
        found[name.strip()] = content.strip()
    return found


def switch(value: str) -> bool:
    """Return the truth value that is written."""
    word = value.strip().casefold()
    if word not in _TRUE | _FALSE:
        raise ValueError(f"'{value}' is neither true nor false")
    return word in _TRUE


def number(value: str) -> int:
    """Return the natural number that is written."""
    if not re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
        raise ValueError(f"'{value:.40}' is not a number")
    return int(value)


def limit(value: str) -> int:
    """Return a number that, in Glance, means no limit when it is negative; here it is then one that is out of reach."""
    return _NO_LIMIT if value.strip().startswith("-") else number(value)


def ports(value: str) -> list[int]:
    """Return a list of ports."""
    found = [number(word) for word in words(value)]
    if any(not 1 <= port <= 65535 for port in found):
        raise ValueError("a port is a number from 1 to 65535")
    return found


def size(value: str) -> str:
    """Return a number of bytes as people write it in YAML: ``512 GiB``."""
    return _binary(number(value))


def quota(value: str) -> str:
    """Return a quota such as ``10GB`` in the same way; Glance counts in powers of 1024."""
    found = _QUOTA.fullmatch(value.strip())
    if not found:
        raise ValueError(f"'{value:.40}' is not a quota; write for instance 10GB")
    return _binary(int(found[1]) << 10 * " KMGT".index(found[2] or " "))


def _binary(count: int) -> str:
    unit = 0
    while count and count % 1024 == 0 and unit < len(_UNITS) - 1:
        count, unit = count // 1024, unit + 1
    return f"{count} {_UNITS[unit]}"


def digest(value: str) -> str:
    """Return the name of a digest of fixed length that hashlib knows."""
    if value not in hashlib.algorithms_available or hashlib.new(value).digest_size == 0:
        raise ValueError(f"'{value:.40}' is not a digest of fixed length in hashlib")
    return value


def unquoted(value: str) -> str:
    """Return *value* without the quotes around it."""
    return value[1:-1] if len(value) > 1 and value[0] in "\"'" and value[0] == value[-1] else value
