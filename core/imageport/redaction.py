"""Replacement of secrets in texts, records and problems."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imageport.errors import Problem
from imageport.text import map_texts

if TYPE_CHECKING:
    from imageport.values import ImageRecord

#: Shorter secrets are not hidden: they would blank out half of every message.
MIN_SECRET_LENGTH = 4

_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


def redact(text: str, secrets: Collection[str]) -> str:
    """Return *text* with each of *secrets* replaced by ``***``."""
    # Messages may write a secret of several lines in one, so each of its lines counts by itself, or escaped in a url.
    pieces = {piece for secret in secrets for piece in (secret, *secret.splitlines())}
    pieces |= {quote(piece, safe=safe, errors="replace") for piece in pieces for safe in ("", _PRINTABLE)}
    # The longest first: a secret may be part of another one.
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= MIN_SECRET_LENGTH:
            text = text.replace(piece, "***")
    return text


def redact_tree(tree: Any, secrets: Collection[str]) -> Any:
    """Return *tree*, made of mappings, lists and plain values, with each of *secrets* replaced in its strings."""
    return map_texts(tree, lambda text: redact(text, secrets))


def redact_record(record: ImageRecord, secrets: Collection[str]) -> ImageRecord:
    """Return *record* with each of *secrets* replaced in the texts from users, plugins and stores."""
    return record.evolve(
        name=redact_tree(record.name, secrets),
        tags=tuple(redact_tree(record.tags, secrets)),
        properties=redact_tree(record.properties, secrets),
        locations=tuple(
            replace(
                location,
                url=redact(location.url, secrets),
                metadata=redact_tree(location.metadata, secrets),
            )
            for location in record.locations
        ),
    )


def redact_problems(problems: Iterable[Problem], secrets: Collection[str]) -> list[Problem]:
    """Return *problems* with each of *secrets* replaced by ``***`` in their messages."""
    return [replace(problem, message=redact(problem.message, secrets)) for problem in problems]
