from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from tests.cli.command_line import CommandLine

from imageport import Image, ImageData, ImageRecord, UsageError, VerificationFailed
from imageport.testing.contexts import make_context
from imageport_builtin.image_signature import (
    CERTIFICATE,
    HASH_METHOD,
    KEY_TYPE,
    SIGNATURE,
    ImageSignature,
    ImageSignatureConfig,
)

DISK = bytes(range(256)) * 8192
SIGNATURE_STEP = "- {use: image_signature, with: {certificates: certificates}}\n"
BODY = bytes(range(256)) * 4096 + b"the end"
METHODS = {
    "SHA-224": hashes.SHA224(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512(),
}  # fmt: skip
CURVES = {"ECC_SECP256R1": ec.SECP256R1(), "ECC_SECP384R1": ec.SECP384R1(), "ECC_SECP521R1": ec.SECP521R1()}

RSA_ID = "5f0e4a3e-0000-4b1c-8b8f-000000000001"
EC_ID = "5f0e4a3e-0000-4b1c-8b8f-000000000002"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Signer:
    """A person who signs images, and whose certificate the operator may keep."""

    key: Key
    key_type: str
    certificate_id: str

    def signed(self, body: bytes = BODY, method: str = "SHA-256") -> dict[str, str]:
        """Return the properties of an image with *body* that this one signed."""
        algorithm = METHODS[method]
        if isinstance(self.key, rsa.RSAPrivateKey):
            scheme = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
            signature = self.key.sign(body, scheme, algorithm)
        else:
            signature = self.key.sign(body, ec.ECDSA(algorithm))
        return {
            SIGNATURE: base64.b64encode(signature).decode(),
            HASH_METHOD: method,
            KEY_TYPE: self.key_type,
            CERTIFICATE: self.certificate_id,
        }


def certificate_of(key: Any, *, begin: timedelta = timedelta(days=-1), days: int = 2) -> x509.Certificate:
    """Return a certificate that *key* has issued to itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    begin_of_validity = datetime.now(UTC) + begin
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin_of_validity)
        .not_valid_after(begin_of_validity + timedelta(days=days))
    )
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


@pytest.fixture(scope="module")
def rsa_signer() -> Signer:
    return Signer(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RSA-PSS", RSA_ID)


@pytest.fixture(scope="module")
def ec_signer() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP384R1()), "ECC_SECP384R1", EC_ID)


@pytest.fixture
def folder(tmp_path: Path, rsa_signer: Signer, ec_signer: Signer) -> Path:
    """Return a folder in which the operator keeps the certificates of both signers."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    for signer in (rsa_signer, ec_signer):
        pem = certificate_of(signer.key).public_bytes(Encoding.PEM)
        (folder / f"{signer.certificate_id}.pem").write_bytes(pem)
    return folder


def verify(
    folder: Path, properties: Mapping[str, str], body: bytes = BODY, *, required: bool = False
) -> bytes:
    """Send *body* through the step and return what comes out."""
    step = ImageSignature(ImageSignatureConfig(certificates=folder, required=required))
    pieces = [body[: len(body) // 2], body[len(body) // 2 :]]
    image = Image(ImageRecord(id="3f4a", properties=properties), ImageData.from_chunks(lambda: iter(pieces)))
    ctx = make_context(folder)
    changed = step.transform(image, ctx) or image
    return b"".join(changed.data.chunks())


@pytest.mark.parametrize("method", METHODS)
def test_an_image_that_an_rsa_key_signed_passes(folder: Path, rsa_signer: Signer, method: str) -> None:
    assert verify(folder, rsa_signer.signed(method=method)) == BODY


@pytest.mark.parametrize("key_type", CURVES)
def test_an_image_that_a_key_on_a_curve_signed_passes(folder: Path, key_type: str) -> None:
    signer = Signer(ec.generate_private_key(CURVES[key_type]), key_type, EC_ID)
    (folder / f"{EC_ID}.pem").write_bytes(certificate_of(signer.key).public_bytes(Encoding.PEM))
    assert verify(folder, signer.signed(method="SHA-512")) == BODY


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_changed_bytes_do_not_pass(folder: Path, rsa_signer: Signer, ec_signer: Signer, kind: str) -> None:
    signer = rsa_signer if kind == "rsa" else ec_signer
    with pytest.raises(
        VerificationFailed, match=f"does not match the image .signing certificate {signer.certificate_id}"
    ):
        verify(folder, signer.signed(), BODY[:-1] + b"!")
    with pytest.raises(VerificationFailed, match="does not match the image"):
        verify(folder, signer.signed(), BODY + b"!")
    with pytest.raises(VerificationFailed, match="does not match the image"):
        verify(folder, signer.signed(), BODY[:-1])


def test_the_signature_of_another_key_does_not_pass(folder: Path, rsa_signer: Signer) -> None:
    stranger = Signer(rsa.generate_private_key(public_exponent=65537, key_size=2048), "RSA-PSS", RSA_ID)
    with pytest.raises(VerificationFailed, match="does not match the image"):
        verify(folder, stranger.signed())


def test_another_digest_than_the_one_signed_does_not_pass(folder: Path, rsa_signer: Signer) -> None:
    with pytest.raises(VerificationFailed, match="does not match the image"):
        verify(folder, rsa_signer.signed(method="SHA-256") | {HASH_METHOD: "SHA-512"})


def test_data_without_a_signature_is_refused(folder: Path, ec_signer: Signer) -> None:
    for value in ("", "AAAA", base64.b64encode(bytes(10_000)).decode()):
        with pytest.raises(VerificationFailed, match="does not match the image"):
            verify(folder, ec_signer.signed() | {SIGNATURE: value})


def test_a_signature_may_be_broken_into_lines(folder: Path, rsa_signer: Signer) -> None:
    properties = rsa_signer.signed()
    broken = "\n".join(properties[SIGNATURE][at : at + 64] for at in range(0, 344, 64))
    assert verify(folder, properties | {SIGNATURE: broken}) == BODY


def test_an_unsigned_image_passes_unless_a_signature_is_required(folder: Path) -> None:
    assert verify(folder, {"os_distro": "debian"}) == BODY
    with pytest.raises(VerificationFailed, match="not signed, and a signature is required"):
        verify(folder, {"os_distro": "debian"}, required=True)


@pytest.mark.parametrize("missing", [SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE])
@pytest.mark.parametrize("required", [False, True])
def test_an_incomplete_set_of_properties_does_not_pass(
    folder: Path, rsa_signer: Signer, missing: str, required: bool
) -> None:
    properties = rsa_signer.signed()
    del properties[missing]
    with pytest.raises(VerificationFailed, match=f"not signed completely: it has no {missing}$"):
        verify(folder, properties, required=required)


def _unread() -> NoReturn:
    raise AssertionError("the data must not be read")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (HASH_METHOD, "MD5", "img_signature_hash_method is 'MD5', which is not accepted"),
        (HASH_METHOD, "SHA-1", "img_signature_hash_method is 'SHA-1', which is not accepted"),
        (HASH_METHOD, "sha-256", "img_signature_hash_method is 'sha-256', which is not accepted"),
        (KEY_TYPE, "RSA", "img_signature_key_type is 'RSA', which is not accepted"),
        (KEY_TYPE, "ECC_SECP192R1", "img_signature_key_type is 'ECC_SECP192R1', which is not accepted"),
        (KEY_TYPE, "ECC_SECP384R1", "has a key of another type than ECC_SECP384R1"),
        (SIGNATURE, "no base64!", "img_signature is not base64"),
        (SIGNATURE, "müll", "img_signature is not base64"),
        (CERTIFICATE, "signer", "'signer', which is not a uuid"),
        (CERTIFICATE, f"../certificates/{RSA_ID}", "which is not a uuid"),
        (
            CERTIFICATE,
            "00000000-0000-4000-8000-000000000000",
            "no trusted signer has the certificate",
        ),
    ],
)
def test_a_property_that_cannot_be_used_is_named_before_any_byte_is_read(
    folder: Path, rsa_signer: Signer, name: str, value: str, message: str
) -> None:
    step = ImageSignature(ImageSignatureConfig(certificates=folder))
    record = ImageRecord(id="3f4a", properties=rsa_signer.signed() | {name: value})
    with pytest.raises(VerificationFailed, match=message) as caught:
        step.transform(Image(record, ImageData.from_chunks(_unread)), make_context(folder))
    assert caught.value.hint


def test_the_curve_of_the_key_has_to_be_the_one_that_is_named(folder: Path, ec_signer: Signer) -> None:
    with pytest.raises(VerificationFailed, match="has a key of another type than ECC_SECP521R1"):
        verify(folder, ec_signer.signed() | {KEY_TYPE: "ECC_SECP521R1"})
    with pytest.raises(VerificationFailed, match="has a key of another type than RSA-PSS"):
        verify(folder, ec_signer.signed() | {KEY_TYPE: "RSA-PSS"})


def test_a_key_that_signs_no_images_is_reported(folder: Path, rsa_signer: Signer) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (folder / f"{RSA_ID}.pem").write_bytes(certificate_of(key).public_bytes(Encoding.PEM))
    with pytest.raises(VerificationFailed, match="has a key of another type than RSA-PSS"):
        verify(folder, rsa_signer.signed())


@pytest.mark.parametrize("days", [-10, 10])
def test_a_certificate_counts_only_while_it_is_valid(folder: Path, rsa_signer: Signer, days: int) -> None:
    certificate = certificate_of(rsa_signer.key, begin=timedelta(days=days))
    (folder / f"{RSA_ID}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    with pytest.raises(VerificationFailed, match="and not now"):
        verify(folder, rsa_signer.signed())


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER], ids=["pem", "der"])
def test_certificates_may_be_called_crt(folder: Path, rsa_signer: Signer, encoding: Encoding) -> None:
    (folder / f"{RSA_ID}.pem").unlink()
    (folder / f"{RSA_ID}.crt").write_bytes(certificate_of(rsa_signer.key).public_bytes(encoding))
    properties = rsa_signer.signed() | {CERTIFICATE: RSA_ID.upper()}
    assert verify(folder, properties) == BODY


