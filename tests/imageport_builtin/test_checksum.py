from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imageport import (
    Context,
    Image,
    ImageData,
    ImageRecord,
    SourceUnavailable,
    VerificationFailed,
)
from imageport.testing.contexts import make_context, make_transport
from imageport.testing.http_server import HttpServer, content
from imageport_builtin.checksum import Checksum, ChecksumConfig
from imageport_builtin.checksum_lists import find_digest

BODY = bytes(range(256)) * 9000
DEBIAN = (
    "4586d96ba3604c05b1772c9fef74a6957402688eb9c075f212068d5a29afe6bc"
    "a924afaa4d12b8e0e593deea18b8b200f606a94ad4a0aa5361e75ffacb12087c"
)
FREEBSD = (
    "bd3ac2e7a7190afeb4763d7aacc4e5587d675f49c04b5cab59c40220e1d6c166"
    "55aa168f26a0531591d946d98343df5eb3b134b71bd5521e93a1bd3d3ac38fa1"
)
UBUNTU = "1eaa1df5794122e3419c963d88f043121c164936b9b828adac650c9f5e22c3e6"
FEDORA = "e401a4db2e5e04d1967b6729774faa96da629bcf3ba90b67d8d9cce9906bec0f"
CENTOS7 = "659691c28a0e672558b003d223f83938f254b39875ee7559d1a4a14c79173193"
CENTOS8 = "7fea13202bf2f26989df4175aace8fdc16e1137f7961c33512cbfad844008948"

