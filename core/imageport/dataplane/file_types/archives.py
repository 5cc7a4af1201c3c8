"""Recognise archives and compressed files.

Sources: the specifications of the formats, and the magic files of file(1) for those that have none.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator

from imageport.dataplane.file_types.signature import (
    BOOT_RECORD,
    HEAD,
    FileType,
    Signature,
    is_damaged,
    nearly,
    starts,
)

_UNPACK = "add a step that unpacks it (see 'imageport plugins list'), or declare --disk-format raw to store it as it is"

JOIN_ZIP = "join the parts with 'zip -s 0 NAME.zip --out WHOLE.zip' and import that"

#: Bytes of the shortest packet that is looked into.
_OPENPGP_PACKET = 16
_OPENPGP_CIPHERS = range(1, 14)
#: How a password becomes a key, and how a key is encrypted, by number.
_OPENPGP_PASSWORD_KEYS = (0, 1, 3, 4)
_OPENPGP_KEY_ALGORITHMS = (1, 2, 16, 18, 25, 26)

_BZIP2_BLOCKS = (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))

_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))

#: The largest size that an .lzma file with a known size may have, as in xz.
_LZMA_MOST = 1 << 38
_LZMA_UNKNOWN = (1 << 64) - 1
_LZMA_DICTIONARIES = {1 << n for n in range(12, 32)} | {3 << n for n in range(11, 31)} | {0xFFFFFFFF}
_LZMA_HEADER = 13
_LZMA_TRIAL = 1 << 20

_TAR_BLOCK = 512
_TAR_SUM = slice(148, 156)

_LHA_METHOD = re.compile(rb"-(lh[0-9a-z]|lz[0-9s]|pm[0-9])-")
_LHA_COMMON = 22
#: Bytes that headers of level 0 and 1 may have after the name: an operating system, a date, owners.
_LHA_BEYOND_NAME = range(33)

_CPIO_NEW = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
_CPIO_OLD = re.compile(rb"070707[0-7]{70}")
_CPIO_BINARY_HEADER = 26

_ARJ_HEADER = range(30, 2601)


def _begins_gzip(head: bytes) -> bool:
    """Check the flags, the level and the operating system, too, if the magic is damaged (RFC 1952)."""
    magic = b"\x1f\x8b\x08"
    return head.startswith(magic) or (is_damaged(head, magic) and _has_gzip_fields(head))


def _has_gzip_fields(head: bytes) -> bool:
    return not head[3] & 0xE0 and head[8] in (0, 2, 4) and (head[9] <= 13 or head[9] == 255)


def _begins_zip(head: bytes) -> bool:
    """Check the version, the method and the length of the name, too, if the magic is damaged (APPNOTE 4.3.7)."""
    magic = b"PK\x03\x04"
    return head.startswith(magic) or (is_damaged(head, magic) and _has_zip_fields(head))


def _has_zip_fields(head: bytes) -> bool:
    version, _, method = struct.unpack_from("<HHH", head, 4)
    return version <= 63 and method <= 99 and 0 < int.from_bytes(head[26:28], "little") <= 1024


def _begins_bzip2(head: bytes) -> bool:
    """Require a block, or the end of an empty stream, behind three letters and a digit; one byte may be damaged."""
    found = head[4:10]
    same = max(sum(map(int.__eq__, found, block)) for block in _BZIP2_BLOCKS)
    return same + sum(map(int.__eq__, head, b"BZh")) + (head[3:4] in b"123456789") >= 9 and len(head) > 4


def _begins_zstd(head: bytes) -> bool:
    """Look behind skippable frames (RFC 8878, 3.1.2), with which pzstd begins."""
    position = 0
    while head.startswith(_SKIPPABLE, position):
        position += 8 + int.from_bytes(head[position + 4 : position + 8], "little")
    if position and position >= len(head):
        return len(head) >= HEAD or position == len(head)
    return head.startswith(_ZSTD, position) or (not position and is_damaged(head, _ZSTD) and not head[4] & 8)


def _begins_lzma(head: bytes) -> bool:
    """Check the header as xz does: an .lzma file has no magic bytes.

    A header with a length is one that a disk may begin with, so its data has to be that of LZMA, too.
    """
    if len(head) <= _LZMA_HEADER or head[0] >= 225 or head[_LZMA_HEADER] != 0:
        return False
    dictionary, size = struct.unpack_from("<IQ", head, 1)
    if dictionary not in _LZMA_DICTIONARIES:
        return False
    return size == _LZMA_UNKNOWN or (0 < size < _LZMA_MOST and _decodes_as_lzma(head[:4096]))


def _decodes_as_lzma(head: bytes) -> bool:
    # No more memory than the first bytes can need, for any dictionary size in the header.
    head = head[:1] + struct.pack("<I", _LZMA_TRIAL) + head[5:]
    try:
        return bool(lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(head, _LZMA_TRIAL))
    except lzma.LZMAError:
        return False


def _begins_compress(head: bytes) -> bool:
    """Require flags that exist, of which one may be damaged, and a first code that is a letter.

    Two bytes of magic may be machine code.
    """
    if len(head) < 5 or not head.startswith(b"\x1f\x9d") or head[4] & 1 or head[510:512] == BOOT_RECORD:
        return False
    flags = head[2]
    return (not flags & 0x60) + (flags >= 0x80) + (9 <= flags & 0x1F <= 16) >= 2


def _begins_tar(head: bytes) -> bool:
    """Check the sum of the header: v7 archives have no letters "ustar", and boot code may have them by chance."""
    block = head[:_TAR_BLOCK]
    if len(block) < _TAR_BLOCK:
        return False
    if block[257:262] == b"ustar" and block[510:512] != BOOT_RECORD:
        return True
    try:
        stored = int(block[_TAR_SUM].strip(b" \0"), 8)
    except ValueError:
        return False
    return block[0] != 0 and stored == sum(block) - sum(block[_TAR_SUM]) + 8 * ord(" ")


def _begins_lha(head: bytes) -> bool:
    """Require a header whose level and length fit, too, or where there is no boot record, one with a damaged byte."""
    if len(head) <= _LHA_COMMON:
        return False
    has_method = _LHA_METHOD.match(head, 2) is not None
    if head[510:512] == BOOT_RECORD:
        return has_method and _has_lha_length(head) and _has_lha_sum(head)
    fixed = max(sum(map(int.__eq__, head[2:7], method)) for method in (b"-lh -", b"-lz -", b"-pm -"))
    return has_method or (fixed >= 3 and _has_lha_length(head))


def _has_lha_length(head: bytes) -> bool:
    level = head[20]
    if level in (0, 1):
        return head[0] - _LHA_COMMON - head[21] in _LHA_BEYOND_NAME
    if level == 2:
        return int.from_bytes(head[:2], "little") >= 26
    return level == 3 and head[:2] == b"\x04\x00"


def _has_lha_sum(head: bytes) -> bool:
    """Check the sum of a header of level 0 or 1; the others have none at its place."""
    end = head[0] + 2
    return head[20] > 1 or (len(head) >= end and sum(head[2:end]) & 0xFF == head[1])


def _begins_lzip(head: bytes) -> bool:
    return nearly(b"LZIP\0", b"LZIP\1")(head) and len(head) > 5 and 12 <= head[5] & 0x1F <= 29


def _begins_binary_cpio(head: bytes) -> bool:
    """Require the kind of a file and a name that ends where it should."""
    for order in "<>":
        if len(head) > _CPIO_BINARY_HEADER and head[:2] == struct.pack(f"{order}H", 0o070707):
            mode = struct.unpack_from(f"{order}H", head, 6)[0]
            length = struct.unpack_from(f"{order}H", head, 20)[0]
            name = head[_CPIO_BINARY_HEADER : _CPIO_BINARY_HEADER + length]
            return (
                mode >> 12 in (1, 2, 4, 6, 8, 10, 12)
                and 1 < length <= 1024
                and name.find(b"\0") == length - 1
            )
    return False


def _begins_arj(head: bytes) -> bool:
    """Check the sum of the main header."""
    if not head.startswith(b"\x60\xea") or len(head) < 4:
        return False
    length = int.from_bytes(head[2:4], "little")
    header, stored = head[4 : 4 + length], head[4 + length : 8 + length]
    return length in _ARJ_HEADER and zlib.crc32(header) == int.from_bytes(stored.ljust(4, b"\0"), "little")


def _begins_windows_program(head: bytes) -> bool:
    """Require the header that the stub points to. A kernel that is a boot record as well may be a disk."""
    if not head.startswith(b"MZ") or len(head) < 64 or head[510:512] == BOOT_RECORD:
        return False
    return head.startswith(b"PE\0\0", int.from_bytes(head[60:64], "little"))


def _begins_elf(head: bytes) -> bool:
    return re.match(rb"\x7fELF[\x01\x02][\x01\x02]\x01", head) is not None


def _begins_encrypted_openpgp(head: bytes) -> bool:
    """Require a session key for a password or for a key (RFC 9580, sections 5.1.1 and 5.3.1), as gpg writes them."""
    if len(head) < _OPENPGP_PACKET or head[510:512] == BOOT_RECORD:
        return False
    start = {0x84: 2, 0x85: 3, 0x8C: 2, 0xC1: 2 if head[1] < 192 else 3, 0xC3: 2}.get(head[0])
    if start is None:
        return False
    version, algorithm, kind = head[start], head[start + 1], head[start + 2]
    if head[0] in (0x8C, 0xC3):
        return version == 4 and algorithm in _OPENPGP_CIPHERS and kind in _OPENPGP_PASSWORD_KEYS
    return version == 3 and head[start + 9] in _OPENPGP_KEY_ALGORITHMS


def _row(name: str, description: str, hint: str, matches: Callable[[bytes], bool]) -> Signature:
    return Signature(FileType(name, "archive", description, hint), matches)


def _that_steps_unpack() -> Iterator[Signature]:
    def row(name: str, description: str, matches: Callable[[bytes], bool]) -> Signature:
        return _row(name, description, _UNPACK, matches)

    yield row("gzip", "a gzip archive", _begins_gzip)
    yield row("xz", "an xz archive", nearly(b"\xfd7zXZ\0"))
    yield row("lzma", "an lzma archive", _begins_lzma)
    yield row("bzip2", "a bzip2 archive", _begins_bzip2)
    yield row("zstd", "a zstd archive", _begins_zstd)
    # A split archive in one part has a marker in front (APPNOTE 8.5.5).
    yield row("zip", "a zip archive", starts(b"PK00PK\x03\x04"))
    yield row("zip", "a zip archive", _begins_zip)
    yield row("7z", "a 7z archive", nearly(b"7z\xbc\xaf\x27\x1c"))
    yield row("lha", "an LHA archive", _begins_lha)
    yield row("tar", "a tar archive", _begins_tar)


def _that_programs_unpack() -> Iterator[Signature]:
    def row(name: str, description: str, command: str, matches: Callable[[bytes], bool]) -> Signature:
        return _row(name, description, f"unpack it with '{command}' and import the result", matches)

    yield row("lz4", "an lz4 archive", "lz4 -d", nearly(b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"))
    yield row("compress", "a .Z archive of compress", "gzip -d", _begins_compress)
    yield row("lzip", "an lzip archive", "lzip -d", _begins_lzip)
    yield row("lzop", "an lzop archive", "lzop -d", nearly(b"\x89LZO\0\r\n\x1a\n"))
    yield row("lrzip", "an lrzip archive", "lrzip -d", nearly(b"LRZI\0"))
    yield row("snappy", "a snappy archive", "snzip -d", nearly(b"\xff\x06\0\0sNaPpY"))
    yield row("rar", "a rar archive", "unrar x", nearly(b"Rar!\x1a\x07\0", b"Rar!\x1a\x07\x01\0", b"RE~^"))
    yield row("cab", "a cab archive", "cabextract", nearly(b"MSCF\0\0\0\0"))
    yield row("xar", "a xar archive", "bsdtar -xf", nearly(b"xar!\0\x1c\0\x01"))
    yield row("arj", "an arj archive", "arj x", _begins_arj)
    yield row("ace", "an ace archive", "unace x", nearly(b"**ACE**", at=7))
    yield row("wim", "a WIM archive of Windows", "wimapply", nearly(b"MSWIM\0\0\0"))
    yield row("rpm", "an rpm package", "rpm2cpio", nearly(b"\xed\xab\xee\xdb"))
    yield row("deb", "a Debian package", "dpkg-deb -x", nearly(b"!<arch>\ndebian"))
    yield row("ar", "an ar archive", "ar x", nearly(b"!<arch>\n", b"!<thin>\n"))
    for matches in (_CPIO_NEW.match, _CPIO_OLD.match, _begins_binary_cpio):
        yield row("cpio", "a cpio archive", "cpio -i", lambda head, matches=matches: bool(matches(head)))  # type: ignore[misc]


def _others() -> Iterator[Signature]:
    yield _row(
        "split zip", "the first part of a split zip archive", JOIN_ZIP, starts(b"PK\x07\x08PK\x03\x04")
    )
    program = "if it is a self-extracting archive, unpack it with '7z x' and import the result"
    yield _row("exe", "a Windows program", program, _begins_windows_program)
    yield _row("elf", "an ELF program", program, _begins_elf)
    yield _row(
        "script",
        "a script",
        "if it is a self-extracting archive, run it where it can do no harm, and import the result",
        starts(b"#!/", b"#! /"),
    )
    yield _row(
        "openssl", "a file encrypted with OpenSSL", "decrypt it and import the result", nearly(b"Salted__")
    )
    yield _row(
        "openpgp",
        "a file encrypted with OpenPGP",
        "decrypt it with 'gpg --decrypt' and import the result",
        _begins_encrypted_openpgp,
    )
    yield _row(
        "age",
        "a file encrypted with age",
        "decrypt it and import the result",
        nearly(b"age-encryption.org/v1\n"),
    )


ARCHIVES = (*_that_steps_unpack(), *_that_programs_unpack(), *_others())
