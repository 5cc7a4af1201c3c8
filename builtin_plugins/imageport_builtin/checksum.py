"""Compare the bytes of the image, as published, with an expected digest."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from imageport import (
    Context,
    Image,
    ImageData,
    Plugin,
    PluginConfig,
    VerificationFailed,
    hookimpl,
)
from imageport_builtin.checksum_lists import Digest
from imageport_builtin.openpgp import Keyring
from imageport_builtin.signed_lists import ChecksumList, KeyringPath, SignatureUrl, require_fitting_options


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
    signature_url: SignatureUrl = None
    keyring: KeyringPath = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ChecksumConfig:
        if (self.expected is None) == (self.url is None):
            raise ValueError("give one of expected and url")
        if self.filename is not None and self.url is None:
            raise ValueError("filename is only used together with url")
        require_fitting_options(self.url, self.signature_url, self.keyring)
        return self


class Checksum(Plugin[ChecksumConfig]):
    """Compare the bytes of the image, as published, with an expected digest.

    Stands above whatever changes the bytes. The list is fetched before the image is read, and so is its OpenPGP
    signature where a keyring is given; what is wrong with it ends the import before the image is read. A mismatch ends
    the import, too, and nothing is published.

    Signed lists are clear-signed, such as ``CHECKSUM`` of Fedora, or have a signature in a file of its own, such as
    ``SHA256SUMS.gpg`` of Ubuntu. What stands outside the signed text does not count, nor do digests with md5 or sha1,
    signatures made with such, and certificates that have run out or were revoked.
    """

    runs_before = frozenset({"image_decompression", "image_conversion"})
    writes = "nothing"
    stability = "stable"

    def __init__(self, config: ChecksumConfig) -> None:
        super().__init__(config)
        self._keyring = None if config.keyring is None else Keyring.load(config.keyring)

    @classmethod
    def requires_signature(cls, config: ChecksumConfig) -> bool:
        """Whether the list has to be signed."""
        return config.keyring is not None

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        """Return the image with a comparison at the end of its bytes."""
        if self.config.expected is not None:
            return image.evolve(data=verified(image.data, Digest.parse(self.config.expected), ctx))
        published = ChecksumList(self.config.url or "", self.config.signature_url, self._keyring)
        expected, signer = published.look_up(self.config.filename, ctx)
        return image.evolve(data=verified(image.data, expected, ctx, signer=signer))


def verified(data: ImageData, expected: Digest, ctx: Context, *, signer: str | None = None) -> ImageData:
    """Return *data* with a comparison at its end, which raises ``VerificationFailed`` on a difference.

    *signer* is who has signed the *expected* digest, if anybody who is trusted has.
    """
    if expected.algorithm in ("md5", "sha1"):
        ctx.log.warning(
            "%s shows accidents but not forgeries; use sha256 or sha512 where offered", expected.algorithm
        )

    def compare(value: str) -> None:
        found = Digest(expected.algorithm, value)
        ctx.check(
            f"checksum {expected.algorithm}", passed=found == expected, digest=str(found), signer=signer
        )
        if found != expected:
            raise VerificationFailed(
                f"the {expected.algorithm} of the image is {found.value}, but {expected.value} was expected",
                hint="the file or the digest is old, broken or forged: compare with what the publisher says",
                retry=True,
            )

    return data.digested(expected.algorithm, compare)
