"""Published checksums: one digest, or a list of them in any of the usual notations."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from imageport import VerificationFailed

#: Algorithms by the length of their hexadecimal digests, for lists that do not name one; the best comes last.
_BY_LENGTH = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_STRENGTH = list(_BY_LENGTH.values())

_HEX = r"(?P<digest>[0-9a-fA-F]{32,128})"
_NOTATIONS = tuple(
    re.compile(notation)
    for notation in (
        # BSD, sha256sum --tag, openssl dgst
        rf"(?P<algorithm>[A-Za-z0-9/_-]+) ?\((?P<name>.+)\) ?= ?{_HEX}",
        # coreutils, or a digest alone
        rf"(?:(?P<algorithm>[A-Za-z0-9/_-]+):)?{_HEX}(?:[ \t]+\*?(?P<name>.+))?",
    )
)
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest with its algorithm, a name of ``hashlib``; ``value`` is hexadecimal in lower case."""

    algorithm: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:<hexadecimal>``, or a bare digest whose length tells the algorithm.

        Raises ``ValueError``.
        """
        name, _, value = text.strip().rpartition(":")
        return cls.of(name or None, value)

    @classmethod
    def of(cls, algorithm: str | None, value: str) -> Digest:
        """Return the digest *value* of *algorithm* in any spelling. Raises ``ValueError`` on a misfit."""
        if not re.fullmatch("[0-9a-fA-F]+", value):
            raise ValueError(f"'{value}' is no digest: it must be hexadecimal")
        name = _BY_LENGTH.get(len(value)) if algorithm is None else _hashlib_name(algorithm)
        if name is None:
            raise ValueError(
                f"no algorithm is known for '{algorithm or value}'; write for instance sha256:<digest>"
            )
        length = hashlib.new(name, usedforsecurity=False).digest_size * 2
        if len(value) != length:
            raise ValueError(f"a {name} digest has {length} hexadecimal digits, not {len(value)}")
        return cls(name, value.lower())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: Digest
    name: str | None


def find_digest(text: str, filename: str | None, *, origin: str) -> Digest:
    """Return the best digest that the checksum list *text*, found at *origin*, has for *filename*.

    A digest without a name is good for every file, if it is the only one. Without *filename* the list must be
    about one file. Raises ``VerificationFailed`` when there is no digest, or more than one answer.
    """
    entries = list(_entries(text))
    if not entries:
        raise VerificationFailed(
            f"{origin} holds no checksums",
            hint="check that the url is that of a checksum file, such as SHA256SUMS",
        )
    named = sorted({entry.name for entry in entries if entry.name is not None})
    if not named:
        return _strongest(entries, f"{origin} has several digests and no file names")
    if filename is None:
        if len(named) > 1:
            raise VerificationFailed(
                f"{origin} is about {len(named)} files: {_some(named)}",
                hint="say which one with the option filename",
            )
        return _strongest(entries, f"{origin} has several digests for {named[0]!a}")
    exact = [entry for entry in entries if entry.name == filename]
    matching = exact or [entry for entry in entries if entry.name and _ends_with(entry.name, filename)]
    if not matching:
        near = difflib.get_close_matches(filename, named, n=3, cutoff=0)
        raise VerificationFailed(
            f"{origin} has no checksum for {filename!a}; the nearest names are {_some(near)}",
            hint="name the file as the list does, with the option filename of the step checksum",
        )
    return _strongest(matching, f"{origin} has several digests for {filename!a}")


def _entries(text: str) -> Iterator[_Entry]:
    # A clear-signed list (RFC 9580, section 7) ends with its signature, and has lines escaped by "- ".
    for raw in text.partition("-----BEGIN PGP SIGNATURE-----")[0].splitlines():
        line = raw.removeprefix("- ").strip()
        escaped = line.startswith("\\")
        for notation in _NOTATIONS:
            found = notation.fullmatch(line.removeprefix("\\"))
            if found:
                name = found["name"]
                if name and escaped:
                    name = re.sub(r"\\[\\nr]", lambda escape: _ESCAPES[escape[0]], name)
                try:
                    yield _Entry(Digest.of(found["algorithm"], found["digest"]), name)
                except ValueError:
                    continue
                break


def _strongest(entries: Iterable[_Entry], ambiguity: str) -> Digest:
    digests = {entry.digest for entry in entries}
    best = max(map(_strength, digests))
    answers = [digest for digest in digests if _strength(digest) == best]
    if len(answers) > 1:
        raise VerificationFailed(
            f"{ambiguity}: {_some(sorted(map(str, answers)))}",
            hint="give the digest itself, or the path of the file as the list writes it",
        )
    return answers[0]


def _strength(digest: Digest) -> tuple[int, str]:
    known = digest.algorithm in _STRENGTH
    return (_STRENGTH.index(digest.algorithm) if known else -1, digest.algorithm)


def _ends_with(path: str, filename: str) -> bool:
    wanted = PurePosixPath(filename).parts
    return PurePosixPath(path).parts[-len(wanted) :] == wanted


def _some(names: list[str]) -> str:
    shown = ", ".join(ascii(name[:200]) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _hashlib_name(spelling: str) -> str | None:
    """Return the name that ``hashlib`` has for ``SHA-256``, ``SHA2-256``, ``sha3-512`` or ``BLAKE2B-512``."""
    name = spelling.lower().replace("sha2-", "sha").replace("/", "_")
    name = {"blake2b-512": "blake2b", "blake2s-256": "blake2s"}.get(name, name)
    for candidate in (name, name.replace("-", "_"), name.replace("-", "").replace("_", "")):
        # The digests of the shake algorithms have no length of their own.
        if candidate in hashlib.algorithms_available and not candidate.startswith("shake"):
            return candidate
    return None
