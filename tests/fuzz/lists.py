"""Fuzz the reader of checksum lists against the programs of coreutils that check them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.case import Case, Outcome, run
from tests.fuzz.mutation import mutated

from imageport import VerificationFailed
from imageport_builtin.checksum_lists import find_digest

_NAME = "disk.raw"
_CONTENT = b"the disk\n"
_PROGRAMS = {"sha256": "sha256sum", "sha512": "sha512sum", "sha1": "sha1sum", "md5": "md5sum"}
_NAMES = (
    _NAME,
    _NAME,
    "other.raw",
    "d/disk.raw",
    "./disk.raw",
    "disk.raw.gz",
    "a disk.raw",
    "DISK.RAW",
    "*disk.raw",
)
_SEPARATORS = (
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\r",
    " ",
    "\n\n",
)


class Lists:
    """Lists in the notations of coreutils and BSD, with names and separators that deceive.

    The content of a case is the digest that is found. Only lists of one file of the name are comparable: for coreutils
    a list may have several digests for one file.
    """

    name = "list"

    def __init__(self, work: Path) -> None:
        """Need no folder."""

    def make(self, chance: random.Random) -> Case:
        algorithm = chance.choice(list(_PROGRAMS))
        lines = [_line(chance, algorithm) for _ in range(chance.choice((1, 1, 2, 3)))]
        text = chance.choice(_SEPARATORS).join(lines) + chance.choice(("\n", "", "\n\n"))
        data = text.encode()
        return Case(data if chance.random() < 0.6 else mutated(chance, data, most=2))

    def ours(self, case: Case) -> Outcome:
        try:
            found = find_digest(case.data.decode("utf-8", "surrogateescape"), _NAME, origin="the list")
        except VerificationFailed as error:
            assert error.message.isprintable(), repr(error.message)
            assert error.hint
            return Outcome(None, error.message)
        return Outcome(f"{found.algorithm}:{found.value}".encode())

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        """Yield the digest of the file where the program that knows the algorithm finds that in the list."""
        (folder / "LIST").write_bytes(case.data)
        (folder / _NAME).write_bytes(_CONTENT)
        for algorithm, program in _PROGRAMS.items():
            output = run(["sh", "-c", f"{program} --check LIST; true"], folder).content or b""
            right, wrong = (f"{_NAME}: {word}".encode() in output.splitlines() for word in ("OK", "FAILED"))
            if right and not wrong:
                yield program, Outcome(f"{algorithm}:{hashlib.new(algorithm, _CONTENT).hexdigest()}".encode())
            elif wrong and not right:
                yield program, Outcome(None, "another digest")

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        """Compare with the program of the same algorithm, and digests of the file with digests of the file."""
        found = self.ours(case).content or b""
        algorithm, _, value = found.decode().partition(":")
        if _PROGRAMS.get(algorithm) != program:
            return True
        right = value == hashlib.new(algorithm, _CONTENT).hexdigest()
        return not right and outcome.content is None


def _line(chance: random.Random, algorithm: str) -> str:
    right = chance.random() < 0.5
    value = hashlib.new(algorithm, _CONTENT if right else chance.randbytes(5)).hexdigest()
    name = chance.choice(_NAMES)
    if chance.random() < 0.1:
        name = f"{name}{chance.choice(_SEPARATORS)}{value}  {_NAME}"
    if chance.random() < 0.1:
        value = chance.choice(
            (value.upper(), value[:-1], value + "0", "\\" + value, " " + value, "0x" + value)
        )
    return chance.choice(
        (
            f"{value}  {name}",
            f"{value} *{name}",
            f"{value} {name}",
            f"{value}\t{name}",
            f"{algorithm.upper()} ({name}) = {value}",
            f"{algorithm.upper()}({name})= {value}",
            f"# {value}  {name}",
            f"{value}",
            "text",
        )
    )
