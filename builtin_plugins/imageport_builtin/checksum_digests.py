"""Digests and their algorithms, in the spellings that publishers use."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

#: The algorithm of a digest that is written without one, by its number of hexadecimal digits.
BY_LENGTH: Final = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}

#: Algorithms for which other bytes with the same digest can be made.
WEAK: Final = frozenset({"md4", "md5", "md5-sha1", "sha1"})

#: Names that publishers give algorithms; the last groups are those that hashlib lacks, which lists name all the same.
_WORD: Final = re.compile(
    r"(?<![a-z0-9])"
    r"(md5|sha-?1|sha2?[-_]?(?:224|256|384|512)(?:[-_/t](?:224|256))?|sha3(?:[-_]?(?:224|256|384|512))?"
    r"|blake2(?:[bs]p?(?:-?\d+)?)?|b2|sm3|blake3|b3|whirlpool|ripemd[-_]?160|rmd[-_]?160|tiger|streebog|skein)"
    r"(?:sums?)?(?![a-z0-9])",
    re.IGNORECASE,
)
#: Why the algorithm of a digest is not known.
UNCLEAR: Final = "128 hexadecimal digits are sha512 or blake2b, and the list does not name the algorithm"
_SHORT: Final = {"b2": "blake2b", "blake2": "blake2b", "blake2b512": "blake2b", "blake2s256": "blake2s"}


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest with its algorithm, a name of ``hashlib``; ``value`` is hexadecimal in lower case."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<hexadecimal>``, ``sha256-<base64>`` (W3C Subresource Integrity), or a bare hexadecimal digest.

        The length of a bare digest decides its algorithm, see ``BY_LENGTH``. Raises ``ValueError``.
        """
        text = text.strip()
        name, colon, value = text.rpartition(":")
        if not colon and "-" in text:
            name, _, value = text.partition("-")
        return cls.of(name or None, value.strip())

    @classmethod
    def of(cls, algorithm: str | None, value: str) -> Digest:
        """Return the digest *value* of *algorithm* in any spelling, in hexadecimal or, with an algorithm, in base64.

        Raises ``ValueError`` when they do not fit each other.
        """
        hexadecimal = re.fullmatch("[0-9a-fA-F]+", value)
        name = BY_LENGTH.get(len(value)) if algorithm is None else algorithm_named(algorithm)
        if algorithm is None and not hexadecimal:
            raise ValueError(f"'{value}' is not a digest: it must be hexadecimal")
        if name is None:
            raise ValueError(
                f"no algorithm is known for '{algorithm or value}'; write for instance sha256:<digest>"
            )
        digits = digits_of(name)
        if not (hexadecimal and len(value) == digits):
            value = _from_base64(value, digits) or value
        if not re.fullmatch("[0-9a-fA-F]+", value):
            raise ValueError(f"'{value}' is not a digest: it must be hexadecimal")
        if len(value) != digits:
            raise ValueError(f"a {name} digest has {digits} hexadecimal digits, not {len(value)}")
        return cls(name, value.lower())

    @property
    def strength(self) -> tuple[bool, int, bool]:
        """A key that sorts digests from the weakest to the strongest; of equals, SHA-2 comes last."""
        name = self.algorithm
        return name not in WEAK, digits_of(name) or 0, BY_LENGTH.get(digits_of(name) or 0) == name

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@cache
def algorithm_named(spelling: str) -> str | None:
    """Return the name that ``hashlib`` has for ``SHA-256``, ``SHA2-256``, ``sha3-512`` or ``BLAKE2B-512``, or None."""
    name = spelling.lower().replace("sha2-", "sha").replace("sha512t", "sha512-").replace("/", "_")
    name = _SHORT.get(name.replace("-", ""), name)
    for candidate in (name, name.replace("-", "_"), name.replace("-", "").replace("_", "")):
        # The digests of the shake algorithms have no fixed length.
        if candidate in hashlib.algorithms_available and not candidate.startswith("shake"):
            return candidate if digits_of(candidate) else None
    return None


def algorithms_in(text: str) -> list[str]:
    """Return the algorithms that *text* names, in their order and as it spells them, without ``sum`` or ``sums``."""
    return _WORD.findall(text)


def without_algorithms(text: str) -> str:
    """Return *text* without the names that ``algorithms_in`` finds in it."""
    return _WORD.sub("", text)


def algorithm_of(digits: int, named: Iterable[str | None]) -> str:
    """Return the algorithm of a digest of *digits* hexadecimal digits that is written without one.

    *named* are the algorithms that its surroundings name, the nearest first. One that does not fit the length counts
    for nothing if it is of the family of ``BY_LENGTH``, in which the length decides. Raises ``ValueError`` when the
    algorithm is not supported, or when the length is ambiguous: 128 digits are sha512 or blake2b.
    """
    for word in filter(None, named):
        for spelling in (word, f"{word}-{digits * 4}"):
            name = algorithm_named(spelling)
            if name is not None and digits_of(name) == digits:
                return name
        if algorithm_named(word) not in BY_LENGTH.values():
            raise ValueError(f"{_SHORT.get(word.lower(), word)} with {digits * 4} bits is not supported")
    if BY_LENGTH[digits] == "sha512":
        raise ValueError(UNCLEAR)
    return BY_LENGTH[digits]


@cache
def digits_of(algorithm: str) -> int | None:
    """Return how many hexadecimal digits a digest of *algorithm* has, or None when hashlib cannot compute it here."""
    try:
        return hashlib.new(algorithm, usedforsecurity=False).digest_size * 2
    except ValueError:
        return None


def _from_base64(text: str, digits: int | None) -> str | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value.hex() if len(value) * 2 == digits else None
