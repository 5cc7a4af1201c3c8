"""Compare the bytes of the image with an expected digest."""

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
from imageport_builtin.checksum_digests import WEAK, Digest
from imageport_builtin.checksum_lists import Expected
from imageport_builtin.checksum_names import is_packed
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


def _digest(text: str) -> str:
    return str(Digest.parse(text))


#: ``sha256:<hexadecimal>`` or another algorithm of hashlib; the length of a bare digest decides its algorithm.
DigestText = Annotated[str, AfterValidator(_digest)]


class ChecksumConfig(PluginConfig):
    """Either a digest, or the place of a list that has it."""

    expected: DigestText | None = Field(
        default=None, description="The digest, for instance sha512:<hexadecimal> or sha256-<base64>."
    )
    url: ListPlace = Field(
        default=None, description="Url or path of a checksum list, for instance {source.dir}/SHA256SUMS."
    )
    filename: str | None = Field(
        default=None,
        min_length=1,
        description="The file as the list names it, for instance {source.name}; not needed when the list is "
        "about one file.",
    )
    algorithm: AlgorithmName = None
    max_list_size: ListSize = LIST_SIZE
    signature_url: SignaturePlace = None
    keyring: KeyringPath = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ChecksumConfig:
        if (self.expected is None) == (self.url is None):
            raise ValueError("give one of expected and url")
        if self.url is None and (self.filename is not None or self.algorithm is not None):
            raise ValueError("filename and algorithm are only used together with url")
        require_fitting_options(self.url, self.signature_url, self.keyring)
        return self


class Checksum(Plugin[ChecksumConfig]):
    """Compare the bytes of the image with an expected digest.

    The bytes are those that reach the step: as published where it stands above ``image_decompression``, unpacked where
    it stands below, for publishers that list the unpacked file. The list is fetched before the image is read, and so is
    its OpenPGP signature where a keyring is given; when something is wrong with them, the import ends before the image
    is read. A mismatch ends the import, too, and nothing is published.

    Lists are read as ``sha256sum``, ``cksum``, BSD, ``openssl dgst``, ``certutil`` and ``Get-FileHash`` write them,
    with a size column, with the name first, as Gentoo Manifests and Debian Release files, or with nothing but a digest,
    in UTF-8 or UTF-16. A list is in one notation; a file name with control characters makes it refused. Of several
    algorithms, the strongest counts that the list uses for other files as well.

    Signed lists are clear-signed, such as ``CHECKSUM`` of Fedora, or have a signature in a separate file, such as
    ``SHA256SUMS.gpg`` of Ubuntu. Text outside the signed block does not count, nor do digests with md5 or sha1,
    signatures made with such, and certificates that are expired or revoked.
    """

    runs_before = frozenset({"image_conversion"})
    writes = "nothing"
    signature_hint = "name a signed list (url) and a keyring"
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
        config = self.config
        if config.expected is not None:
            return image.evolve(data=verified(image.data, Expected(Digest.parse(config.expected)), ctx))
        published = ChecksumList(
            config.url or "", config.signature_url, self._keyring, limit=config.max_list_size
        )
        expected, signer = published.look_up(config.filename, ctx, algorithm=config.algorithm)
        return image.evolve(data=verified(image.data, expected, ctx, signer=signer))


def verified(data: ImageData, expected: Expected, ctx: Context, *, signer: str | None = None) -> ImageData:
    """Return *data* with a comparison at its end, which raises ``VerificationFailed`` on a difference.

    *signer* is the fingerprint of the trusted certificate that signed the *expected* digest, if one did.
    """
    if expected.algorithm in WEAK:
        ctx.log.warning(
            "%s shows accidents but not forgeries; use sha256 or sha512 where offered", expected.algorithm
        )

    def compare(value: str) -> None:
        found = Digest(expected.algorithm, value)
        passed = found == expected.digest
        ctx.check(f"checksum {expected.algorithm}", passed=passed, digest=str(found), signer=signer)
        if not passed:
            raise _mismatch(found, expected, ctx)

    return data.digested(expected.algorithm, compare)


def _mismatch(found: Digest, expected: Expected, ctx: Context) -> VerificationFailed:
    by = f" by {expected.place}" if expected.place else ""
    name = f" for {expected.name!a}" if expected.name else ""
    form = "as published" if ctx.unchanged else "as unpacked by the steps above"
    return VerificationFailed(
        f"the {found.algorithm} of the image {form} is {found.value}, but {expected.value} was expected{by}{name}",
        hint=_cause(found, expected, ctx),
        retry=True,
    )


def _cause(found: Digest, expected: Expected, ctx: Context) -> str:
    """Return the likely cause of a mismatch, and the remedy."""
    source = ctx.origin.uri if ctx.origin else None
    if other := expected.names.get(found):
        return (
            f"this is the digest of {other!a} in the same list: the source is that file, "
            "or the name that is looked up is not that of the source"
        )
    if not ctx.unchanged and is_packed(expected.name):
        return "the list names the packed file, and the image is unpacked above this step: put the step above that"
    if ctx.unchanged and is_packed(source) and not is_packed(expected.name):
        step = "with the step checksum, below image_decompression"
        if expected.name is None:
            return f"if the digest is that of the unpacked image, compare it {step}"
        return f"the list names the unpacked file: compare its digest {step}"
    return (
        "the source has another version than the digest is of, or its bytes changed on the way: "
        "compare the digest with the publisher's, and fetch the image again"
    )