PUBLISHED_LISTS = {
    "Debian SHA512SUMS": (
        f"{DEBIAN}  debian-12-generic-amd64.qcow2\n{FREEBSD}  debian-12-generic-amd64.raw\n",
        "debian-12-generic-amd64.qcow2",
        f"sha512:{DEBIAN}",
    ),
    "Ubuntu SHA256SUMS": (
        "2646292d657f4c9ef5dfce804a5a1e66d8c1324c74147b8bc9b1bf154d7feaf8 *jammy-server-cloudimg-arm64.img\n"
        f"{UBUNTU} *jammy-server-cloudimg-amd64.img\n"
        "1fcd2edf4fda78e0a6f3bc0c3684286c29371e4dd7863a59b39d2cfcff79b5e1 "
        "*jammy-server-cloudimg-amd64.squashfs.manifest\n",
        "jammy-server-cloudimg-amd64.img",
        f"sha256:{UBUNTU}",
    ),
    "Fedora CHECKSUM": (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        "# Fedora-Cloud-Base-Generic.x86_64-42-1.1.qcow2: 532217856 bytes\n"
        f"SHA256 (Fedora-Cloud-Base-Generic.x86_64-42-1.1.qcow2) = {FEDORA}\n"
        "# Fedora-Cloud-Base-AmazonEC2-42-1.1.x86_64.raw.xz: 541542268 bytes\n"
        f"SHA256 (Fedora-Cloud-Base-AmazonEC2-42-1.1.x86_64.raw.xz) = {'a3' * 32}\n"
        "-----BEGIN PGP SIGNATURE-----\n\n"
        "iQIzBAEBCAAdFiEEsPSVBFj2nhFQxsXtyKxJFhBe+UQFAmf4+/IACgkQyKxJFhBe\n"
        f"{'a3' * 32}\n"
        "=Ep6w\n-----END PGP SIGNATURE-----\n",
        "Fedora-Cloud-Base-Generic.x86_64-42-1.1.qcow2",
        f"sha256:{FEDORA}",
    ),
    "AlmaLinux CHECKSUM": (
        f"{'b' * 64}  AlmaLinux-9-GenericCloud-9.5-20241120.x86_64.qcow2\n"
        f"{UBUNTU}  AlmaLinux-9-GenericCloud-latest.x86_64.qcow2\n",
        "AlmaLinux-9-GenericCloud-latest.x86_64.qcow2",
        f"sha256:{UBUNTU}",
    ),
    "CentOS 7 sha256sum.txt": (
        f"{CENTOS7}  CentOS-7-x86_64-Minimal-2003.iso\r\n{CENTOS8}  CentOS-7-x86_64-NetInstall-2003.iso\r\n",
        "CentOS-7-x86_64-Minimal-2003.iso",
        f"sha256:{CENTOS7}",
    ),
    "CentOS 8 CHECKSUM": (
        "# CentOS-8.1.1911-x86_64-boot.iso: 625999872 bytes\n"
        f"SHA256 (CentOS-8.1.1911-x86_64-boot.iso) = {CENTOS8}\n"
        "# CentOS-8.1.1911-x86_64-dvd1.iso: 7554990080 bytes\n"
        "SHA256 (CentOS-8.1.1911-x86_64-dvd1.iso) = "
        "3ee3f4ea1538e026fff763e2b284a6f20b259d91d1ad5688f5783a67d279423b\n",
        "CentOS-8.1.1911-x86_64-boot.iso",
        f"sha256:{CENTOS8}",
    ),
    "Flatcar DIGESTS": (
        "# MD5 HASH\n0cc175b9c0f1b6a831c399e269772661  flatcar_production_openstack_image.img.bz2\n"
        "# SHA1 HASH\n86f7e437faa5a7fce15d1ddcb9eaeaea377667b8  flatcar_production_openstack_image.img.bz2\n"
        f"# SHA512 HASH\n{DEBIAN}  flatcar_production_openstack_image.img.bz2\n",
        "flatcar_production_openstack_image.img.bz2",
        f"sha512:{DEBIAN}",
    ),
    "Alpine .sha512": (DEBIAN, "nocloud_alpine-3.21.2-x86_64-bios-cloudinit-r0.qcow2", f"sha512:{DEBIAN}"),
    "FreeBSD CHECKSUM.SHA512": (
        f"SHA512 (FreeBSD-13.0-STABLE-arm64-aarch64-RPI.img.xz) = {FREEBSD}\n"
        f"SHA512 (FreeBSD-13.0-STABLE-amd64.raw.xz) = {DEBIAN}\n",
        "FreeBSD-13.0-STABLE-arm64-aarch64-RPI.img.xz",
        f"sha512:{FREEBSD}",
    ),
    "clear-signed with escaped dashes": (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n- {UBUNTU}  disk.img\n- -----\n",
        "disk.img",
        f"sha256:{UBUNTU}",
    ),
    "a clear-signed digest": (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{UBUNTU}\n"
        f"-----BEGIN PGP SIGNATURE-----\n\n{CENTOS7}\n-----END PGP SIGNATURE-----\n",
        "disk.img",
        f"sha256:{UBUNTU}",
    ),
    "path prefixes": (
        f"{CENTOS7}  ./old/disk.img\n{UBUNTU}  ./images/disk.img\n",
        "images/disk.img",
        f"sha256:{UBUNTU}",
    ),
    "a name that is exactly ours beside one in a folder": (
        f"{CENTOS7}  old/disk.img\n{UBUNTU}  disk.img\n",
        "disk.img",
        f"sha256:{UBUNTU}",
    ),
    "the algorithm as prefix": (f"sha256:{UBUNTU.upper()}\n", "disk.img", f"sha256:{UBUNTU}"),
    "the algorithm as prefix, with names": (
        f"sha256:{CENTOS7}  a.img\nsha256:{UBUNTU}  disk.img\n",
        "disk.img",
        f"sha256:{UBUNTU}",
    ),
    "openssl dgst": (f"SHA2-256(disk.img)= {UBUNTU}\n", "disk.img", f"sha256:{UBUNTU}"),
    "the same line twice": (f"{UBUNTU}  disk.img\n{UBUNTU} *./disk.img\n", "disk.img", f"sha256:{UBUNTU}"),
}


@pytest.mark.parametrize("notation", PUBLISHED_LISTS)
def test_published_lists_are_understood(notation: str) -> None:
    text, filename, expected = PUBLISHED_LISTS[notation]
    origin = f"https://example.org/{notation.rpartition(' ')[2]}"
    assert str(find_digest(text, filename, origin=origin).digest) == expected


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def ctx(tmp_path: Path, events: list[Any]) -> Context:
    return make_context(tmp_path, http=make_transport(), emit=events.append)


