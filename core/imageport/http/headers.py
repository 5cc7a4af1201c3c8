"""Read the header fields of a response."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage
from typing import Final

#: Most seconds that a ``Retry-After`` can mean: ten years.
_FOREVER: Final = 10 * 365 * 86400.0

#: No file has 10 ** 18 bytes.
_LENGTH: Final = re.compile("0*[0-9]{1,18}", re.ASCII)


def announced_length(headers: HTTPMessage) -> int | None:
    """Return the length of the body, or None when its end is marked otherwise (RFC 9112, 6.3).

    Raises ``ValueError``, which names the fields, when they do not define where the body ends: to guess would take
    a body that was cut off for a whole one.
    """
    encodings = [value.strip().lower() for value in headers.get_all("Transfer-Encoding", ())]
    # RFC 2616 had a name for no encoding at all.
    encodings = [value for value in encodings if value != "identity"]
    lengths = headers.get_all("Content-Length", ())
    if encodings and encodings != ["chunked"]:
        raise ValueError(f"Transfer-Encoding: {', '.join(encodings)}")
    if encodings and lengths:
        raise ValueError(f"Content-Length: {', '.join(lengths)} and Transfer-Encoding: chunked")
    values = {value.strip(" \t") for value in ",".join(lengths).split(",")} if lengths else set()
    if len(values) > 1 or not all(_LENGTH.fullmatch(value) for value in values):
        raise ValueError(f"Content-Length: {', '.join(lengths)}")
    return int(values.pop()) if values else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a server asks to be left alone (RFC 9110, 10.2.3), or None when it does not."""
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]{1,18}", text):
        return min(float(text), _FOREVER)
    try:
        then = parsedate_to_datetime(text)
        # By the clock of the server, if it sends the time: that of this machine may be wrong.
        now = parsedate_to_datetime(headers["Date"]) if "Date" in headers else datetime.now(UTC)
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None


def strong_validator(headers: Mapping[str, str]) -> str | None:
    """Return the value for ``If-Range`` (RFC 9110, 13.1.5), a strong ETag or a past date; else None."""
    etag = headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    try:
        modified = parsedate_to_datetime(headers["Last-Modified"])
        if modified < parsedate_to_datetime(headers["Date"]):
            return headers["Last-Modified"]
    except (KeyError, ValueError, TypeError):
        return None
    return None
