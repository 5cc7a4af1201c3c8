"""Read the description and the manifest of a virtual appliance: an .ova is a tar archive with an .ovf first.

Source: Open Virtualization Format Specification (DMTF DSP0243), sections 6.2 and 7.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from xml.parsers import expat

from imageport import Chunks, Context, VerificationFailed
from imageport_builtin.unpacking.members import is_disk, printable

#: Bytes that a description or a manifest may have.
LARGEST_DOCUMENT = 4 << 20

_DESCRIPTION, _MANIFEST = ".ovf", ".mf"
_LINE = re.compile(r"(SHA(?:1|224|256|384|512)) *\((.+)\) *= *([0-9A-Fa-f]+)")


def is_description(name: str) -> bool:
    """Return whether a member called *name* describes an appliance."""
    return name.lower().endswith(_DESCRIPTION)


def is_manifest(name: str) -> bool:
    """Return whether a member called *name* has the digests of an appliance."""
    return name.lower().endswith(_MANIFEST)


class Appliance:
    """The disks of an appliance by its *description* and its manifest.

    ``disks`` are their names, empty when the description has none that can be read.
    """

    def __init__(self, description: bytes) -> None:
        self.disks = _disks(description)
        self._expected: list[tuple[str, str, str]] | None = None
        self._found: dict[str, str] = {}
        self._name = ""

    def is_disk(self, name: str) -> bool:
        """Return whether the member called *name* is one of the disks."""
        return _plain(name) in self.disks if self.disks else is_disk(name)

    def read_manifest(self, content: bytes) -> None:
        """Take in the manifest, which stands before or behind the disks."""
        lines = content.decode("utf-8", "replace").split("\n")
        matches = [match for line in lines if (match := _LINE.fullmatch(line.strip()))]
        self._expected = [(match[1].lower(), _plain(match[2]), match[3].lower()) for match in matches]

    def digested(self, name: str, chunks: Chunks) -> Chunks:
        """Pass on *chunks*, the bytes of the member called *name*, and compute the digests that ``check`` needs."""
        self._name = _plain(name)
        digests = {
            algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in self._algorithms()
        }
        for piece in chunks:
            for digest in digests.values():
                digest.update(piece)
            yield piece
        self._found = {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}

    def verify(self, ctx: Context) -> None:
        """Compare the digests of the members read with the manifest.

        Raises ``VerificationFailed`` on a difference; a manifest that lacks the member, or no manifest, is none.
        """
        for algorithm, name, expected in self._expected or []:
            if name != self._name:
                continue
            found = self._found[algorithm]
            ctx.check(f"manifest {algorithm}", passed=found == expected)
            if found != expected:
                raise VerificationFailed(
                    f"tar: the {algorithm} of {printable(name)} is {found}, but the manifest of the appliance has "
                    f"{expected}",
                    hint="fetch the appliance again, and compare its checksum with the publisher's; "
                    "'verify_manifest: false' of this step imports it all the same",
                )

    def _algorithms(self) -> set[str]:
        """Return the digests of the manifest, or all that it may have when it is still to come."""
        if self._expected is None:
            return {"sha1", "sha256", "sha512", "sha224", "sha384"}
        return {algorithm for algorithm, name, _ in self._expected if name == self._name}


def _disks(description: bytes) -> tuple[str, ...]:
    """Return the names of the files that the disks of a *description* refer to, in its order."""
    files: dict[str, str] = {}
    disks: list[str] = []
    try:
        for element, attributes in _elements(description):
            if element == "File":
                files[attributes.get("id", "")] = attributes.get("href", "")
            elif element == "Disk" and "fileRef" in attributes:
                disks.append(attributes["fileRef"])
    except expat.ExpatError:
        return ()
    return tuple(dict.fromkeys(_plain(files[disk]) for disk in disks if files.get(disk)))


def _elements(text: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the elements of an XML *text* and their attributes, without prefixes. Raises ``ExpatError``."""
    found: list[tuple[str, dict[str, str]]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        found.append((_local(name), {_local(key): value for key, value in attributes.items()}))

    def refuse(*_: object) -> None:
        # Entities are for attacks; no program writes them here.
        raise expat.ExpatError("a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)
    yield from found


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _plain(name: str) -> str:
    return name.removeprefix("./")
