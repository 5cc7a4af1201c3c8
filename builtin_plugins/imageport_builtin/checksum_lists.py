"""The digest that a checksum list has for a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from imageport import VerificationFailed
from imageport.text import printable
from imageport_builtin.checksum_digests import UNCLEAR, WEAK, Digest
from imageport_builtin.checksum_lines import digest_like
from imageport_builtin.checksum_names import (
    ends_with,
    entries_about,
    is_packed,
    last_part,
    loose_path,
    nearest,
    unpacked_name,
)
from imageport_builtin.checksum_notations import NOTATIONS, Entry, read_entries


@dataclass(frozen=True, slots=True)
class OptionNames:
    """The names of the options of a plugin that select a digest, for hints."""

    plugin: str
    url: str
    filename: str
    algorithm: str


#: The options of the step ``checksum``.
STEP_OPTIONS: Final = OptionNames("the step checksum", "url", "filename", "algorithm")


@dataclass(frozen=True, slots=True)
class Expected:
    """A digest that a file should have.

    ``place`` is where it is written, for messages: ``line 3 of https://example.org/SHA256SUMS``; nothing when a user
    gave the digest itself. ``name`` is that of the file there, and ``names`` are those of the other digests there.
    """

    digest: Digest
    place: str = ""
    name: str | None = None
    names: Mapping[Digest, str] = field(default_factory=dict, repr=False)

    @property
    def algorithm(self) -> str:
        """The algorithm, a name of ``hashlib``."""
        return self.digest.algorithm

    @property
    def value(self) -> str:
        """The digest in hexadecimal, lower case."""
        return self.digest.value


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file that is looked up in a list.

    ``filename`` is the name of the file, or the end of its path; without one, the list must be about one file.
    ``path`` is the whole path of the file on its server, and ``beside`` that from the folder of the list, if the file
    is below that folder: they distinguish files of one name in several folders. Only digests of ``algorithm`` count, if
    it is set, and, for ``signed`` lists, none that can be forged.
    """

    filename: str | None = None
    path: str | None = None
    beside: str | None = None
    algorithm: str | None = None
    signed: bool = False


def find_digest(
    text: str, wanted: Wanted | str | None, *, origin: str, options: OptionNames = STEP_OPTIONS
) -> Expected:
    """Return the digest that the checksum list *text*, found at *origin*, has for *wanted*, or for a file of that name.

    A digest without a name is good for every file, if no other has a name. Of several algorithms the strongest is
    taken that the list uses for other files as well. Raises ``VerificationFailed`` when there is no digest, or more
    than one answer, and the errors of ``read_entries``. *options* are named in hints.
    """
    wanted = wanted if isinstance(wanted, Wanted) else Wanted(wanted)
    entries = read_entries(text, origin=origin, algorithm=wanted.algorithm)
    if not entries:
        raise _unread(text, origin)
    lookup = _Lookup(entries, wanted, origin, options)
    return lookup.choose(lookup.matching())


