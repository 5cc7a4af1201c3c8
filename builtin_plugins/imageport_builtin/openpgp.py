"""Signatures by those whose OpenPGP certificates are in a file of the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imageport import UsageError, VerificationFailed
from imageport.limits import format_size
from imageport.text import printable

if TYPE_CHECKING:
    from pysequoia import Cert, Sig

#: Bytes of the largest keyring that is read.
_LARGEST: Final = 16 << 20


@dataclass(frozen=True)
class Keyring:
    """The certificates of trusted signers; ``keys`` has them by fingerprint and id of each of their keys."""

    path: Path
    keys: Mapping[str, Cert] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read the certificates, armored or binary, in the file at *path*.

        Raises ``UsageError`` when there are none, or when the library for them is not installed.
        """
        try:
            from pysequoia import Cert
        except ModuleNotFoundError as error:
            raise UsageError(
                "signatures of checksum lists need the library pysequoia, which is not installed",
                hint="install it with: pip install 'imageport[openpgp]'",
            ) from error
        content = _content(path)
        try:
            certificates: dict[str, Cert] = {}
            for found in Cert.split_bytes(content):
                # Additions of a newer copy of a certificate, such as its revocation, count in any order.
                known = certificates.get(found.fingerprint, found)
                certificates[found.fingerprint] = known.merge(found)
            keys = {
                key: certificate for certificate in certificates.values() for key in _keys_of(certificate)
            }
        except Exception as error:  # the library raises RuntimeError for most things, and promises nothing
            raise UsageError(
                f"the keyring {path} cannot be read: {_reason(error)}",
                hint="it must contain OpenPGP certificates as 'gpg --export' writes them, with --armor or without",
            ) from error
        if not keys:
            raise UsageError(
                f"the keyring {path} holds no certificate",
                hint="put the certificates of trusted signers there, for instance with 'gpg --export'",
            )
        return cls(path, keys)

    def signer(self, text: bytes, signatures: Sequence[bytes], *, origin: str) -> str:
        """Return the fingerprint of the certificate of which one of *signatures* is, a good one of *text*.

        *origin* is where the text was found, for messages. Raises ``VerificationFailed`` when there is none.
        """
        doubts: list[VerificationFailed] = []
        for packet in signatures:
            try:
                return self._signer(text, packet, origin)
            except VerificationFailed as doubt:
                doubts.append(doubt)
        raise VerificationFailed("; ".join(doubt.message for doubt in doubts), hint=doubts[0].hint)

    def _signer(self, text: bytes, packet: bytes, origin: str) -> str:
        from pysequoia import Sig, verify

        try:
            signature = Sig.from_bytes(packet)
        except Exception as error:
            raise VerificationFailed(
                f"a signature of {origin} cannot be read: {_reason(error)}",
                hint="get it again, or ask the publisher",
            ) from error
        certificate = self._trusted(signature, origin)
        try:
            valid = verify(bytes=text, store=lambda _: [certificate], signature=signature).valid_sigs
        except Exception:  # noqa: BLE001 - whatever the library finds wrong, it is not verified
            valid = []
        if not valid:
            raise VerificationFailed(
                f"the signature does not match {origin} (signed by {_named(certificate)})",
                hint="the list or its signature was changed, or they do not belong together",
            )
        return certificate.fingerprint.upper()

    def _trusted(self, signature: Sig, origin: str) -> Cert:
        """Return the certificate that *signature* names, if both are valid today."""
        from pysequoia.packet import HashAlgorithm

        if signature.hash_algorithm in (HashAlgorithm.MD5, HashAlgorithm.SHA1, HashAlgorithm.RipeMD):
            weak = str(signature.hash_algorithm).rpartition(".")[2]
            raise VerificationFailed(
                f"the signature of {origin} was made with {weak}, which can be forged",
                hint="ask the publisher for a signature with SHA-256 or better",
            )
        key = signature.issuer_fingerprint or signature.issuer_key_id or "that it does not name"
        certificate = self.keys.get(key)
        if certificate is None:
            raise VerificationFailed(
                f"the signature of {origin} is by the key {key.upper()}, which is not in {self.path}",
                hint="if its owner is to be trusted, compare the fingerprint with what they publish elsewhere, and add "
                "their certificate there",
            )
        try:
            revoked, end = certificate.is_revoked, _past(certificate.expiration)
        except Exception as error:
            raise VerificationFailed(
                f"the signature of {origin} is by {_named(certificate)}, which is not valid: {_reason(error)}",
                hint="get a newer certificate of the publisher, or ask them for one",
            ) from error
        if revoked:
            raise VerificationFailed(
                f"the signature of {origin} is by {_named(certificate)}, which was revoked",
                hint="find out why, and get the new certificate of the publisher",
            )
        if end is not None:
            raise VerificationFailed(
                f"the signature of {origin} is by {_named(certificate)}, which expired on {end:%Y-%m-%d}",
                hint="get the newest certificate of the publisher, or check the clock of this machine",
            )
        if (end := _past(signature.expiration)) is not None:
            raise VerificationFailed(
                f"the signature of {origin} expired on {end:%Y-%m-%d}",
                hint="get the newest list and signature of the publisher, or check the clock of this machine",
            )
        return certificate


def _past(end: datetime | None) -> datetime | None:
    return end if end is not None and end <= datetime.now(UTC) else None


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"the keyring {path} cannot be read: {error.strerror}",
            hint="put the OpenPGP certificates of trusted signers into that file, or name another",
        ) from error
    if len(content) > _LARGEST:
        raise UsageError(
            f"the keyring {path} has more than {format_size(_LARGEST)}",
            hint="put only the certificates of trusted signers there",
        )
    return content


def _keys_of(certificate: Cert) -> list[str]:
    from pysequoia.packet import PacketPile

    packets = list(PacketPile.from_bytes(bytes(certificate)))
    return [name for packet in packets for name in (packet.fingerprint, packet.key_id) if name]


def _named(certificate: Cert) -> str:
    try:
        owner = next((f" of {printable(str(user))}" for user in certificate.user_ids), "")
    except Exception:  # noqa: BLE001 - the library lists no users of an invalid certificate
        owner = ""
    return f"the certificate {certificate.fingerprint.upper()}{owner}"


def _reason(error: Exception) -> str:
    """Return the innermost cause that the library gives."""
    lines = [line for line in str(error).partition("Stack backtrace:")[0].splitlines() if line.strip()]
    return printable(re.sub(r"^ *\d+:", "", lines[-1]).strip() if lines else type(error).__name__)
