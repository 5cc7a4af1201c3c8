"""Find the one image among the members of an archive."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

from imageport import LimitExceeded, VerificationFailed

#: Archives of an image have at most this many members.
MOST_MEMBERS = 10_000

_SHOWN = 20
_LONGEST = 80

#: Letters of a name that are kept for messages; there may be thousands.
_LONGEST_KEPT = 100

#: How the names of disks in appliances end.
_DISKS = (".vmdk", ".vhd", ".vhdx", ".vdi", ".img", ".raw", ".qcow2", ".qcow")
_DESCRIPTION = ".ovf"

HandleT = TypeVar("HandleT")


@dataclass(frozen=True, slots=True)
class Member(Generic[HandleT]):
    """One entry of an archive. The name is for people and patterns; no path is ever made of it."""

    name: str
    kind: Literal["file", "folder", "other"]
    handle: HandleT


class _Rank(IntEnum):
    """How well a member fits: as the only file there is, but for the case of letters, or exactly."""

    FILE = 1
    WITHOUT_CASE = 2
    EXACT = 3


class Choice(Generic[HandleT]):
    """Chooses the one image in an *archive* from members that come one after the other.

    The image is the only file, the only one that fits *pattern*, or else the only one that does so without regard to
    the case of letters. In an appliance without a pattern, ``is_disk`` selects the files. A file that macOS adds to
    archives (``._NAME``, ``__MACOSX/``, ``.DS_Store``) counts only where the pattern is its very name.
    """

    def __init__(self, archive: str, pattern: str | None) -> None:
        self.is_disk: Callable[[str], bool] | None = None
        self._archive = archive
        self._pattern = pattern
        self._names: list[str] = []
        self._count = 0
        self._rank: _Rank | None = None
        self._best: list[Member[HandleT]] = []

    @property
    def has_pattern(self) -> bool:
        """Whether the user has named the file to choose."""
        return self._pattern is not None

    @property
    def is_final(self) -> bool:
        """Whether no member can fit better than the last one that was the best."""
        return self._rank is _Rank.EXACT

    def offer(self, member: Member[HandleT]) -> bool:
        """Take *member* into account and return whether it fits better than all before.

        Raises ``VerificationFailed`` for a link or a device that fits, and ``LimitExceeded`` for too many members.
        """
        self._count += 1
        check_count(self._archive, self._count)
        if member.kind == "folder":
            return False
        self._names.append(member.name[:_LONGEST_KEPT])
        rank = self._rank_of(member.name)
        if rank is None or (member.kind == "other" and rank is _Rank.FILE):
            return False
        if member.kind == "other":
            raise VerificationFailed(
                f"{self._archive}: {printable(member.name)} is a link, a device or the like, not a file",
                hint="pack the image itself"
                if self.has_pattern
                else "if the archive holds the image too, choose it with the option member of this step; "
                "or pack it alone",
            )
        if self._rank is None or rank > self._rank:
            self._rank, self._best = rank, [member]
            return True
        if rank is self._rank:
            self._best.append(member)
        return False

    def result(self) -> Member[HandleT]:
        """Return the image, once all members were offered. Raises ``VerificationFailed`` unless there is one."""
        if len(self._best) == 1:
            return self._best[0]
        if self._best and (self._pattern is None or self._rank is not _Rank.FILE):
            raise self.several([image.name for image in self._best])
        if not self._names:
            raise VerificationFailed(
                f"{self._archive}: the archive holds no file", hint="pack exactly one image"
            )
        if self._pattern is not None:
            raise VerificationFailed(
                f"{self._archive}: no file fits member: {printable(self._pattern)}; "
                f"the archive holds {_listed(self._names)}",
                hint="correct the option member of this step",
            )
        what = "image" if self.is_disk is None else "disk"
        raise VerificationFailed(
            f"{self._archive}: the archive holds no {what}, but {_listed(self._names)}",
            hint="name the file with the option member of this step if one of them is the image",
        )

    def several(self, names: Sequence[str]) -> VerificationFailed:
        """Return the error for an archive in which any of the files called *names* may be the image."""
        what = "disks" if self.is_disk is not None and all(map(self.is_disk, names)) else "files"
        fitting = "" if self._pattern is None else f" that fit member: {printable(self._pattern)}"
        return VerificationFailed(
            f"{self._archive}: the archive holds {len(names)} {what}{fitting}: {_listed(names)}",
            hint=f"choose one with the option member of this step, for instance member: {_pattern_for(names)}, "
            "or pack exactly one image",
        )

    def _rank_of(self, name: str) -> _Rank | None:
        last = name.rpartition("/")[2]
        if _is_of_macos(name) and self._pattern not in (name, last):
            return None
        if self._pattern is None:
            return _Rank.EXACT if self.is_disk is None or self.is_disk(name) else None
        if _fits(name, self._pattern):
            return _Rank.EXACT
        return _Rank.WITHOUT_CASE if _fits(name.lower(), self._pattern.lower()) else _Rank.FILE


def only_image(archive: str, members: Iterable[Member[HandleT]], pattern: str | None) -> Member[HandleT]:
    """Return the one image among *members*, as ``Choice`` does. Raises ``VerificationFailed`` and ``LimitExceeded``."""
    entries: list[Member[HandleT]] = []
    for member in members:
        entries.append(member)
        check_count(archive, len(entries))
    choice: Choice[HandleT] = Choice(archive, pattern)
    if any(member.name.lower().endswith(_DESCRIPTION) for member in entries):
        choice.is_disk = is_disk
    for member in entries:
        choice.offer(member)
    return choice.result()


def is_disk(name: str) -> bool:
    """Return whether a file called *name* in an appliance is a disk, by its name."""
    return name.lower().endswith(_DISKS)


def check_count(archive: str, count: int) -> None:
    """Raise ``LimitExceeded`` when an archive with *count* members has too many."""
    if count > MOST_MEMBERS:
        raise LimitExceeded(
            f"{archive}: the archive has more than {MOST_MEMBERS} members", hint="pack exactly one image"
        )


def printable(name: str) -> str:
    """Return *name* in quotes, shortened, and without anything that could move a terminal's cursor."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST])
    return f"'{shown}...'" if len(name) > _LONGEST else f"'{shown}'"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name) for name in names[:_SHOWN]) + more


def _pattern_for(names: Sequence[str]) -> str:
    """Return a pattern that fits one of *names* alone: the first that is called like a disk, or else the first."""
    chosen = next(filter(is_disk, names), names[0])
    last = chosen.rpartition("/")[2]
    patterns = (
        f"*{last[last.rfind('-') :]}" if "-" in last else last,
        glob.escape(last),
        glob.escape(chosen),
    )
    alone = [pattern for pattern in patterns if _fitting(names, pattern) == [chosen]]
    return printable((alone or patterns)[0])


def _fitting(names: Sequence[str], pattern: str) -> list[str]:
    return [name for name in names if _fits(name, pattern)]


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)


def _is_of_macos(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last.startswith("._") or last == ".DS_Store" or "__MACOSX" in name.split("/")[:-1]
