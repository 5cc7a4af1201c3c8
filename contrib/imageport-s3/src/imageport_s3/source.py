"""Import method s3-download: fetch the image from a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from imageport import (
    Chunks,
    Context,
    ImageData,
    Plugin,
    Source,
    SourceRejected,
    SourceUnavailable,
    UsageError,
    hookimpl,
)
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from imageport_s3.clients import host_of
from imageport_s3.errors import reason_of
from imageport_s3.options import S3SourceConfig
from imageport_s3.reading import chunks_of, open_object


class S3Download(Plugin[S3SourceConfig]):
    """Fetch the image from an S3 bucket, by a url such as s3://bucket/images/debian.qcow2.

    A connection that breaks goes on where it broke off, as long as the object is unchanged. Presigned urls need no
    access key: web-download fetches them.
    """

    #: The object is fetched again from its beginning when it was changed meanwhile.
    max_attempts = 2

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse urls that do not name an object."""
        if source.method == "s3-download":
            _parse(source.uri)

    @hookimpl
    def stage(self, source: Source, ctx: Context) -> ImageData:
        """Ask for the object, so that errors are found at once; its bytes are read later."""
        bucket, key = _parse(source.uri)
        url = f"s3://{bucket}/{key}"
        ctx.http.resolve(host_of(self.config, bucket))  # refuses servers in networks that are not permitted
        ctx.source(url)
        with _translating(url):
            found = open_object(self.config, bucket, key, ctx, anonymous=self.config.anonymous)
            size = found.meta["size"]

        def chunks() -> Chunks:
            with _translating(url):
                yield from chunks_of(found, ctx)

        data = ImageData.from_chunks(chunks, size=size)
        data.name = PurePosixPath(key).name
        return data


def _parse(uri: str | None) -> tuple[str, str]:
    if not uri:
        raise UsageError("no source is given", hint="name an object after the pipeline: s3://bucket/name")
    url = urlsplit(uri)
    if url.scheme != "s3":
        raise SourceRejected(
            f"s3-download cannot fetch {url.scheme or 'local'} sources",
            hint="write s3://bucket/name; presigned https urls are fetched with web-download",
        )
    key = unquote(uri.removeprefix(f"{uri[:5]}{url.netloc}/"))
    if not url.netloc or "@" in url.netloc or not url.path.strip("/"):
        raise SourceRejected(
            "the source does not name an object", hint="write s3://bucket/name, without a key"
        )
    return url.netloc, key


@contextmanager
def _translating(url: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, NotFoundError, FileNotFoundError) as error:
        final = isinstance(
            error, (FileNotFoundError, NotFoundError, PermissionDeniedError, UnauthenticatedError)
        )
        reason, hint = reason_of(error)
        raise SourceUnavailable(f"cannot fetch {url}: {reason}", hint=hint, retry=not final) from error
    except ValueError as error:  # names with an empty part, . or ..
        raise SourceRejected(
            f"s3-download cannot read objects with names such as {url}",
            hint="copy the object to a simpler name, or fetch a presigned url with web-download",
        ) from error
