"""The lines of a checksum list, within limits on their number and length, and without characters that deceive."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from imageport import LimitExceeded, VerificationFailed

#: Lines of the longest list, which may have a comment for each entry.
MOST_LINES: Final = 250_000

#: Characters of the longest line: a path of Linux has 4,096 bytes, and each may be escaped.
LONGEST_LINE: Final = 10_000

#: Characters that turn the direction of text around (Unicode Bidi_Control), so that a name looks like another.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Categories of control characters and of separators of lines and paragraphs.
_UNSAFE: Final = frozenset({"Cc", "Zl", "Zp"})
#: Texts that look like a digest to people: 32 hexadecimal digits, maybe in groups.
_LOOKS_LIKE_DIGEST = re.compile(r"[0-9A-Fa-f](?: ?[0-9A-Fa-f]){31}")

Lines = Sequence[tuple[int, str]]


def list_lines(text: str, origin: str) -> list[tuple[int, str]]:
    """Return the lines of *text* with their numbers, cut at line feeds alone, without the signature."""
    if text.count("\n") >= MOST_LINES:
        raise too_long(f"{MOST_LINES} lines", origin)
    lines = [(number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1)]
    for number, line in lines:
        if len(line) > LONGEST_LINE:
            raise LimitExceeded(
                f"line {number} of {origin} has more than {LONGEST_LINE} characters",
                hint="check that this is the checksum list, and not another file",
            )
    # A clear-signed list that is not verified (RFC 9580, section 7): headers, an empty line, the text, the signature.
    if lines[0][1].rstrip() != "-----BEGIN PGP SIGNED MESSAGE-----":
        return lines
    head = next((index for index, (_, line) in enumerate(lines) if not line.strip()), len(lines))
    end = next(
        (index for index, (_, line) in enumerate(lines) if line.rstrip() == "-----BEGIN PGP SIGNATURE-----"),
        len(lines),
    )
    return [(number, line.removeprefix("- ")) for number, line in lines[head:end]]


def too_long(limit: str, origin: str) -> LimitExceeded:
    """Return the error for a list with more than *limit*."""
    return LimitExceeded(
        f"{origin} has more than {limit}", hint="use a list of fewer files, or give the digest itself"
    )


def require_safe_name(number: int, name: str, origin: str, *, escaped: bool) -> None:
    """Raise ``VerificationFailed`` when *name*, in line *number*, has a character that can forge another line.

    *escaped* line feeds are part of the name.
    """
    for letter in name:
        is_escaped = escaped and letter in "\n\r"
        if letter in _BIDI or (unicodedata.category(letter) in _UNSAFE and letter != "\t" and not is_escaped):
            raise VerificationFailed(
                f"line {number} of {origin} has a file name with the character U+{ord(letter):04X}, "
                f"which can make one line look like two: {name!a:.200}",
                hint="give the digest itself, or ask the publisher for a list without this name",
            )


def digest_like(text: str) -> str:
    """Return the first line of *text* that looks like one with a digest, with its number, or nothing."""
    for number, line in enumerate(text.split("\n"), 1):
        if _LOOKS_LIKE_DIGEST.search(line[:LONGEST_LINE]):
            return f"line {number}, {line.strip()[:200]!a}"
    return ""