def test_a_broken_certificate_is_reported(folder: Path, rsa_signer: Signer) -> None:
    for content in (b"", b"what?", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (folder / f"{RSA_ID}.pem").write_bytes(content)
        with pytest.raises(VerificationFailed, match="cannot be read"):
            verify(folder, rsa_signer.signed())


def test_a_missing_folder_is_reported_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder with certificates"):
        ImageSignature(ImageSignatureConfig(certificates=tmp_path / "nowhere"))


def imported(
    folder: Path, steps: str, body: bytes, properties: Mapping[str, str], code: int = 0
) -> tuple[CommandLine, Any]:
    """Import *body* through *steps*, in the folder where that with the certificates is."""
    cli = CommandLine(folder.parent)
    text = (cli.folder / "p.yaml").read_text()
    begin, end = text.index("steps:"), text.index("stores:")
    (cli.folder / "p.yaml").write_text(text[:begin] + f"steps:\n{steps}" + text[end:])
    cli.image.write_bytes(body)
    given = [f"--property={name}={value}" for name, value in properties.items()]
    result = cli.inside("run", "p.yaml", cli.image, "--json", *given, code=code)
    return cli, result.lines[-1]


def test_a_signed_image_is_imported_into_every_store(folder: Path, rsa_signer: Signer) -> None:
    cli, report = imported(folder, SIGNATURE_STEP, DISK, rsa_signer.signed(DISK))
    assert report["image"]["status"] == "active"
    [check] = report["source"]["checks"]
    assert (check["name"], check["verdict"]) == ("signature RSA-PSS SHA-256", "passed")
    assert check["signer"] == rsa_signer.certificate_id
    assert check["digest"] == f"sha256:{hashlib.sha256(DISK).hexdigest()}"
    assert [len(cli.files(store)) for store in ("one", "two")] == [1, 1]


def test_a_bad_signature_leaves_a_queued_image_and_nothing_else(folder: Path, ec_signer: Signer) -> None:
    cli, report = imported(folder, SIGNATURE_STEP, DISK, ec_signer.signed(DISK + b"!"), code=5)
    assert report["error"]["code"] == "verification-failed"
    assert report["image"]["status"] == "queued"
    assert report["image"]["properties"]["os_glance_failed_import"] == "one,two"
    assert [cli.files(store) for store in ("one", "two")] == [[], []]
    staging = Path(cli.folder / ".local/share/imageport/staging")
    assert [path for path in staging.rglob("*") if path.is_file()] == []


def test_where_the_step_stands_decides_which_bytes_are_signed(folder: Path, rsa_signer: Signer) -> None:
    """The packed file is signed: above the unpacking it passes, below it does not."""
    unpacking = "- use: image_decompression\n"
    packed = gzip.compress(DISK, mtime=0)
    imported(folder, SIGNATURE_STEP + unpacking, packed, rsa_signer.signed(packed))
    imported(folder, unpacking + SIGNATURE_STEP, packed, rsa_signer.signed(packed), code=5)
