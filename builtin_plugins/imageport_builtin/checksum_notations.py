"""The notations of checksum lists, and the entries of a list that is written in one of them.

A list is in one notation: that of ``NOTATIONS`` which explains most of its lines, the first of several that explain
equally many. So no file name decides the meaning of a line: a name can make its own line look like another notation,
but never the lines of the other files. Only where no notation with names explains any line, digests may stand alone.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from imageport import VerificationFailed
from imageport_builtin.checksum_digests import (
    BY_LENGTH,
    Digest,
    algorithm_named,
    algorithm_of,
    algorithms_in,
    without_algorithms,
)
from imageport_builtin.checksum_lines import Lines, list_lines, require_safe_name, too_long

#: Entries of the longest list.
MOST_ENTRIES: Final = 100_000

_ALGORITHM = r"(?P<algorithm>[A-Za-z0-9/_-]+)"
_HEX = rf"(?P<digest>{'|'.join(f'[0-9a-fA-F]{{{digits}}}' for digits in sorted(BY_LENGTH, reverse=True))})"
_BASE64 = r"[0-9A-Za-z+/]+={0,2}"
#: The three algorithms of W3C Subresource Integrity.
_INTEGRITY = r"(?P<algorithm>sha(?:256|384|512))-(?P<digest>[0-9A-Za-z+/]{43,86}={0,2})"
_BLANK = r"[ \t]"

_ESCAPED = re.compile(r"\\[\\nr]")
_ESCAPES: Final = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}
#: Words that a heading has beside the algorithm; one with the name of a file in it is none.
_HEADING: Final = frozenset(
    {"hash", "hashes", "checksum", "checksums", "digest", "digests", "message", "sum", "sums"}
    | {"size", "name", "filename", "file"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a list, in the line number *line*: a digest of the file *name*, or of a file without a name.

    ``problem`` is why the digest cannot be used, and then ``digest`` is None. ``escaped`` means that the line marks
    escapes in its name, as GNU tools do, where a backslash is never a separator of a path.
    """

    line: int
    name: str | None
    digest: Digest | None
    problem: str = ""
    escaped: bool = False


@dataclass(frozen=True, slots=True)
class Notation:
    """A way to write checksum lists: *form* shows it, and *read* yields the entries of those lines that fit it.

    *read* gets the algorithms that the name of the list and the user have named, for digests that stand without one.
    """

    form: str
    read: Callable[[Lines, Sequence[str | None]], Iterator[Entry]]


def read_entries(text: str, *, origin: str, algorithm: str | None = None) -> list[Entry]:
    """Return the entries of the checksum list *text*, found at *origin*; none when it is written in no known notation.

    *algorithm* is that of digests for which the list does not name one. Raises ``VerificationFailed`` when the text
    has zeros or a name has characters by which it can pass for something else, and ``LimitExceeded`` when the list is
    too long.
    """
    lines = list_lines(text, origin)
    named = (algorithm, *algorithms_in(origin.rpartition("/")[2])[-1:])
    best: list[Entry] = []
    explained = 0
    for notation in NOTATIONS:
        entries = _counted(notation.read(lines, named), origin)
        if (count := len({entry.line for entry in entries})) > explained:
            best, explained = entries, count
    for entry in best:
        require_safe_name(entry.line, entry.name or "", origin, escaped=entry.escaped)
    if "\0" in text:
        raise VerificationFailed(
            f"{origin} is not text: it has bytes that are zero",
            hint="it may be damaged: fetch it again, or give the digest itself",
        )
    return best or _counted(_read_bare(lines, named), origin)


def _counted(entries: Iterator[Entry], origin: str) -> list[Entry]:
    counted = []
    for entry in entries:
        counted.append(entry)
        if len(counted) > MOST_ENTRIES:
            raise too_long(f"{MOST_ENTRIES} entries", origin)
    return counted


# --------------------------------------------------------------------------------------------- notations of one line


