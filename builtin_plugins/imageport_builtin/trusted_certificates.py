"""The certificates of trusted signers, in a folder of the operator."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imageport import VerificationFailed
from imageport.text import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: The types of keys, as Glance names them, and the curves that belong to them.
RSA: Final = "RSA-PSS"
CURVES: Final = {"ECC_SECP256R1": "secp256r1", "ECC_SECP384R1": "secp384r1", "ECC_SECP521R1": "secp521r1"}


def trusted_certificate(folder: Path, certificate_id: str, key_type: str) -> Certificate:
    """Return the certificate of that uuid in *folder*, which is valid today and has a key of *key_type*.

    Raises ``VerificationFailed`` when there is none.
    """
    name = _uuid(certificate_id)
    certificate = _load(folder, name)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(UTC) <= end:
        raise VerificationFailed(
            f"the certificate {name} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and not now",
            hint="have the image signed again with a valid certificate, or check the clock of this machine",
        )
    if not _has_key(certificate, key_type):
        raise VerificationFailed(
            f"the certificate {name} has a key of another type than {key_type}",
            hint="give the image the certificate of the key that signed it, and the type of that key",
        )
    return certificate


def _uuid(text: str) -> str:
    """Return *text* in the usual form of a uuid, which is safe as the name of a file."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise VerificationFailed(
            f"the certificate is called '{printable(text)}', which is not a uuid",
            hint="certificates are named by uuids; use that of the signer",
        ) from None


def _load(folder: Path, name: str) -> Certificate:
    from cryptography import x509

    paths = [folder / f"{name}.{ending}" for ending in ("pem", "crt")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise VerificationFailed(
            f"no trusted signer has the certificate {name}",
            hint=f"if its owner is to be trusted, put it into {folder} as {name}.pem",
        )
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except (OSError, ValueError) as error:
        raise VerificationFailed(
            f"the certificate {path} cannot be read: {error}", hint="it has to be X.509, in PEM or DER"
        ) from error


def _has_key(certificate: Certificate, key_type: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = certificate.public_key()
    if key_type == RSA:
        return isinstance(key, rsa.RSAPublicKey)
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == CURVES[key_type]
