"""Checks of the names and values that a caller gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from imageport.errors import UsageError
from imageport.text import did_you_mean
from imageport.values import MAX_NAME, MAX_VALUE, Caller

# The command line makes lone surrogates of bytes that are not UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def require_caller(caller: Caller) -> None:
    """Raise ``UsageError`` unless every database can keep the names of the caller."""
    require_text("user", caller.user)
    require_text("project", caller.project)
    for role in caller.roles:
        require_text("role", role)


def require_text(what: str, given: str | None, *, most: int = MAX_NAME) -> None:
    """Raise ``UsageError`` unless *given* is None or text of at most *most* characters that every database can keep."""
    if given is None:
        return
    if len(given) > most:
        raise UsageError(
            f"{what} '{given[:40]}...' has {len(given)} characters", hint=f"give at most {most} characters"
        )
    if _NO_TEXT.search(given):
        raise UsageError(f"{what} {given!a} is not text", hint="write it in UTF-8, without null characters")


def require_property_texts(properties: Mapping[str, str | None]) -> None:
    """Raise ``UsageError`` unless every database can keep the names and values."""
    for name, value in properties.items():
        require_text("property", name)
        require_text("property", value, most=MAX_VALUE)


def require_not_negative(what: str, given: int | None) -> None:
    """Raise ``UsageError`` when *given* is a number below zero."""
    if given is not None and given < 0:
        raise UsageError(f"{what} is {given}", hint="give a number that is not below zero")


def require_known(what: str, given: str | None, known: Sequence[str]) -> None:
    """Raise ``UsageError`` unless *given* is None or one of *known*."""
    if given is not None and given not in known:
        raise UsageError(
            f"unknown {what} '{given}'{did_you_mean(given, known)}", hint=f"known are: {', '.join(known)}"
        )
