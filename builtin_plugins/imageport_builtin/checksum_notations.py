"""The notations of checksum lists, and the entries of a list that is written in one of them.

A list is in one notation: that of ``NOTATIONS`` which explains most of its lines, the first of several that explain
equally many. So no file name decides what a line means: a name can make its own line look like another notation, but
never the lines of the other files. Only where no notation with names explains any line, digests may stand alone.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from imageport import LimitExceeded, VerificationFailed
from imageport_builtin.checksum_digests import (
    BY_LENGTH,
    Digest,
    algorithm_named,
    algorithm_of,
    algorithms_in,
    without_algorithms,
)

#: Entries of the longest list.
MOST_ENTRIES: Final = 100_000

#: Lines of the longest list, which may have a comment for each entry.
MOST_LINES: Final = 250_000

#: Characters of the longest line: a path of Linux has 4,096 bytes, and each may be escaped.
LONGEST_LINE: Final = 10_000

_ALGORITHM = r"(?P<algorithm>[A-Za-z0-9/_-]+)"
_HEX = rf"(?P<digest>{'|'.join(f'[0-9a-fA-F]{{{digits}}}' for digits in sorted(BY_LENGTH, reverse=True))})"
_BASE64 = r"[0-9A-Za-z+/]+={0,2}"
#: The three algorithms of W3C Subresource Integrity.
_INTEGRITY = r"(?P<algorithm>sha(?:256|384|512))-(?P<digest>[0-9A-Za-z+/]{43,86}={0,2})"
_BLANK = r"[ \t]"

_ESCAPED = re.compile(r"\\[\\nr]")
_ESCAPES: Final = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}
#: Characters that turn the direction of text around (Unicode Bidi_Control), so that a name looks like another.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Categories of control characters and of separators of lines and paragraphs.
_UNSAFE: Final = frozenset({"Cc", "Zl", "Zp"})
#: Words that a heading has beside the algorithm; one with the name of a file in it is none.
_HEADING: Final = frozenset(
    {"hash", "hashes", "checksum", "checksums", "digest", "digests", "message", "sum", "sums"}
    | {"size", "name", "filename", "file"}
)
#: What looks like a digest to people: 32 hexadecimal digits, maybe in groups.
_LOOKS_LIKE_DIGEST = re.compile(r"[0-9A-Fa-f](?: ?[0-9A-Fa-f]){31}")

Lines = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a list has in the line number *line*: a digest of the file *name*, or of a file without a name.

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
    lines = _lines(text, origin)
    named = (algorithm, *algorithms_in(origin.rpartition("/")[2])[-1:])
    best: list[Entry] = []
    explained = 0
    for notation in NOTATIONS:
        entries = _counted(notation.read(lines, named), origin)
        if (count := len({entry.line for entry in entries})) > explained:
            best, explained = entries, count
    for entry in best:
        _require_safe(entry, origin)
    if "\0" in text:
        raise VerificationFailed(
            f"{origin} is not text: it has bytes that are zero",
            hint="it may be damaged: fetch it again, or give the digest itself",
        )
    return best or _counted(_read_bare(lines, named), origin)


def digest_like(text: str) -> str:
    """Return the first line of *text* that looks like one with a digest, with its number, or nothing."""
    for number, line in enumerate(text.split("\n"), 1):
        if _LOOKS_LIKE_DIGEST.search(line[:LONGEST_LINE]):
            return f"line {number}, {line.strip()[:200]!a}"
    return ""


def _lines(text: str, origin: str) -> list[tuple[int, str]]:
    """Return the lines of *text* with their numbers, cut at line feeds alone, without what signs them."""
    if text.count("\n") >= MOST_LINES:
        raise _too_long(f"{MOST_LINES} lines", origin)
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


def _counted(entries: Iterator[Entry], origin: str) -> list[Entry]:
    counted = []
    for entry in entries:
        counted.append(entry)
        if len(counted) > MOST_ENTRIES:
            raise _too_long(f"{MOST_ENTRIES} entries", origin)
    return counted


def _too_long(limit: str, origin: str) -> LimitExceeded:
    return LimitExceeded(
        f"{origin} has more than {limit}", hint="use a list of fewer files, or give the digest itself"
    )


def _require_safe(entry: Entry, origin: str) -> None:
    for letter in entry.name or "":
        escaped = entry.escaped and letter in "\n\r"
        if letter in _BIDI or (unicodedata.category(letter) in _UNSAFE and letter != "\t" and not escaped):
            raise VerificationFailed(
                f"line {entry.line} of {origin} has a file name with the character U+{ord(letter):04X}, "
                f"which can make one line look like two: {entry.name or ''!a:.200}",
                hint="give the digest itself, or ask the publisher for a list without this name",
            )


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
