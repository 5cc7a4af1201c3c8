"""Import method web-download: fetch the image from a url."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote

from pydantic import Field, SecretStr, field_validator, model_validator

from imageport import (
    Chunks,
    Context,
    HttpResponse,
    ImageData,
    LimitExceeded,
    Plugin,
    PluginConfig,
    Source,
    SourceRejected,
    SourceUnavailable,
    Url,
    UsageError,
    format_size,
    hookimpl,
)
from imageport_builtin.checksum import DigestText, published_digest, verified
from imageport_builtin.checksum_lists import Digest

#: Names and values of header fields (RFC 9110, section 5).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


class WebDownloadConfig(PluginConfig):
    """What to expect of the file, and what to tell the server."""

    checksum: DigestText | None = Field(
        default=None, description="Digest of the file as published, for instance sha512:<hexadecimal>."
    )
    checksum_url: str | None = Field(
        default=None, min_length=1, description="Where a checksum list is published that names the file."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Headers for the server of the url; not sent to other servers that it redirects to.",
    )

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the header {name!a} has characters that headers cannot have")
        return headers

    @model_validator(mode="after")
    def _one_checksum(self) -> WebDownloadConfig:
        if self.checksum is not None and self.checksum_url is not None:
            raise ValueError("give checksum or checksum_url, not both")
        return self


class WebDownload(Plugin[WebDownloadConfig]):
    """Fetch the image from an http or https url.

    Resumes broken connections, and refuses empty bodies, web pages and whatever differs from the checksum.
    """

    stability = "stable"

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse what is not an http or https url."""
        if source.method != "web-download":
            return
        if not source.uri:
            raise UsageError(
                "no source is given", hint="name a url after the pipeline, or write uri: under its source"
            )
        scheme = Url.parse(source.uri).scheme
        if scheme not in ("http", "https"):
            raise SourceRejected(
                f"web-download cannot fetch {scheme} urls",
                hint="use http or https; a file of this machine is imported by its path, with glance-direct",
            )

    @hookimpl
    def stage(self, source: Source, ctx: Context) -> ImageData:
        """Open the url, so that what is wrong with it shows at once; the body is read later."""
        url = Url.parse(source.uri or "")
        expected = self._expected(url, ctx)
        response = ctx.http.get(
            source.uri or "",
            headers={name: value.get_secret_value() for name, value in self.config.headers.items()},
        )
        try:
            _check_head(response, url.shown, ctx)
        except BaseException:
            response.close()
            raise
        data = ImageData.from_chunks(lambda: _body(response, url.shown), size=response.length)
        return data if expected is None else verified(data, expected, ctx)

    def _expected(self, url: Url, ctx: Context) -> Digest | None:
        if self.config.checksum_url is not None:
            filename = PurePosixPath(unquote(url.target.partition("?")[0])).name or None
            return published_digest(self.config.checksum_url, filename, ctx)
        return None if self.config.checksum is None else Digest.parse(self.config.checksum)


def _check_head(response: HttpResponse, name: str, ctx: Context) -> None:
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        raise SourceUnavailable(
            f"{name} is a web page, not an image",
            hint="open it in a browser: it may be a login, an error, or a page that links to the image",
        )
    if response.length is not None and response.length > ctx.limits.image_size_cap:
        raise LimitExceeded(
            f"{name} has {format_size(response.length)}, more than {format_size(ctx.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    if response.length == 0:
        raise _empty(name)


def _body(response: HttpResponse, name: str) -> Chunks:
    empty = True
    for piece in response.chunks():
        empty = False
        yield piece
    if empty:
        raise _empty(name)


def _empty(name: str) -> SourceUnavailable:
    return SourceUnavailable(f"{name} is empty", hint="check the url, or ask its publisher")
