"""The secrets among the options of a plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr


def secret_options(options: Any) -> Iterator[str]:
    """Yield the values of type ``SecretStr`` and ``SecretBytes`` in the *options* of a plugin, at any depth."""
    match options:
        case SecretStr():
            yield options.get_secret_value()
        case SecretBytes():
            yield options.get_secret_value().decode(errors="replace")
        case BaseModel():
            for _, value in options:
                yield from secret_options(value)
        case Mapping():
            for value in options.values():
                yield from secret_options(value)
        case list() | tuple() | set() | frozenset():
            for value in options:
                yield from secret_options(value)
