"""Find the one image among the members of an archive."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, Literal, TypeVar

from imageport import LimitExceeded, VerificationFailed

#: More members than this are no archive of an image.
MOST_MEMBERS = 10_000

_SHOWN = 5
_LONGEST = 80

HandleT = TypeVar("HandleT")


@dataclass(frozen=True, slots=True)
class Member(Generic[HandleT]):
    """One entry of an archive. The name is for people and patterns; no path is ever made of it."""

    name: str
    kind: Literal["file", "folder", "other"]
    handle: HandleT


def only_image(archive: str, members: Iterable[Member[HandleT]], pattern: str | None) -> Member[HandleT]:
    """Return the one image among *members*: the only file, or the only one that fits *pattern*.

    Raises ``VerificationFailed`` when there is none, when there are several, and for links and devices, and
    ``LimitExceeded`` for more than ``MOST_MEMBERS``.
    """
    names: list[str] = []
    images: list[Member[HandleT]] = []
    for count, member in enumerate(members):
        check_count(archive, count + 1)
        if member.kind != "folder":
            names.append(member.name)
        if may_be_image(archive, member, pattern):
            images.append(member)
    if not images:
        raise no_image(archive, names, pattern)
    if len(images) > 1:
        raise several_images(archive, [image.name for image in images], f"{len(images)} files", pattern)
    return images[0]


def may_be_image(archive: str, member: Member[HandleT], pattern: str | None) -> bool:
    """Tell whether *member* counts as the image; raises ``VerificationFailed`` when it is a link or a device."""
    if member.kind == "folder" or not _fits(member.name, pattern):
        return False
    if member.kind == "other":
        raise VerificationFailed(
            f"{archive}: {printable(member.name)} is a link, a device or the like, not a file",
            hint="pack the image itself",
        )
    return True


def check_count(archive: str, count: int) -> None:
    """Raise ``LimitExceeded`` when an archive with *count* members has too many."""
    if count > MOST_MEMBERS:
        raise LimitExceeded(
            f"{archive}: the archive has more than {MOST_MEMBERS} members", hint="pack exactly one image"
        )


def no_image(archive: str, names: Sequence[str], pattern: str | None) -> VerificationFailed:
    """Return the error for an archive in which nothing is the image."""
    if pattern is None or not names:
        return VerificationFailed(f"{archive}: the archive holds no file", hint="pack exactly one image")
    return VerificationFailed(
        f"{archive}: no file fits member: {printable(pattern)}; the archive holds {_listed(names)}",
        hint="correct the option member of this step",
    )


def several_images(
    archive: str, names: Sequence[str], how_many: str, pattern: str | None
) -> VerificationFailed:
    """Return the error for an archive in which more than one file may be the image."""
    fitting = "" if pattern is None else f" that fit member: {printable(pattern)}"
    return VerificationFailed(
        f"{archive}: the archive holds {how_many}{fitting}: {_listed(names)}",
        hint="pack exactly one image, or choose one with the option member of this step",
    )


def printable(name: str) -> str:
    """Return *name* in quotes, shortened, and without anything that could move a terminal's cursor."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST])
    return f"'{shown}...'" if len(name) > _LONGEST else f"'{shown}'"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name) for name in names[:_SHOWN]) + more


def _fits(name: str, pattern: str | None) -> bool:
    return pattern is None or fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)
