"""Import method s3-download: fetch the image from a bucket."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from imageport import (
    Context,
    ImageData,
    Plugin,
    Source,
    SourceRejected,
    SourceUnavailable,
    UsageError,
    hookimpl,
)

from imageport_s3.clients import presigned_url
from imageport_s3.options import S3SourceConfig

#: Hints by the status of an answer.
_HINTS = {
    301: "set the region of the bucket",
    400: "set the region of the bucket, and check the access key",
    403: "check the access key and its secret, and whether it may read the object",
    404: "correct the bucket or the name of the object",
}


class S3Download(Plugin[S3SourceConfig]):
    """Fetch the image from an S3 bucket, by a url such as s3://bucket/images/debian.qcow2.

    The request is signed here and made by Imageport, as those of web-download: every address and redirect is checked,
    and a connection that breaks goes on where it broke off, as long as the object is unchanged. The signature holds
    for a week. Urls that another program has signed need no access key: web-download fetches them.
    """

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
        ctx.source(f"s3://{bucket}/{key}")
        try:
            response = ctx.http.get(presigned_url(self.config, bucket, key, ctx.client))
        except SourceUnavailable as error:
            error.hint = _HINTS.get(error.status or 0, error.hint)
            raise
        data = ImageData.from_chunks(response.chunks, size=response.length)
        data.name = PurePosixPath(key).name
        return data


def _parse(uri: str | None) -> tuple[str, str]:
    """Return bucket and name of the object at *uri*."""
    if not uri:
        raise UsageError("no source is given", hint="name an object after the pipeline: s3://bucket/name")
    url = urlsplit(uri)
    if url.scheme != "s3":
        raise SourceRejected(
            f"s3-download cannot fetch {url.scheme or 'local'} sources",
            hint="write s3://bucket/name; presigned https urls are fetched with web-download",
        )
    # What looks like a query or a fragment is a part of the name.
    key = unquote(uri.removeprefix(f"{uri[:5]}{url.netloc}/"))
    if not url.netloc or "@" in url.netloc or not url.path.strip("/"):
        raise SourceRejected(
            "the source does not name an object", hint="write s3://bucket/name, without a key"
        )
    return url.netloc, key
