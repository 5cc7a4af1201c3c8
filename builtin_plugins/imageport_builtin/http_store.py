"""A read-only store whose copies are published by a web server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport import (
    Chunks,
    Context,
    ImageData,
    Location,
    NoConfig,
    Plugin,
    SourceUnavailable,
    StoreFailed,
    hookimpl,
)
from imageport.values import StoredCopy

if TYPE_CHECKING:
    from imageport.http import HttpResponse


#: Status of an answer about a url where nothing is: Not Found, Gone (RFC 9110).
_MISSING = frozenset({404, 410})


class HttpStore(Plugin[NoConfig]):
    """Read copies from the urls where they are; nothing can be written."""

    stability = "stable"

    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        """Open the url of *location*."""
        try:
            response = ctx.http.get(location.url)
            if not response.is_as_published:
                response.decode()
        except SourceUnavailable as error:
            raise _store_failed(error) from error
        return ImageData.from_chunks(lambda: _body(response), size=response.length)

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return the size that the server reports, None when there is nothing; no byte of the copy is read."""
        try:
            with ctx.http.get(location.url) as response:
                size = response.length if response.is_as_published else None
                return StoredCopy(location=location, size=size)
        except SourceUnavailable as error:
            if error.status in _MISSING:
                return None
            raise _store_failed(error) from error


def _body(response: HttpResponse) -> Chunks:
    try:
        yield from response.chunks()
    except SourceUnavailable as error:
        raise _store_failed(error) from error


def _store_failed(error: SourceUnavailable) -> StoreFailed:
    return StoreFailed(error.message, hint=error.hint)
