from __future__ import annotations

import base64
import random
import subprocess
from pathlib import Path

import pytest

from imageport import UnsupportedFormat, VerificationFailed
from imageport.dataplane import FormatInspection, InspectionPolicy, identify, inspect_head

NOISE = random.Random(11).randbytes(1 << 20)
DIGEST = "d9a1f5c3" * 8
SENTENCE = "The quick brown fox jumps over the lazy dog, über alle Maßen.\r\n"

DOCUMENTS = {
    "an error in JSON": (b'{"error": {"code": 404, "message": "no such image"}}\n', "json"),
    "an empty object": (b"{}\n", "json"),
    "a list in JSON": (b"[ {} ]", "json"),
    "JSON in UTF-16": ('{"a": 1, "b": 2}'.encode("utf-16"), "json"),
    "an error in XML": (b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>', "xml"),
    "XML without declaration": (b"<Error><Code>AccessDenied</Code></Error>", "xml"),
    "OVF": (b'<?xml version="1.0"?>\n<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">', "ovf"),
    "OVF with a prefix": (b'<?xml version="1.0"?>\n<!-- x -->\n<ovf:Envelope vmw:buildId="1">', "ovf"),
    "a page": (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "html"),
    "a page after blanks": (b"\xef\xbb\xbf\n  <HTML>\n", "html"),
    "a pointer of LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + DIGEST.encode() + b"\nsize 9\n",
        "lfs-pointer",
    ),
    "a list of coreutils": (f"{DIGEST}  disk.qcow2\n".encode(), "digests"),
    "a list with a comment": (f"# disk.qcow2: 12 bytes\n{DIGEST} *disk.qcow2\n".encode(), "digests"),
    "a list of BSD": (f"SHA256 (disk.qcow2) = {DIGEST}\n".encode(), "digests"),
    "a manifest": (f"SHA256(disk.vmdk)= {DIGEST}\n".encode(), "digests"),
    "a digest alone": (f"{DIGEST}\n".encode(), "digests"),
    "a list in UTF-16": (f"{DIGEST}  disk.qcow2\r\n".encode("utf-16"), "digests"),
    "an armoured signature": (b"-----BEGIN PGP SIGNATURE-----\n\niQIz\n-----END PGP SIGNATURE-----\n", "signature"),
    "a signed list": (b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n", "signature"),
    "a minisign signature": (b"untrusted comment: signature\nRUQ\n", "signature"),
    "a binary signature": (b"\x89\x02\x33\x04\x00\x01\x0a\x00\x1d" + NOISE[:550], "signature"),
    "a short binary signature": (b"\x88\x75\x04\x00\x16\x0a\x00\x1d" + NOISE[:111], "signature"),
    "a PDF": (b"%PDF-1.7\n" + NOISE, "pdf"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + NOISE, "picture"),
    "not found": (b"Not Found", "text"),
    "text": (b"nothing to see here\n" * 9000, "text"),
    "text in UTF-8": (SENTENCE.encode() * 9000, "text"),
    "text in UTF-16": (SENTENCE.encode("utf-16-le") * 2000, "text"),
    "text in UTF-16 with a mark": (SENTENCE.encode("utf-16") * 2000, "text"),
    "text in UTF-32": (SENTENCE.encode("utf-32-be") * 2000, "text"),
    "text in Latin-1": (SENTENCE.encode("latin-1") * 2000, "text"),
    "text in Windows-1251": ("Файл не найден на сервере\r\n".encode("cp1251") * 900, "text"),
    "text in Shift JIS": ("ファイル が 見つかりません\r\n".encode("shift_jis") * 900, "text"),
    "text in GB 18030": ("找不到 文件\r\n".encode("gb18030") * 900, "text"),
    "base64": (base64.b64encode(NOISE), "text"),
    "a few bytes": (NOISE[:300], "fragment"),
}  # fmt: skip

DISKS = {
    "parallels": b"WithoutFreeSpace" + bytes(1 << 16),
    "parallels extended": b"WithouFreSpacExt" + bytes(1 << 16),
    "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n"
    + NOISE,
    "bochs": b"Bochs Virtual HD Image\0" + NOISE,
    "cowd": b"COWD" + bytes(1 << 16),
    "android sparse": b"\x3a\xff\x26\xed\1\0\0\0" + NOISE,
    "dmg": NOISE + b"koly".ljust(512, b"\0"),
    "encrypted dmg": b"encrcdsa" + NOISE,
    "ewf": b"EVF\x09\x0d\x0a\xff\x00" + NOISE,
    "partclone": b"partclone-image\0" + NOISE,
    "vma": b"VMA\0\0\0\0\1" + NOISE,
    "wim": b"MSWIM\0\0\0" + NOISE,
}


def found(content: bytes):  # type: ignore[no-untyped-def]
    inspection = FormatInspection()
    inspection.feed(content)
    return inspection.finish()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_named_and_refused_unless_it_is_declared_raw(name: str) -> None:
    content, expected = DOCUMENTS[name]

    file_type = identify(content[: 64 << 10])

    assert file_type is not None
    assert file_type.name == expected
    assert inspect_head(content[: 64 << 10]).file_type == file_type
    with pytest.raises(UnsupportedFormat) as refusal:
        InspectionPolicy().accept(found(content), None)
    assert refusal.value.message == f"the image is {file_type.description}"
    assert refusal.value.hint == file_type.hint
    assert InspectionPolicy(declared="raw").accept(found(content), "raw") == "raw"


@pytest.mark.parametrize("name", DISKS)
def test_a_foreign_disk_is_named_and_refused(name: str) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        InspectionPolicy().accept(found(DISKS[name]), None)
    assert refusal.value.hint


@pytest.mark.parametrize("name", ["parallels", "parallels extended", "cloop", "bochs", "cowd"])
def test_what_programs_probe_is_not_even_stored_when_it_is_declared_raw(name: str) -> None:
    with pytest.raises(UnsupportedFormat):
        InspectionPolicy(declared="raw").accept(found(DISKS[name]), "raw")


@pytest.mark.parametrize("driver", ["qcow", "qed", "parallels"])
def test_formats_that_only_qemu_reads_are_refused_with_the_command_that_converts_them(
    driver: str, tmp_path: Path
) -> None:
    path = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", driver, path, "4M"], check=True)

    for declared in (None, "raw"):
        with pytest.raises(VerificationFailed) as refusal:
            InspectionPolicy(declared=declared).accept(found(path.read_bytes()), declared)
        assert "qemu-img convert" in refusal.value.hint


@pytest.mark.parametrize(
    ("name", "driver", "options", "place", "length"),
    [
        ("qcow2", "qcow2", "compat=v3", 0, 4),
        ("qcow2", "qcow2", "compat=0.10", 0, 4),
        ("vmdk", "vmdk", "subformat=monolithicSparse", 0, 4),
        ("vmdk", "vmdk", "subformat=streamOptimized", 0, 4),
        ("vhdx", "vhdx", "subformat=dynamic", 0, 8),
        ("vhd", "vpc", "subformat=dynamic", 0, 8),
        ("vdi", "vdi", "static=off", 64, 4),
    ],
)
def test_an_image_with_a_damaged_magic_is_damaged_and_no_raw_disk(
    name: str, driver: str, options: str, place: int, length: int, tmp_path: Path
) -> None:
    path = tmp_path / "disk"
    subprocess.run(["qemu-img", "create", "-q", "-f", driver, "-o", options, path, "4M"], check=True)
    for number in range(length):
        content = bytearray(path.read_bytes())
        content[place + number] ^= 0x21
        if name == "vhd":
            # Without the copy of its footer at the end, too.
            del content[-512:]
        for declared in (None, name):
            with pytest.raises(
                VerificationFailed, match=f"the image is a {name} image whose first bytes"
            ) as refusal:
                InspectionPolicy(declared=declared).accept(found(bytes(content)), declared)
            assert not isinstance(refusal.value, UnsupportedFormat)
        assert InspectionPolicy(declared="raw").accept(found(bytes(content)), "raw") == "raw"


def test_a_luks_volume_with_a_damaged_magic_is_damaged() -> None:
    header = b"LUKT\xba\xbe\0\1aes".ljust(64 << 10, b"\0")
    with pytest.raises(VerificationFailed, match="the image is a luks image whose first bytes are damaged"):
        InspectionPolicy().accept(found(header), None)


@pytest.mark.parametrize(
    "text",
    [
        '# Disk DescriptorFile\nversion=1\nCID=1\n# {0}\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n',
        'version=1\n# {0}\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n',
        '# a\n\n  # b\r\nversion=3\r\n# {0}\ncreateType="monolithicFlat"\n',
    ],
)
@pytest.mark.parametrize("declared", [None, "raw"])
def test_a_vmdk_descriptor_is_known_by_its_start(declared: str | None, text: str) -> None:
    content = text.format("x" * (70 << 10)).encode()

    with pytest.raises(VerificationFailed, match="not safe: it is a descriptor"):
        InspectionPolicy(declared=declared).accept(found(content), declared)


@pytest.mark.parametrize(
    "content",
    [
        NOISE,
        bytes(1 << 20),
        bytes([0xFF]) * 100_000,
        bytes([0xF6]) * 100_000,
        b"hsqs" + NOISE,
        b"text, and then the disk".ljust(4096, b"\0") + NOISE,
        b"hello\n" * 90 + b"\1" + b"hello\n" * 20_000,
        bytes(512),
    ],
    ids=[
        "noise",
        "zeros",
        "erased flash",
        "formatted",
        "squashfs",
        "text and noise",
        "one control",
        "a sector",
    ],
)
def test_anything_else_may_be_a_disk(content: bytes) -> None:
    assert identify(content[: 64 << 10]) is None
    assert InspectionPolicy().accept(found(content), None) == "raw"


def test_noise_is_never_taken_for_a_document() -> None:
    noise = random.Random(12)

    for _ in range(1000):
        assert identify(noise.randbytes(512)) is None


@pytest.mark.parametrize("options", ["-F 12", "-F 16 -n DRIVERS", "-F 32 -M 0xf0", "-F 12 -M 0xf9 -f 1"])
def test_a_fat_volume_without_partitions_is_raw(options: str, tmp_path: Path) -> None:
    path = tmp_path / "floppy"
    path.write_bytes(
        bytes(40 << 20) if "32" in options else bytes(16 << 20) if "16" in options else bytes(1440 << 10)
    )
    subprocess.run(["/usr/sbin/mkfs.fat", *options.split(), path], check=True, stdout=subprocess.DEVNULL)

    assert (found(path.read_bytes()).name, found(path.read_bytes()).faults) == ("raw", ())


@pytest.mark.parametrize("name", [b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0"])
def test_other_file_systems_without_partitions_are_raw(name: bytes) -> None:
    code = b"This is not a bootable disk. Please insert a bootable floppy and press any key. " * 7
    sector = (b"\xeb\x52\x90" + name + bytes(70) + code)[:510] + b"\x55\xaa"

    assert (found(sector + NOISE).name, found(sector + NOISE).faults) == ("raw", ())
