"""Verify the signature that an image carries in its properties, as OpenStack Glance and Nova do."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from imageport import Context, Image, Plugin, PluginConfig, UsageError, VerificationFailed, hookimpl
from imageport.text import printable
from imageport_builtin.trusted_certificates import CURVES, RSA, trusted_certificate

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SIGNATURE: Final = "img_signature"
HASH_METHOD: Final = "img_signature_hash_method"
KEY_TYPE: Final = "img_signature_key_type"
CERTIFICATE: Final = "img_signature_certificate_uuid"
_PROPERTIES: Final = (SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE)

#: The names that Glance has for digests, and those of hashlib. MD5 and SHA-1 can be forged.
_HASH_METHODS: Final = {
    "SHA-224": "sha224", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512",
}  # fmt: skip


class ImageSignatureConfig(PluginConfig):
    """Options of ``image_signature``."""

    certificates: Path = Field(
        description="Folder with the certificates of all trusted signers, each in a file UUID.pem or "
        "UUID.crt."
    )
    required: bool = Field(default=False, description="Whether an image without a signature is refused.")


class ImageSignature(Plugin[ImageSignatureConfig]):
    """Verify the signature that an image carries in its properties, as OpenStack Glance and Nova do.

    The properties are ``img_signature`` (base64), ``img_signature_hash_method`` (SHA-224, SHA-256, SHA-384 or SHA-512),
    ``img_signature_key_type`` (RSA-PSS, ECC_SECP256R1, ECC_SECP384R1 or ECC_SECP521R1) and
    ``img_signature_certificate_uuid``. All of them or none have to be there. The certificate must be in the folder of
    the operator, and within its time of validity; who issued it does not matter.

    The signature is of the bytes that pass this step: above ``image_decompression`` and ``image_conversion`` those that
    were published, as the last step those that are stored. The bytes are read once, and any fault of the signature ends
    the import before anything is published.
    """

    writes = "nothing"
    signature_hint = "set 'required: true'"
    stability = "stable"

    @classmethod
    def requires_signature(cls, config: ImageSignatureConfig) -> bool:
        """Whether an image without a signature is refused."""
        return config.required

    def __init__(self, config: ImageSignatureConfig) -> None:
        super().__init__(config)
        if not config.certificates.is_dir():
            raise UsageError(
                f"{config.certificates} is not a folder with certificates",
                hint="make it, and put the certificates of trusted signers there",
            )

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None:
        """Return the image with a verification at the end of its bytes, or leave it alone when it is not signed.

        Raises ``VerificationFailed`` at once for properties or a certificate that cannot be used.
        """
        given = {
            name: image.record.properties[name] for name in _PROPERTIES if name in image.record.properties
        }
        if not given and not self.config.required:
            return None
        if missing := [name for name in _PROPERTIES if name not in given]:
            raise VerificationFailed(
                f"the image is not signed completely: it has no {', '.join(missing)}" if given
                else "the image is not signed, and a signature is required",
                hint=f"a signed image has the properties {', '.join(_PROPERTIES)}",
            )  # fmt: skip
        signature = _Signature.of(given, self.config.certificates)

        algorithm = _HASH_METHODS[signature.hash_method]

        def verify(value: str) -> None:
            passed = signature.is_of(bytes.fromhex(value))
            ctx.check(
                f"signature {signature.key_type} {signature.hash_method}",
                passed=passed,
                digest=f"{algorithm}:{value}",
                signer=given[CERTIFICATE],
            )
            if not passed:
                raise VerificationFailed(
                    f"the signature does not match the image (signing certificate {given[CERTIFICATE]})",
                    hint="the image or its signature was changed, or the signature is of other bytes, for instance of "
                    "those before conversion: check the position of the step",
                )

        return image.evolve(data=image.data.digested(algorithm, verify))


@dataclass(frozen=True)
class _Signature:
    """A signature with properties that fit each other, and the certificate that they name."""

    value: bytes
    hash_method: str
    key_type: str
    certificate: Certificate

    @classmethod
    def of(cls, properties: Mapping[str, str], folder: Path) -> _Signature:
        """Take *properties* apart, and find the certificate in *folder*. Raises ``VerificationFailed``."""
        hash_method, key_type = properties[HASH_METHOD], properties[KEY_TYPE]
        _require_known(HASH_METHOD, hash_method, _HASH_METHODS)
        _require_known(KEY_TYPE, key_type, (RSA, *CURVES))
        try:
            # Long base64 is often broken into lines.
            value = base64.b64decode("".join(properties[SIGNATURE].split()), validate=True)
        except ValueError as error:
            raise VerificationFailed(
                f"{SIGNATURE} is not base64: {error}", hint="encode the signature with 'base64 -w 0'"
            ) from error
        certificate = trusted_certificate(folder, properties[CERTIFICATE], key_type)
        return cls(value, hash_method, key_type, certificate)

    def is_of(self, digest: bytes) -> bool:
        """Return whether this is the signature of the bytes with *digest*."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
        from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

        method: hashes.HashAlgorithm = getattr(hashes, self.hash_method.replace("-", ""))()
        key = self.certificate.public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                # The library cursive, and so Glance and Nova, expect this of a signer.
                scheme = padding.PSS(padding.MGF1(method), padding.PSS.MAX_LENGTH)
                key.verify(self.value, digest, scheme, Prehashed(method))
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(self.value, digest, ec.ECDSA(Prehashed(method)))
            else:
                return False
        except InvalidSignature:
            return False
        return True


def _require_known(name: str, value: str, known: Mapping[str, str] | tuple[str, ...]) -> None:
    if value not in known:
        raise VerificationFailed(
            f"{name} is '{printable(value)}', which is not accepted", hint=f"these are: {', '.join(known)}"
        )
