"""Import method web-download: fetch the image from a url."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from imageport import (
    Chunks,
    Context,
    ImageData,
    Plugin,
    PluginConfig,
    Source,
    SourceRejected,
    UsageError,
    VerificationFailed,
    hookimpl,
)
from imageport.http import Url
from imageport_builtin.checksum import DigestText, verified
from imageport_builtin.checksum_digests import Digest
from imageport_builtin.checksum_lists import Expected, OptionNames
from imageport_builtin.download import FileDownload, Mirror
from imageport_builtin.mirrors import Mirrors
from imageport_builtin.openpgp import Keyring
from imageport_builtin.signed_lists import (
    LIST_SIZE,
    AlgorithmName,
    ChecksumList,
    KeyringPath,
    ListPlace,
    ListSize,
    SignaturePlace,
    require_fitting_options,
)

_OPTIONS = OptionNames("web-download", "checksum_url", "checksum_filename", "checksum_algorithm")

#: Names and values of header fields (RFC 9110, section 5).
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


def _web_url(text: str) -> str:
    try:
        url = Url.parse(text)
    except SourceRejected as error:
        raise ValueError(error.message) from None
    if url.scheme not in ("http", "https"):
        raise ValueError(f"{url.shown} is not an http or https url")
    return text


WebUrl = Annotated[str, AfterValidator(_web_url)]


class WebDownloadConfig(PluginConfig):
    """Expected properties of the file, and header fields for the server."""

    checksum: DigestText | None = Field(
        default=None, description="Digest of the file as published, for instance sha512:<hexadecimal>."
    )
    checksum_url: ListPlace = Field(
        default=None, description="Url or path of a checksum list that names the file as its url does."
    )
    checksum_filename: str | None = Field(
        default=None, min_length=1, description="The file as the list names it, if its url has another name."
    )
    checksum_algorithm: AlgorithmName = None
    max_list_size: ListSize = LIST_SIZE
    signature_url: SignaturePlace = None
    keyring: KeyringPath = None
    mirrors: tuple[WebUrl, ...] = Field(
        default=(),
        description="Other urls of the same file, asked in this order when one before cannot be reached, refuses, "
        "stalls, breaks off or delivers a wrong digest.",
    )
    connections: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Connections over which parts of the file are fetched at the same time, for servers that are slow "
        "on each; takes 8 MiB of memory for each, and a server with ranges, a length and a strong ETag or a date.",
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
        if self.checksum_url is None and (self.checksum_filename or self.checksum_algorithm):
            raise ValueError(
                "checksum_filename and checksum_algorithm are only used together with checksum_url"
            )
        require_fitting_options(self.checksum_url, self.signature_url, self.keyring)
        return self


class WebDownload(Plugin[WebDownloadConfig]):
    """Fetch the image from an http or https url.

    Resumes broken connections, and refuses empty bodies, web pages and data that differs from the checksum. A download
    that cannot be resumed, or has another digest than it should, is repeated from the beginning, or from each of the
    mirrors. With a checksum, a mirror may also go on where another mirror broke off.

    The image is the file as published: data that a server compresses while it sends it (``Content-Encoding: gzip``) is
    unpacked, unless the file has the name of a compressed one; with a checksum, the form that has it is kept. A web
    page is recognised by its bytes, not by the label of the server.
    """

    signature_hint = "name a signed list (checksum_url) and a keyring"
    stability = "stable"

    def __init__(self, config: WebDownloadConfig) -> None:
        super().__init__(config)
        self._keyring = None if config.keyring is None else Keyring.load(config.keyring)
        self._mirrors: Mirrors | None = None

    @classmethod
    def requires_signature(cls, config: WebDownloadConfig) -> bool:
        """Whether the checksum list has to be signed."""
        return config.keyring is not None

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse other urls than those of http and https."""
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
        """Open the url, so that its errors are found at once; the body is read later."""
        url = source.uri or ""
        expected, signer = self._expected(Url.parse(url), ctx)
        secret = {name: value.get_secret_value() for name, value in self.config.headers.items()}
        if self._mirrors is None:
            self._mirrors = Mirrors([Mirror(url, secret), *map(Mirror, self.config.mirrors)])
        download = self._mirrors.open(ctx, any_rest=expected is not None, connections=self.config.connections)
        self.max_attempts = self._mirrors.max_attempts
        data = ImageData.from_chunks(download.chunks, size=download.size)
        if expected is not None:
            data = verified(data, expected, ctx, signer=signer)
            if download.coding is not None:
                data = data.tapped(lambda chunks: _naming_the_form(chunks, download))
        data.name = download.name
        return data

    def _expected(self, url: Url, ctx: Context) -> tuple[Expected | None, str | None]:
        """Return the digest that the file must have, and the certificate that signed it, if there are such."""
        config = self.config
        if config.checksum_url is None:
            return None if config.checksum is None else Expected(Digest.parse(config.checksum)), None
        filename = (
            config.checksum_filename or PurePosixPath(unquote(url.target.partition("?")[0])).name or None
        )
        published = ChecksumList(
            config.checksum_url, config.signature_url, self._keyring, config.max_list_size, _OPTIONS
        )
        return published.look_up(filename, ctx, algorithm=config.checksum_algorithm)


def _naming_the_form(chunks: Chunks, download: FileDownload) -> Chunks:
    """Pass *chunks* on, and add their form to the error for a wrong digest."""
    try:
        yield from chunks
    except VerificationFailed as error:
        if download.complete:
            error.message = f"{error.message}; {download.form}"
        raise
