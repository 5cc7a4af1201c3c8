"""Compare the bytes of the image, as published, with an expected digest."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from imageport import (
    Chunks,
    Context,
    Image,
    ImageData,
    Plugin,
    PluginConfig,
    Url,
    VerificationFailed,
    hookimpl,
)
from imageport_builtin.checksum_lists import Digest, find_digest


def _digest(text: str) -> str:
    return str(Digest.parse(text))


#: ``sha256:<hexadecimal>`` or another algorithm of hashlib; a bare digest is told by its length.
DigestText = Annotated[str, AfterValidator(_digest)]


class ChecksumConfig(PluginConfig):
    """Either a digest, or the url of a list that has it."""

    expected: DigestText | None = Field(
        default=None, description="The digest, for instance sha512:<hexadecimal>."
    )
    url: str | None = Field(default=None, min_length=1, description="Where a checksum list is published.")
    filename: str | None = Field(
        default=None,
        min_length=1,
        description="The file as the list names it, for instance {source.name}; not needed when the list is "
        "about one file.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ChecksumConfig:
        if (self.expected is None) == (self.url is None):
            raise ValueError("give one of expected and url")
        if self.filename is not None and self.url is None:
            raise ValueError("filename is only used together with url")
        return self


class Checksum(Plugin[ChecksumConfig]):
    """Compare the bytes of the image, as published, with an expected digest.

    Stands above whatever changes the bytes. The list is fetched before the image is read; a mismatch ends the
    import, and nothing is published.
    """

    runs_before = frozenset({"image_decompression", "image_conversion"})
    stability = "stable"

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        """Return the image with a comparison at the end of its bytes."""
        if self.config.expected is not None:
            expected = Digest.parse(self.config.expected)
        else:
            expected = published_digest(self.config.url or "", self.config.filename, ctx)
        return image.evolve(data=verified(image.data, expected, ctx))


def published_digest(url: str, filename: str | None, ctx: Context) -> Digest:
    """Return the digest that the checksum list at *url* has for *filename*.

    Raises ``VerificationFailed``, and what ``ctx.http.get_text`` raises.
    """
    return find_digest(ctx.http.get_text(url), filename, origin=Url.parse(url).shown)


def verified(data: ImageData, expected: Digest, ctx: Context) -> ImageData:
    """Return *data* with a comparison at its end, which raises ``VerificationFailed`` on a difference."""
    if expected.algorithm in ("md5", "sha1"):
        ctx.log.warning(
            "%s shows accidents but not forgeries; use sha256 or sha512 where offered", expected.algorithm
        )

    def compare(chunks: Chunks) -> Chunks:
        digest = hashlib.new(expected.algorithm, usedforsecurity=False)
        for piece in chunks:
            digest.update(piece)
            yield piece
        found = digest.hexdigest()
        ctx.check(f"checksum {expected.algorithm}", passed=found == expected.value)
        if found != expected.value:
            raise VerificationFailed(
                f"the {expected.algorithm} of the image is {found}, but {expected.value} was expected",
                hint="the file or the digest is old, broken or forged: compare with what the publisher says",
            )

    return data.through(compare, size=data.size)