def _by_line(*patterns: str) -> Callable[[Lines, Sequence[str | None]], Iterator[Entry]]:
    """Return a reader of lines that one of *patterns* describes; other lines may be headings that name an algorithm."""
    compiled = [re.compile(pattern) for pattern in patterns]

    def read(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
        section: str | None = None
        for number, line in lines:
            stripped = line.lstrip(" \t")
            found = next(filter(None, (pattern.fullmatch(stripped) for pattern in compiled)), None)
            if found is None:
                section = _heading(line) or section
                continue
            part = found.groupdict()
            name, escaped = part.get("name"), bool(part.get("escaped"))
            if name and escaped:
                name = _ESCAPED.sub(lambda escape: _ESCAPES[escape[0]], name)
            # sha256sum writes - for standard input, and scripts cut that off.
            name = name if name and name.strip(" \t") and name != "-" else None
            yield _entry(
                number, name, part.get("algorithm"), part["digest"], (section, *named), escaped=escaped
            )

    return read


def _heading(line: str) -> str | None:
    """Return the algorithm of a line such as ``# SHA512 HASH``, which holds for those below, or None."""
    algorithms = {word.lower() for word in algorithms_in(line)}
    others = re.findall(r"\w+", without_algorithms(line.lower()))
    return algorithms.pop() if len(algorithms) == 1 and _HEADING.issuperset(others) else None


def _entry(
    line: int,
    name: str | None,
    algorithm: str | None,
    value: str,
    named: Sequence[str | None] = (),
    *,
    escaped: bool = False,
) -> Entry:
    """Return the entry of a digest; one that is not supported stays an entry, so that its line is not misread."""
    if algorithm is not None and algorithm_named(algorithm) is None:
        return Entry(line, name, None, f"{algorithm} is not supported", escaped)
    try:
        digest = Digest.of(algorithm or algorithm_of(len(value), named), value)
    except ValueError as error:
        return Entry(line, name, None, str(error), escaped)
    return Entry(line, name, digest, "", escaped)


_read_standard = _by_line(
    # Two characters part digest and name, so that names may begin with blanks; BSD's md5 -r writes one.
    rf"(?P<escaped>\\)?(?:{_ALGORITHM}:{_BLANK}*)?{_HEX}{_BLANK}[ *]?(?P<name>.+)",
    rf"(?P<escaped>\\)?{_ALGORITHM} ?\((?P<name>.+)\){_BLANK}*={_BLANK}*(?P<digest>[0-9a-fA-F]+|{_BASE64})",
    rf"{_INTEGRITY}{_BLANK}+(?P<name>.+)",
)

# Two blanks before the number would be those of sha256sum, for a file whose name begins with a number.
_read_sized = _by_line(rf"{_HEX}(?:{_BLANK}|{_BLANK}{{3,}})[0-9]+(?:{_BLANK}+(?P<name>.*))?")

_read_bare = _by_line(
    rf"{_HEX}{_BLANK}*",
    rf"(?P<algorithm>[A-Za-z0-9/_-]*[0-9][A-Za-z0-9/_-]*){_BLANK}*[:=]{_BLANK}*{_HEX}{_BLANK}*",
    rf"{_INTEGRITY}{_BLANK}*",
)


def _read_columns(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    row = re.compile(rf"{_ALGORITHM}{_BLANK}+{_HEX}{_BLANK}+(?P<name>.*[^ \t]){_BLANK}*")
    for number, line in lines:
        found = row.fullmatch(line)
        if found and algorithms_in(found["algorithm"]):
            yield _entry(number, found["name"], found["algorithm"], found["digest"])


def _read_name_first(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    # Without a pattern: one with a name of any characters before blanks takes time in the square of their number.
    for number, line in lines:
        text = line.strip(" \t")
        before = text.rstrip(string.hexdigits)
        name = before.rstrip(" \t")
        parted = name != before or name.endswith((":", "="))
        name = name.removesuffix(":").removesuffix("=").rstrip(" \t")
        if parted and name and len(text) - len(before) in BY_LENGTH and algorithms_in(name) != [name]:
            yield _entry(number, name, None, text[len(before) :], named)


def _read_manifest(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    row = re.compile(r"[A-Z]+ (?P<name>[^ ]+) [0-9]+(?P<digests>(?: [A-Z0-9_]+ [0-9a-f]+)+)")
    for number, line in lines:
        if found := row.fullmatch(line):
            words = found["digests"].split()
            for algorithm, value in zip(words[::2], words[1::2], strict=True):
                yield _entry(number, found["name"], algorithm, value)


def _read_hashdeep(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    columns: list[str] = []
    for number, line in lines:
        if line.startswith("%%%% size,"):
            columns = line.removeprefix("%%%% ").split(",")
            continue
        values = line.split(",", len(columns) - 1) if columns and not line.startswith(("%", "#")) else []
        if len(values) == len(columns) and columns and columns[-1] == "filename":
            for algorithm, value in zip(columns[1:-1], values[1:-1], strict=True):
                yield _entry(number, values[-1], algorithm, value)


# ------------------------------------------------------------------------------------------ notations of several lines


def _read_records(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    """Read blocks of ``key: value`` that have the name of the file in them."""
    block: dict[str, tuple[int, str]] = {}
    for number, line in (*lines, (0, "")):
        key, _, value = (part.strip(" \t") for part in line.partition(":"))
        key = key.lower()
        if not value or key in block:
            yield from _record(block)
            block = {}
        if value:
            block[key] = number, value


def _record(block: dict[str, tuple[int, str]]) -> Iterator[Entry]:
    name = next((block[key][1] for key in ("path", "name", "file", "filename") if key in block), None)
    if name is None:
        return
    if "hash" in block and "algorithm" in block:
        number, value = block["hash"]
        yield _entry(number, name, block["algorithm"][1], value)
    for key, (number, value) in block.items():
        if algorithms_in(key) and len(value) in BY_LENGTH:
            yield _entry(number, name, key, value)


def _read_certutil(lines: Lines, named: Sequence[str | None]) -> Iterator[Entry]:
    heading = re.compile(rf"{_ALGORITHM} hash of (?:file )?(?P<name>.+):{_BLANK}*")
    pairs = re.compile(rf"[0-9a-fA-F]{{2}}(?: ?[0-9a-fA-F]{{2}})+{_BLANK}*")
    for (_, above), (number, line) in pairwise(lines):
        if (found := heading.fullmatch(above)) and pairs.fullmatch(line):
            yield _entry(number, found["name"], found["algorithm"], line.replace(" ", ""))


#: Every notation that has names. Where two explain equally many lines of a list, the first is right: the one that reads
#: more out of a line stands above the one that reads less.
NOTATIONS: Final = (
    Notation("'<digest> <size> <name>' (Debian Release, 7z h)", _read_sized),
    Notation("'<digest>  <name>' and 'SHA256 (<name>) = <digest>' (sha256sum, BSD, openssl)", _read_standard),
    Notation("'DIST <name> <size> SHA512 <digest>' (Gentoo)", _read_manifest),
    Notation("hashdeep", _read_hashdeep),
    Notation("tables and lists of Get-FileHash", _read_columns),
    Notation("blocks of 'Name: <name>' and 'SHA256: <digest>'", _read_records),
    Notation("certutil", _read_certutil),
    Notation("'<name>  <digest>' and '<name>: <digest>'", _read_name_first),
)
