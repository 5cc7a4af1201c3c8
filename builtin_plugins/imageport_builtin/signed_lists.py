"""Checksum lists as publishers offer them: plain, clear-signed, or with a signature beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from imageport import Context, SourceUnavailable, Url, VerificationFailed, printable
from imageport_builtin.checksum_lists import Digest, find_digest
from imageport_builtin.openpgp import Keyring
from imageport_builtin.openpgp_documents import is_clear_signed, signature_packets, take_apart

SignatureUrl = Annotated[
    str | None,
    Field(
        min_length=1,
        description="Where the OpenPGP signature of the list is published, if it is not in the list itself.",
    ),
]
KeyringPath = Annotated[
    Path | None,
    Field(
        description="File with the OpenPGP certificates of trusted signers, armored or binary. With it, a list counts "
        "only when one of them has signed it."
    ),
]

#: Digests for which other bytes can be found, which takes the worth from a signature.
_WEAK: Final = frozenset({"md5", "sha1"})

_LARGEST_LIST: Final = 1 << 20
_LARGEST_SIGNATURE: Final = 64 << 10


def require_fitting_options(url: str | None, signature_url: str | None, keyring: Path | None) -> None:
    """Raise ``ValueError`` for options that mean nothing together."""
    if signature_url is not None and keyring is None:
        raise ValueError("signature_url needs a keyring: the certificates of those who are trusted to sign")
    if keyring is not None and url is None:
        raise ValueError("a keyring is only used together with the url of a list")


@dataclass(frozen=True)
class ChecksumList:
    """A list at *url*; with *keyring* it has to be signed, in itself or at *signature_url*."""

    url: str
    signature_url: str | None = None
    keyring: Keyring | None = None

    def look_up(self, filename: str | None, ctx: Context) -> tuple[Digest, str | None]:
        """Return the digest that the list has for *filename*, and the fingerprint of who has signed that.

        Raises ``VerificationFailed``, and what ``ctx.http.get`` raises.
        """
        origin = Url.parse(self.url).shown
        if self.keyring is None:
            return find_digest(ctx.http.get_text(self.url), filename, origin=origin), None
        try:
            text, signer = self._signed(self.keyring, origin, ctx)
        except VerificationFailed:
            ctx.check("signature of the checksum list", passed=False)
            raise
        try:
            digest = find_digest(text.decode("utf-8-sig"), filename, origin=origin)
        except UnicodeDecodeError as error:
            raise SourceUnavailable(
                f"{origin} is not text in UTF-8: {error.reason} at byte {error.start}",
                hint="check that the url is that of a checksum list",
            ) from None
        if digest.algorithm in _WEAK:
            raise VerificationFailed(
                f"{origin} is signed, but has only the {digest.algorithm} of the image, which can be forged",
                hint="ask the publisher for a list of sha256 or sha512",
            )
        ctx.log.info("%s is signed by the certificate %s", origin, signer)
        return digest, signer

    def _signed(self, keyring: Keyring, origin: str, ctx: Context) -> tuple[bytes, str]:
        """Return the text that is signed, and by whom."""
        document = _fetch(self.url, _LARGEST_LIST, ctx)
        try:
            if self.signature_url is not None:
                text, signatures = document, _fetch(self.signature_url, _LARGEST_SIGNATURE, ctx)
            elif is_clear_signed(document):
                text, signatures = take_apart(document)
            else:
                raise VerificationFailed(
                    f"{origin} is not signed",
                    hint="name the url of its signature with the option signature_url: often that of the list and "
                    ".gpg, .asc or .sign",
                )
            packets = signature_packets(signatures)
        except ValueError as error:
            raise VerificationFailed(
                f"the signature of {origin} cannot be used: {printable(str(error))}",
                hint="get the list and its signature from the publisher as they are; no part of them is trusted",
            ) from error
        return text, keyring.signer(text, packets, origin=origin)


def _fetch(url: str, limit: int, ctx: Context) -> bytes:
    with ctx.http.get(url) as response:
        return response.body(limit=limit)
