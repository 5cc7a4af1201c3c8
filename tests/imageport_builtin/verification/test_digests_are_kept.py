"""The digests of the publisher and of the stored image can both be shown a year later."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.imageport_builtin.verification.imports import UNPACK, Imports
from tests.noise import noise

DISK = noise(1 << 16) + bytes(1 << 20)
PACKED = gzip.compress(DISK, 1)


def digests(body: bytes, *algorithms: str) -> dict[str, str]:
    return {algorithm: hashlib.new(algorithm, body).hexdigest() for algorithm in algorithms}


def checked(body: bytes, algorithm: str = "sha256") -> str:
    return f"checksum: '{algorithm}:{hashlib.new(algorithm, body).hexdigest()}'"


def kept(imports: Imports, report: Any) -> tuple[Any, Any, str | None]:
    """Return the digests of source and stores in the task, and those of the image."""
    [task] = imports.command("tasks", "list", "--json").json
    [image] = imports.command("images", "list", "--json").json
    assert task["id"] == report["task_id"]
    result = task["result"]
    return (
        result["source_digests"],
        result["stored_digests"],
        image["properties"].get("os_glance_source_digests"),
    )


@pytest.fixture
def published(imports: Imports) -> Imports:
    imports.publish({"disk.raw": DISK, "disk.raw.gz": PACKED})
    return imports


@pytest.mark.parametrize("staging", ["stream", "file"])
@pytest.mark.parametrize("steps", ["", UNPACK], ids=["no step", "a step that has nothing to do"])
def test_where_no_step_changes_the_bytes_both_are_the_same(
    published: Imports, steps: str, staging: str
) -> None:
    published.pipeline(steps=steps, staging=staging)
    report = published("disk.raw")
    assert report["source"]["digests"] == report["digests"] == digests(DISK, "md5", "sha512")
    assert kept(published, report) == (digests(DISK, "md5", "sha512"), digests(DISK, "md5", "sha512"), None)


def test_a_verified_digest_that_the_site_does_not_make_is_kept_too(published: Imports) -> None:
    published.pipeline(source=checked(DISK))
    report = published("disk.raw")
    assert report["source"]["digests"] == digests(DISK, "md5", "sha512", "sha256")
    assert report["digests"] == digests(DISK, "md5", "sha512")
    assert kept(published, report)[2] == f"sha256:{hashlib.sha256(DISK).hexdigest()}"


def test_of_what_was_unpacked_the_verified_digest_is_that_of_the_archive(published: Imports) -> None:
    published.pipeline(source=checked(PACKED, "sha512"), steps=UNPACK)
    report = published("disk.raw.gz")
    assert report["source"]["digests"] == digests(PACKED, "sha512")
    assert report["digests"] == digests(DISK, "md5", "sha512")
    assert report["image"]["os_hash_value"] == hashlib.sha512(DISK).hexdigest()
    wanted = f"sha512:{hashlib.sha512(PACKED).hexdigest()}"
    assert kept(published, report) == (digests(PACKED, "sha512"), digests(DISK, "md5", "sha512"), wanted)


def test_no_digest_of_an_archive_is_made_without_a_request(published: Imports) -> None:
    published.pipeline(steps=UNPACK)
    report = published("disk.raw.gz")
    assert report["source"]["digests"] == {}
    assert kept(published, report) == ({}, digests(DISK, "md5", "sha512"), None)


def test_a_check_below_what_changes_the_bytes_has_no_effect_on_the_source(published: Imports) -> None:
    """The signature is of what comes out of the unpacking."""
    signer = published.folder / "signers" / "5c1d7b6e-9a0f-4a57-8c0e-3f1f6c1a9d42.pem"
    properties = signed_by(signer, DISK)
    published.pipeline(
        steps=f"{UNPACK}, {{use: image_signature, with: {{certificates: ./signers, required: true}}}}"
    )
    report = published("disk.raw.gz", *(f"--property={name}={value}" for name, value in properties.items()))
    assert [check["digest"] for check in report["source"]["checks"]] == [
        f"sha256:{hashlib.sha256(DISK).hexdigest()}"
    ]
    assert report["source"]["digests"] == {}


def signed_by(certificate: Path, body: bytes) -> dict[str, str]:
    """Make a signer with *certificate*, and return the properties of *body* as the image signed by them."""
    certificate.parent.mkdir()
    key = certificate.parent.parent / "signer.key"
    new = [
        "-newkey",
        "rsa:2048",
        "-noenc",
        "-subj",
        "/CN=signer",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(["openssl", "req", "-x509", *new], check=True, capture_output=True)
    pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:max"]
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", *pss, "-sign", key], input=body, check=True, capture_output=True
    )
    encoded = subprocess.run(["base64", "-w0"], input=signature.stdout, check=True, capture_output=True)
    return {
        "img_signature": encoded.stdout.decode(),
        "img_signature_hash_method": "SHA-256",
        "img_signature_key_type": "RSA-PSS",
        "img_signature_certificate_uuid": certificate.stem,
    }


def test_an_import_that_failed_keeps_no_digest(published: Imports) -> None:
    published.pipeline(source=checked(b"else"))
    report = published.refused("disk.raw")
    assert report["source"]["digests"] == {}
    assert "os_glance_source_digests" not in report["image"]["properties"]


def test_people_see_the_digests_of_a_task_and_an_image(published: Imports) -> None:
    published.pipeline(source=checked(PACKED), steps=UNPACK)
    report = published("disk.raw.gz")
    shown = published.command("tasks", "show", report["task_id"]).stdout
    for name, body, algorithm in (("source", PACKED, "sha256"), ("stored", DISK, "sha512")):
        assert f"{name}_digests: {algorithm}: {hashlib.new(algorithm, body).hexdigest()}" in shown
    shown = published.command("images", "show", report["image"]["id"]).stdout
    assert f"sha256:{hashlib.sha256(PACKED).hexdigest()}" in shown


def test_a_copy_has_the_digests_of_the_copy_that_was_read(published: Imports) -> None:
    published.pipeline()
    image = published("disk.raw")["image"]["id"]
    (published.folder / "copy.yaml").write_text(
        "name: copy\nsource: {use: copy-image}\nstores: [{use: file, id: three, with: {directory: three}}]\n"
    )
    report = published.command("run", "copy.yaml", "--image", image, "--role", "admin", "--json").report
    # The strongest that the record has is enough to compare a copy with.
    assert report["source"]["digests"] == report["digests"] == digests(DISK, "sha512")
