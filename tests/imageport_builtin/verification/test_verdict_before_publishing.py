"""Nothing is published before every byte was checked, also those that a decompressor does not need."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zipfile
from collections.abc import Callable
from typing import Final

import pytest
from tests.imageport_builtin.verification.gpg import Gpg
from tests.imageport_builtin.verification.imports import UNPACK, Imports
from tests.noise import noise

DISK: Final = noise(1 << 19) + bytes(1 << 20)
LIST: Final = (
    "url: '{source.dir}/SHA256SUMS', signature_url: '{source.dir}/SHA256SUMS.gpg', keyring: publishers.asc"
)
SIGNED: Final = f"checksum_{LIST}"


def listed(name: str, body: bytes) -> bytes:
    """Return a list with the digest of *body*, for *name*."""
    return f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode()


def zipped(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("disk.raw", body)
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda body: gzip.compress(body, 1),
    "bz2": lambda body: bz2.compress(body, 1),
    "xz": lambda body: lzma.compress(body, preset=0),
    "zip": zipped,
    "raw": lambda body: body,
}


def offer(imports: Imports, gpg: Gpg, name: str, good: bytes, offered: bytes) -> None:
    """Publish a signed list of *good*, and *offered* in its place."""
    sums = listed(name, good)
    signature = gpg.detached(sums, "publisher")
    imports.publish({name: offered, "SHA256SUMS": sums, "SHA256SUMS.gpg": signature})


@pytest.mark.parametrize("staging", ["stream", "file"])
@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "raw"])
def test_what_follows_the_end_of_an_archive_is_part_of_the_verdict(
    imports: Imports, gpg: Gpg, kind: str, staging: str
) -> None:
    """The bytes of the image are all there and right when a decompressor has come to its end."""
    good = PACKERS[kind](DISK)
    offer(imports, gpg, f"disk.{kind}", good, good + bytes(512))
    imports.pipeline(source=SIGNED, steps=UNPACK, staging=staging, more="trust: signed")
    report = imports.refused(f"disk.{kind}")
    assert [check["verdict"] for check in report["source"]["checks"]][-1] == "failed"
    assert hashlib.sha256(good).hexdigest() in report["error"]["message"]


def test_data_behind_the_directory_of_a_zip_is_part_of_the_verdict(imports: Imports, gpg: Gpg) -> None:
    good = zipped(DISK)
    offer(imports, gpg, "disk.zip", good, good + b"more")
    imports.pipeline(source=SIGNED, steps=UNPACK)
    imports.refused("disk.zip", message=hashlib.sha256(good).hexdigest())


def test_a_second_gzip_member_is_part_of_the_verdict(imports: Imports, gpg: Gpg) -> None:
    good = gzip.compress(DISK, 1)
    offer(imports, gpg, "disk.raw.gz", good, good + gzip.compress(bytes(512)))
    imports.pipeline(source=SIGNED, steps=UNPACK)
    imports.refused("disk.raw.gz", message=hashlib.sha256(good).hexdigest())


def test_two_gzip_members_that_were_published_so_are_one_image(imports: Imports, gpg: Gpg) -> None:
    good = gzip.compress(DISK, 1) + gzip.compress(bytes(1 << 20))
    offer(imports, gpg, "disk.raw.gz", good, good)
    imports.pipeline(source=SIGNED, steps=UNPACK)
    imports("disk.raw.gz")
    assert imports.stored() == [DISK + bytes(1 << 20)] * 2


@pytest.mark.parametrize("all_must", [True, False], ids=["all stores", "any store"])
@pytest.mark.parametrize("kind", PACKERS)
def test_no_store_publishes_what_a_signed_list_does_not_have(
    imports: Imports, gpg: Gpg, kind: str, all_must: bool
) -> None:
    """Also when a store may publish as soon as it is done, and another need not succeed."""
    offer(imports, gpg, f"disk.{kind}", PACKERS[kind](DISK), PACKERS[kind](b"evil" + DISK[4:]))
    imports.pipeline(source=SIGNED, steps=UNPACK, all_must=all_must)
    imports.refused(f"disk.{kind}", message="was expected")


@pytest.mark.parametrize("staging", ["stream", "file"])
def test_the_step_comes_to_the_same_verdict(imports: Imports, gpg: Gpg, staging: str) -> None:
    good = gzip.compress(DISK, 1)
    offer(imports, gpg, "disk.raw.gz", good, good + bytes(1))
    step = f"{{use: checksum, with: {{{LIST}, filename: '{{source.name}}'}}}}"
    imports.pipeline(steps=f"{step}, {UNPACK}", staging=staging)
    imports.refused("disk.raw.gz", message="was expected")


def test_a_list_that_no_trusted_signer_has_signed_ends_the_import_before_the_image_is_asked_for(
    imports: Imports, gpg: Gpg
) -> None:
    sums = listed("disk.raw", DISK)
    imports.publish({"disk.raw": DISK, "SHA256SUMS": sums, "SHA256SUMS.gpg": gpg.detached(sums, "stranger")})
    imports.pipeline(source=SIGNED)
    imports.refused("disk.raw", message="is by the key", hint="compare the fingerprint")
    assert imports.server.paths() == ["/SHA256SUMS", "/SHA256SUMS.gpg"]