def transform(data: ImageData, ctx: Context, **options: Any) -> Image:
    return Checksum(ChecksumConfig(**options)).transform(image=Image(ImageRecord(id="x"), data), ctx=ctx)


def stream(body: bytes = BODY) -> ImageData:
    return ImageData.from_chunks(lambda: iter([body[:1000], body[1000:]]), size=len(body))


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"])
def test_the_right_digest_of_any_algorithm_passes(ctx: Context, events: list[Any], algorithm: str) -> None:
    expected = f"{algorithm}:{hashlib.new(algorithm, BODY).hexdigest()}"
    image = transform(stream(), ctx, expected=expected)
    assert image.data.size == len(BODY)
    assert image.data.peek(3) == BODY[:3]
    assert b"".join(image.data.chunks()) == BODY
    assert [(event.kind, event.message, event.verdict) for event in events] == [
        ("check", f"checksum {algorithm}", "passed")
    ]


@pytest.mark.parametrize("changed", [BODY + b"x", BODY[:-1], b"", b"y" + BODY[1:]])
def test_any_other_bytes_fail_after_the_last_one_and_name_both_values(
    ctx: Context, events: list[Any], changed: bytes
) -> None:
    expected, found = (hashlib.sha512(body).hexdigest() for body in (BODY, changed))
    image = transform(stream(changed), ctx, expected=f"sha512:{expected}")
    with pytest.raises(VerificationFailed, match=f"is {found}, but {expected} was expected"):
        list(image.data.chunks())
    assert [event.verdict for event in events] == ["failed"]


def test_a_file_is_compared_too(ctx: Context, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(BODY)
    image = transform(ImageData.from_file(path), ctx, expected="0" * 64)
    with pytest.raises(VerificationFailed):
        ctx.spool(image.data)
    assert list(tmp_path.iterdir()) == [path]


def test_weak_algorithms_are_noted_in_the_log(ctx: Context, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        transform(stream(), ctx, expected="md5:" + "0" * 32)
        transform(stream(), ctx, expected="sha256:" + "0" * 64)
    assert [record.getMessage()[:30] for record in caplog.records] == ["md5 shows accidents but not fo"]


def test_the_list_is_fetched_before_the_image_is_read(http_server: HttpServer, ctx: Context) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    url = http_server.answer("/SHA256SUMS", content(f"{digest}  disk.img\n{UBUNTU}  other.img\n".encode()))

    def unread() -> Iterator[bytes]:
        assert http_server.paths() == ["/SHA256SUMS"]
        yield BODY

    image = transform(ImageData.from_chunks(unread), ctx, url=url, filename="disk.img")
    assert b"".join(image.data.chunks()) == BODY


def test_a_list_that_is_missing_ends_the_import(http_server: HttpServer, ctx: Context) -> None:
    with pytest.raises(SourceUnavailable, match="/SHA256SUMS answered 404"):
        transform(stream(), ctx, url=http_server.url("/SHA256SUMS"))


def test_checksums_stand_above_conversion() -> None:
    assert Checksum.runs_before == {"image_conversion"}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"expected": UBUNTU, "url": "http://name/SHA256SUMS"},
        {"expected": UBUNTU, "filename": "disk.img"},
        {"expected": "sha256:"},
        {"expected": f"sha256:{DEBIAN}"},
        {"expected": f"crc:{UBUNTU}"},
        {"expected": "x" * 64},
        {"url": ""},
        {"url": "http://name/SHA256SUMS", "filename": ""},
        {"url": "http://name/SHA256SUMS", "algorithm": "crc32"},
        {"url": "http://name/SHA256SUMS", "max_list_size": 0},
        {"url": "http://name/SHA256SUMS", "max_list_size": "17 MiB"},
        {"url": "file://other.example/SHA256SUMS"},
        {"expected": UBUNTU, "algorithm": "sha256"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChecksumConfig(**options)
