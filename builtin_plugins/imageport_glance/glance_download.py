"""Import method glance-download: fetch an image and its metadata from another Glance."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from imageport import (
    Chunks,
    Context,
    Image,
    ImageData,
    LimitExceeded,
    Plugin,
    Source,
    SourceUnavailable,
    UsageError,
    VerificationFailed,
    hookimpl,
)
from imageport.http import Url
from imageport.limits import format_size
from imageport.text import printable
from imageport_builtin.checksum import verified
from imageport_builtin.checksum_lists import Expected
from imageport_builtin.remote_image import RemoteImage
from imageport_glance.keystone import BaseUrl, Credentials, KeystoneSession

if TYPE_CHECKING:
    from imageport.http import HttpResponse

_HINTS = {
    401: "the token is missing, expired or of another cloud: see token, username and auth_url of glance-download",
    403: "its policy keeps these credentials from the data: by default that takes the role member, not reader",
    404: "check the id and the region; an image of another project has to be public, community or shared with this one",
}


class GlanceDownloadConfig(Credentials):
    """Which image, in which Glance, and who asks for it."""

    glance_image_id: str | None = Field(
        default=None, description="Id of the remote image, when uri is not given."
    )
    glance_region: str | None = Field(
        default=None,
        min_length=1,
        description="Region of the image service, as in the catalog of Keystone.",
    )
    glance_service_interface: Literal["public", "internal", "admin"] = Field(
        default="public", description="Which of its endpoints to use."
    )
    endpoint: BaseUrl | None = Field(
        default=None, description="Url of the image service, instead of a region of a catalog."
    )
    extra_properties: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("hw_", "trait:", "os_distro", "os_secure_boot", "os_type"),
        description="Prefixes of the properties that are copied.",
    )

    @model_validator(mode="after")
    def _require_place(self) -> Self:
        if (self.endpoint is None) == (self.glance_region is None):
            raise ValueError("give one of glance_region and endpoint")
        if self.glance_region is not None and self.auth_url is None:
            raise ValueError("glance_region needs auth_url, whose catalog has the region")
        if self.glance_region is not None and not (
            self.token or self.username or self.application_credential_id
        ):
            raise ValueError("glance_region needs a token, a user or an application credential")
        return self


class GlanceDownload(Plugin[GlanceDownloadConfig]):
    """Fetch an active image from another Glance, with its formats and some of its properties.

    The source is the id of the remote image. The received data must have the size and the digest that the other Glance
    reports. The token goes to the image service alone, and to no server that it redirects to.
    """

    stability = "stable"
    max_attempts = 2

    def __init__(self, config: GlanceDownloadConfig) -> None:
        super().__init__(config)
        self._remote: RemoteImage | None = None

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse other text than the id of an image."""
        if source.method == "glance-download":
            self._image_id(source)

    @hookimpl
    def stage(self, source: Source, ctx: Context) -> ImageData:
        """Ask for the metadata, compare size and digest where possible, and open the data; its bytes are read later."""
        session = KeystoneSession(self.config, ctx)
        url = f"{self._endpoint(session)}/v2/images/{self._image_id(source)}"
        shown = Url.parse(url).shown
        with _opened(url, session, ctx) as response:
            remote = RemoteImage.parse(response.text(), shown)
        if remote.size > ctx.limits.image_size_cap:
            raise LimitExceeded(
                f"{shown} has {format_size(remote.size)}, more than {format_size(ctx.limits.image_size_cap)}",
                hint="raise limits.image_size_cap in the site file if images this large are expected",
            )
        response = _opened(f"{url}/file", session, ctx)
        # A proxy may compress the data on its way.
        response.decode()
        if response.length not in (None, remote.size):
            response.close()
            raise _wrong_size(shown, f"{response.length}", remote)
        self._remote = remote
        data = ImageData.from_chunks(lambda: _body(response, remote, shown), size=remote.size)
        digest = remote.digest(ctx.log)
        return data if digest is None else verified(data, Expected(digest), ctx)

    @hookimpl
    def transform(self, image: Image) -> Image | None:
        """Describe the image as the other Glance does; its fields replace those given here."""
        if self._remote is None:
            return None
        record = image.record
        copied = self._remote.properties_with(self.config.extra_properties)
        return image.evolve(
            disk_format=self._remote.disk_format or record.disk_format,
            container_format=self._remote.container_format or record.container_format,
            properties={**record.properties, **copied},
        )

    def _image_id(self, source: Source) -> str:
        given = source.uri or self.config.glance_image_id
        if not given:
            raise UsageError(
                "no remote image is given",
                hint="name its id after the pipeline, or write it as uri or glance_image_id in the pipeline",
            )
        try:
            return str(uuid.UUID(given))
        except ValueError:
            raise UsageError(
                f"'{printable(given)}' is not the id of an image",
                hint="ids look like 71c675ab-d94f-49cd-a114-e12490b328d9; 'openstack image list' shows them",
            ) from None

    def _endpoint(self, session: KeystoneSession) -> str:
        config = self.config
        found = config.endpoint or session.image_endpoint(
            config.glance_region or "", config.glance_service_interface
        )
        # Some catalogs have the version in the url.
        return found.rstrip("/").removesuffix("/v2")


def _opened(url: str, session: KeystoneSession, ctx: Context) -> HttpResponse:
    try:
        return ctx.http.get(url, headers=session.headers)
    except SourceUnavailable as error:
        if error.status in _HINTS:
            raise SourceUnavailable(error.message, hint=_HINTS[error.status], status=error.status) from error
        raise


def _body(response: HttpResponse, remote: RemoteImage, shown: str) -> Chunks:
    received = 0
    for piece in response.chunks():
        received += len(piece)
        if received > remote.size:
            raise _wrong_size(shown, f"more than {remote.size}", remote)
        yield piece
    if received != remote.size:
        raise _wrong_size(shown, f"{received}", remote)


def _wrong_size(shown: str, found: str, remote: RemoteImage) -> VerificationFailed:
    return VerificationFailed(
        f"{shown} delivers {found} bytes, but reports that the image has {remote.size}",
        hint="the image is damaged in that Glance, or on the way from there: compare with another of its stores",
    )