@dataclass(frozen=True, slots=True)
class _Lookup:
    entries: Sequence[Entry]
    wanted: Wanted
    origin: str
    options: OptionNames

    def matching(self) -> list[Entry]:
        """Return the entries about the wanted file. Raises ``VerificationFailed`` unless it is clear which they are."""
        named = [entry for entry in self.entries if entry.name is not None]
        if not named:
            return list(self.entries)
        names = sorted({entry.name for entry in named if entry.name is not None})
        filename = self.wanted.filename
        if filename is None:
            if len(names) > 1:
                raise VerificationFailed(
                    f"{self.origin} is about {len(names)} files: {_some(names)}",
                    hint=f"name the file with the option {self.options.filename} of {self.options.plugin}",
                )
            return named
        if found := entries_about(filename, self.wanted.beside, named):
            return self._in_one_folder(found)
        raise self._unlisted(filename, named)

    def choose(self, entries: Sequence[Entry]) -> Expected:
        """Return the digest to compare with, of *entries* that are all about the wanted file."""
        subject = f" for {self.wanted.filename or entries[0].name!a}" if entries[0].name is not None else ""
        usable = {entry.digest: entry for entry in reversed(entries) if entry.digest is not None}
        if self.wanted.algorithm is not None:
            usable = {
                digest: entry for digest, entry in usable.items() if digest.algorithm == self.wanted.algorithm
            }
        if not usable:
            raise self._unusable(entries, subject)
        if self.wanted.signed and all(digest.algorithm in WEAK for digest in usable):
            raise VerificationFailed(
                f"{self.origin} is signed, but has only the {max(usable, key=_strength).algorithm} of the image, "
                "which can be forged",
                hint="ask the publisher for a list of sha256 or sha512",
            )
        if self.wanted.signed:
            usable = {digest: entry for digest, entry in usable.items() if digest.algorithm not in WEAK}
        # One digest in an algorithm that no other file of the list has is not how publishers write lists.
        own = {id(entry) for entry in entries}
        usual = {entry.digest.algorithm for entry in self.entries if entry.digest and id(entry) not in own}
        usable = {digest: entry for digest, entry in usable.items() if digest.algorithm in usual} or usable
        best = max(map(_strength, usable))
        answers = [digest for digest in usable if _strength(digest) == best]
        if len(answers) > 1:
            about = subject or " and no file names"
            raise VerificationFailed(
                f"{self.origin} has several digests{about}: {_some(sorted(map(str, answers)))}",
                hint="give the digest itself, or ask the publisher which one is right",
            )
        if len(answers[0].value) == 128 and any(entry.problem == UNCLEAR for entry in entries):
            raise VerificationFailed(
                f"{self.origin} has several digests{subject}, and {UNCLEAR.split(',')[0]} in one of them",
                hint=f"name the right one with the option {self.options.algorithm} of {self.options.plugin}",
            )
        entry = usable[answers[0]]
        others = {
            other.digest: other.name
            for other in self.entries
            if other.digest and other.name is not None and id(other) not in own
        }
        return Expected(answers[0], f"line {entry.line} of {self.origin}", entry.name, others)

    def _in_one_folder(self, found: list[Entry]) -> list[Entry]:
        """Return those of *found* that are about the same file."""
        paths = {loose_path(entry) for entry in found}
        if len(paths) == 1 or len({(entry.digest, entry.problem) for entry in found}) == 1:
            return found
        whole = PurePosixPath(self.wanted.path or "")
        ours = [path for path in paths if ends_with(whole, path)]
        if len(ours) == 1:
            return [entry for entry in found if loose_path(entry) == ours[0]]
        raise VerificationFailed(
            f"{self.origin} has several files called {self.wanted.filename!a}: {_some(sorted(map(str, paths)))}",
            hint=f"name one with its folder, in the option {self.options.filename} of {self.options.plugin}",
        )

    def _unlisted(self, filename: str, named: Sequence[Entry]) -> VerificationFailed:
        names = sorted({entry.name for entry in named if entry.name is not None})
        last = PurePosixPath(filename).name
        unpacked = [name for name in names if last_part(name) == unpacked_name(last)]
        packed = [name for name in names if is_packed(name) and unpacked_name(last_part(name)) == last]
        if is_packed(last) and unpacked:
            instead = "" if self.options == STEP_OPTIONS else f" in place of {self.options.url}"
            hint = (
                f"the list has the digest of the unpacked file: use the step checksum{instead}, below "
                f"image_decompression, with 'filename: {printable(unpacked[0])}'"
            )
        elif packed:
            hint = f"the list has the digest of the packed file: import {packed[0]!a}, or ask for a digest of this one"
        else:
            hint = f"name the file as the list does, with the option {self.options.filename} of {self.options.plugin}"
        near = _some(nearest(filename, names))
        return VerificationFailed(
            f"{self.origin} has no checksum for {filename!a}; the nearest names are {near}", hint=hint
        )

    def _unusable(self, entries: Sequence[Entry], subject: str) -> VerificationFailed:
        option = f"the option {self.options.algorithm} of {self.options.plugin}"
        algorithms = sorted({entry.digest.algorithm for entry in entries if entry.digest})
        if algorithms:
            return VerificationFailed(
                f"{self.origin} has no {self.wanted.algorithm}{subject}, but {_listed(algorithms)}",
                hint=f"name another one with {option}, or leave that out",
            )
        entry = entries[0]
        return VerificationFailed(
            f"the digest in line {entry.line} of {self.origin}{subject} cannot be used: {entry.problem}",
            hint=f"name it with {option}"
            if entry.problem == UNCLEAR
            else "ask the publisher for a list of sha256 or sha512, or give such a digest itself",
        )


def _strength(digest: Digest) -> tuple[bool, int, bool]:
    return digest.strength


def _unread(text: str, origin: str) -> VerificationFailed:
    like = digest_like(text)
    return VerificationFailed(
        f"{origin} holds no checksums" + (f" in a known notation; {like} looks like one" if like else ""),
        hint="check that this is a checksum list, such as SHA256SUMS, or give the digest itself; read are "
        + ", ".join(notation.form for notation in NOTATIONS)
        + " and a digest alone",
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(ascii(name[:200]) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
