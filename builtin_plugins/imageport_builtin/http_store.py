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

if TYPE_CHECKING:
    from imageport.http import HttpResponse


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


def _body(response: HttpResponse) -> Chunks:
    try:
        yield from response.chunks()
    except SourceUnavailable as error:
        raise _store_failed(error) from error


def _store_failed(error: SourceUnavailable) -> StoreFailed:
    return StoreFailed(error.message, hint=error.hint)
