"""The name under which a server publishes a file: from the url, or from ``Content-Disposition`` (RFC 6266)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from imageport.values import MAX_NAME

#: Suffixes of files that hold images. A name with one of them is what its publisher calls the file; ``latest``,
#: ``download.php`` and ``debian-12.5`` may be names of something that leads to it.
_SUFFIX: Final = re.compile(
    r"\.(?:raw|img|ima|bin|dd|dsk|wic|hdd|hds|qcow|qcow2|qed|vmdk|vdi|vhd|vhdx|vpc|iso|ova|ovf|dmg|cloop|sparse"
    r"|gz|tgz|gzip|xz|txz|lzma|bz2|tbz|tbz2|zst|tzst|zstd|lz4|lz|lzo|z|taz|tar|cpio|zip|7z|rar|lha|lzh|cab|svgz)",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    r""";[ \t]*(?P<name>[!#$%&'+.^_`|~0-9A-Za-z-]+\*?)[ \t]*=[ \t]*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^;"]*))""",
    re.DOTALL,
)
_EXTENDED: Final = re.compile(r"(?P<charset>utf-8|iso-8859-1)'[^']*'(?P<value>.*)", re.IGNORECASE | re.DOTALL)


def filename_of(asked: str, found: str, headers: Mapping[str, str]) -> str | None:
    """Return the name of the file that was *asked* for and came with *headers* from *found*, or None.

    Both are paths with or without a query. A name that was asked for and has the suffix of an image counts first, then
    that in ``Content-Disposition``, then that which the redirects led to, if it has such a suffix.
    """
    given, end = name_in_path(asked), name_in_path(found)
    if given is not None and has_suffix(given):
        return given
    disposed = _disposed(headers.get("Content-Disposition", ""))
    return disposed or (end if end is not None and has_suffix(end) else None) or given or end


def has_suffix(name: str) -> bool:
    """Return whether *name* ends as names of images and of archives do."""
    return _SUFFIX.fullmatch(name[name.rfind(".") :]) is not None if "." in name.lstrip(".") else False


def name_in_path(path: str) -> str | None:
    """Return the last part of the *path* of a url, with percent escapes undone, or None when there is none."""
    last = path.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2]
    return clean_name(_as_text(unquote_to_bytes(last)))


def clean_name(text: str) -> str | None:
    """Return *text* as a name: without folders and invisible characters, at most ``MAX_NAME`` characters, or None.

    Invisible are control, format and private characters and lone surrogates; those could forge a line of a message.
    """
    name = re.split(r"[/\\]", text)[-1]
    name = "".join(
        letter for letter in name if unicodedata.category(letter)[0] != "C" and letter not in "\u2028\u2029"
    )
    name = " ".join(name.split())
    if len(name) > MAX_NAME:
        stem, dot, suffix = name.rpartition(".")
        kept = dot + suffix if stem and len(suffix) < 16 else ""
        name = name[: MAX_NAME - len(kept)] + kept
    return name if name.strip(". ") else None


def _disposed(field: str) -> str | None:
    """Return the cleaned file name in a field ``Content-Disposition``; ``filename*`` counts before ``filename``."""
    given: dict[str, str] = {}
    for found in _PARAMETER.finditer(f";{field}" if "=" in field.partition(";")[0] else field):
        quoted = found["quoted"]
        value = found["plain"].strip() if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        given.setdefault(found["name"].lower(), value)
    if (extended := _EXTENDED.fullmatch(given.get("filename*", ""))) is not None:
        data = unquote_to_bytes(extended["value"])
        name = data.decode(extended["charset"], "replace")
        if cleaned := clean_name(name):
            return cleaned
    # The fields of an answer are read as Latin-1; servers send UTF-8.
    return clean_name(_as_text(given.get("filename", "").encode("latin-1", "replace")))


def _as_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")
