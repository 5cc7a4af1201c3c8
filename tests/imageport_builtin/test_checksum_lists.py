"""Checksum lists in every notation, beside the tools that write and read them."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from imageport import LimitExceeded, VerificationFailed
from imageport_builtin import checksum_lines, checksum_notations
from imageport_builtin.checksum_digests import BY_LENGTH, Digest, algorithm_of
from imageport_builtin.checksum_lines import LONGEST_LINE
from imageport_builtin.checksum_lists import OptionNames, Wanted, find_digest
from imageport_builtin.checksum_notations import read_entries

BODY: Final = b"the bytes of the image"
FILE: Final = "disk.raw"
SUMS: Final = "https://example.org/images/SHA256SUMS"


def digest(algorithm: str, body: bytes = BODY) -> str:
    return hashlib.new(algorithm, body).hexdigest()


def other(algorithm: str) -> str:
    return digest(algorithm, b"another file")


S256, O256 = digest("sha256"), other("sha256")


def found(text: str, filename: str | None = FILE, *, origin: str = SUMS, **wanted: str | bool | None) -> str:
    return str(find_digest(text, Wanted(filename, **wanted), origin=origin).digest)  # type: ignore[arg-type]


def refused(
    text: str, filename: str | None = FILE, *, origin: str = SUMS, **wanted: str | bool | None
) -> VerificationFailed:
    with pytest.raises(VerificationFailed) as caught:
        found(text, filename, origin=origin, **wanted)
    assert caught.value.hint
    return caught.value


# ---------------------------------------------------------------------------------------------------------- notations


def sri(algorithm: str) -> str:
    return base64.b64encode(hashlib.new(algorithm, BODY).digest()).decode()


BLAKE, WHIRLPOOL = digest("blake2b"), digest("blake2b", b"not blake at all")
RULE = "-" * 64

NOTATIONS: Mapping[str, tuple[str, str]] = {
    "sha256sum": (f"{O256}  other.raw\n{S256}  disk.raw\n", S256),
    "sha256sum --binary": (f"{O256} *other.raw\n{S256} *disk.raw\n", S256),
    "sha256sum --tag": (f"SHA256 (other.raw) = {O256}\nSHA256 (disk.raw) = {S256}\n", S256),
    "cksum --base64": (f"SHA256 (disk.raw) = {sri('sha256')}\n", S256),
    "md5 -r": (f"{O256} other.raw\n{S256} disk.raw\n", S256),
    "a tab": (f"{O256}\tother.raw\n{S256}\tdisk.raw\n", S256),
    "aligned, with blanks at the ends": (f"   {O256}    other.raw  \n   {S256}    disk.raw  \n", S256),
    "CRLF": (f"{O256}  other.raw\r\n{S256}  disk.raw\r\n", S256),
    "no last line feed": (f"{O256}  other.raw\n{S256}  disk.raw", S256),
    "upper case": (f"{O256.upper()}  other.raw\n{S256.upper()}  disk.raw", S256),
    "standard input": (f"{S256}  -\n", S256),
    "standard input, cut off": (f"{S256}  \n", S256),
    "a digest alone": (f"{S256}\n", S256),
    "an algorithm and a digest": (f"SHA256: {S256}\n", S256),
    "sha256:digest": (f"sha256:{S256}\n", S256),
    "openssl dgst": (f"SHA2-256(other.raw)= {O256}\nSHA2-256(disk.raw)= {S256}\n", S256),
    "the algorithm before each digest": (f"SHA256: {O256}  ./d/other.raw\nSHA256: {S256}  ./d/disk.raw\n", S256),
    "Subresource Integrity": (f"sha256-{sri('sha256')}\n", S256),
    "Subresource Integrity with names": (f"sha256-{sri('sha256')} disk.raw\n", S256),
    "paths with slashes": (f"{O256}  out/other.raw\n{S256}  out/disk.raw\n", S256),
    "paths of Windows": (f"{O256}  build\\out\\other.raw\n{S256}  build\\out\\disk.raw\n", S256),
    "binary paths of Windows": (f"{O256} *out\\other.raw\n{S256} *out\\disk.raw\n", S256),
    "Get-FileHash": (
        f"\r\nAlgorithm       Hash{' ' * 67}Path\r\n---------       ----{' ' * 67}----\r\n"
        f"SHA256          {S256.upper()}       C:\\build\\disk.raw\r\n"
        f"SHA256          {O256.upper()}       C:\\build\\other.raw\r\n\r\n",
        S256,
    ),
    "Get-FileHash | Format-List": (
        f"\r\nAlgorithm : SHA256\r\nHash      : {O256.upper()}\r\nPath      : C:\\build\\other.raw\r\n\r\n"
        f"Algorithm : SHA256\r\nHash      : {S256.upper()}\r\nPath      : C:\\build\\disk.raw\r\n\r\n",
        S256,
    ),
    "certutil": (
        f"SHA256 hash of C:\\build\\disk.raw:\r\n{S256}\r\nCertUtil: -hashfile command completed successfully.\r\n",
        S256,
    ),
    "certutil of Windows 7": (
        f"SHA256 hash of file disk.raw:\r\n{' '.join(S256[at : at + 2] for at in range(0, 64, 2))}\r\n"
        "CertUtil: -hashfile command completed successfully.\r\n",
        S256,
    ),
    "certutil of two files": (
        f"SHA256 hash of other.raw:\r\n{O256}\r\nCertUtil: done.\r\nSHA256 hash of disk.raw:\r\n{S256}\r\n",
        S256,
    ),
    "the name first": (f"disk.raw  {S256}\nother.raw  {O256}\n", S256),
    "the name first, with a colon": (f"disk.raw: {S256}\nother.raw: {O256}\n", S256),
    "the name first, with blanks in it": (f"a disk.raw  {S256}\ndisk.raw  {O256}\n", O256),
    "a size between": (f"{S256} 22 disk.raw\n{O256} 12 other.raw\n", S256),
    "7z h": (
        f"SHA256                  Size  Name\n{RULE} -------------  ------------\n{S256}            22  disk.raw\n"
        f"{RULE} -------------  ------------\n{S256}            22  \n\nSize: 22\n\nSHA256 for data:      {S256}\n",
        S256,
    ),
    "a report of 7-Zip": (
        f"Name: disk.raw\nSize: 22 bytes\nCRC32: E408B5E8\nSHA256: {S256.upper()}\nSHA1: {digest('sha1')}\n"
        f"BLAKE2sp: {O256.upper()}\n",
        S256,
    ),
    "hashdeep": (
        f"%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n## Invoked from: /x\n##\n"
        f"22,{digest('md5')},{S256},./disk.raw\n12,{other('md5')},{O256},./other, too.raw\n",
        S256,
    ),
    "Debian Release": (
        f"Origin: Debian\nMD5Sum:\n {other('md5')}       12 other.raw\n {digest('md5')}       22 disk.raw\n"
        f"SHA256:\n {O256}       12 other.raw\n {S256}       22 disk.raw\n",
        S256,
    ),
    "Debian source control": (
        f"Checksums-Sha1:\n {digest('sha1')} 22 disk.raw\nChecksums-Sha256:\n {S256} 22 disk.raw\n"
        f"Files:\n {digest('md5')} 22 disk.raw\n",
        S256,
    ),
    "Gentoo Manifest": (
        f"DIST other.raw 12 BLAKE2B {other('blake2b')} SHA512 {other('sha512')}\n"
        f"DIST disk.raw 22 BLAKE2B {BLAKE} SHA512 {digest('sha512')}\n",
        digest("sha512"),
    ),
    "Gentoo DIGESTS": (
        f"# BLAKE2B HASH\n{BLAKE}  disk.raw\n# SHA512 HASH\n{digest('sha512')}  disk.raw\n",
        digest("sha512"),
    ),
    "old Gentoo DIGESTS": (
        f"# SHA512 HASH\n{digest('sha512')}  disk.raw\n# WHIRLPOOL HASH\n{WHIRLPOOL}  disk.raw\n",
        digest("sha512"),
    ),
    "Slackware": (
        "These are the MD5 message digests for the files in this directory.\nMD5 message digest     Filename\n"
        f"{other('md5')}  ./other.raw\n{digest('md5')}  ./iso/disk.raw\n",
        digest("md5"),
    ),
    "FreeBSD with sizes": (f"SHA256 (disk.raw) = {S256}\nSIZE (disk.raw) = 22\n", S256),
    "pkgsrc distinfo": (
        f"BLAKE2s (disk.raw) = {digest('blake2s')}\nSHA512 (disk.raw) = {digest('sha512')}\n"
        "Size (disk.raw) = 22 bytes\n",
        digest("sha512"),
    ),
    "a key's fingerprint above": (f"key:\n{'ABCDEF0123' * 4}\n{S256}  disk.raw\n{O256}  other.raw\n", S256),
    "names with percent signs": (f"{S256}  the%20disk.raw\n{O256}  other%20disk.raw\n", S256),
}  # fmt: skip


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_list_in_a_known_notation_gives_the_digest_of_the_file(notation: str) -> None:
    text, expected = NOTATIONS[notation]
    filename = "the disk.raw" if "percent" in notation else FILE
    origin = "https://example.org/CHECKSUM"
    assert find_digest(text, filename, origin=origin).value == expected


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_list_in_a_known_notation_gives_nothing_for_a_file_that_it_does_not_name(notation: str) -> None:
    text, _ = NOTATIONS[notation]
    if notation in (
        "standard input",
        "standard input, cut off",
        "a digest alone",
        "an algorithm and a digest",
        "sha256:digest",
        "Subresource Integrity",
    ):
        return  # nameless: a digest of any file
    error = refused(text, "isk.raw", origin="https://example.org/CHECKSUM")
    assert "has no checksum for 'isk.raw'" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>404 not found</body></html>",
        f"{S256[:-1]}  disk.raw\n",
        f"{S256}ff  disk.raw\n",
        f"{S256} {S256}",
    ],
)
def test_text_that_is_not_a_list_is_refused(text: str) -> None:
    if text == f"{S256} {S256}":
        assert "has no checksum for 'disk.raw'" in refused(text).message
        return
    error = refused(text)
    assert error.message.startswith(f"{SUMS} holds no checksums")
    assert "sha256sum" in error.hint
    assert "Get-FileHash" in error.hint


def test_the_first_line_that_looks_like_a_digest_is_quoted() -> None:
    grouped = " ".join(S256.upper()[at : at + 8] for at in range(0, 64, 8))
    assert refused(f"Downloads\n\ndisk.raw = [{grouped}]\n").message == (
        f"{SUMS} holds no checksums in a known notation; line 3, 'disk.raw = [{grouped}]' looks like one"
    )


def test_a_number_before_a_name_is_not_a_size_in_a_list_of_sha256sum() -> None:
    assert "nearest names are '25 disk.raw'" in refused(f"{S256}  25 disk.raw\n").message
    assert found(f"{S256}  25 disk.raw\n", "25 disk.raw") == f"sha256:{S256}"


@pytest.mark.parametrize("listed", ["?disk.raw", "^disk.raw", "disk.raw  # comment", "*disk.raw"])
def test_a_name_is_taken_as_it_is_written(listed: str) -> None:
    """shasum marks text mode with ?, and digests of bits with ^: those are not the digest of the bytes."""
    error = refused(f"{O256}  other.raw\n{S256}  {listed}\n")
    assert f"{listed!r}" in error.message


# --------------------------------------------------------------------------------------------------------- algorithms


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("b2sums.txt", "blake2b"),
        ("B2SUMS", "blake2b"),
        ("disk.raw.b2", "blake2b"),
        ("disk.raw.blake2b", "blake2b"),
        ("BLAKE2SUMS", "blake2b"),
        ("SHA512SUMS", "sha512"),
        ("disk.raw.sha512", "sha512"),
        ("CHECKSUM.SHA512-FreeBSD-14.1-RELEASE-amd64", "sha512"),
        ("sha3-512.txt", "sha3_512"),
        ("sha3sums", "sha3_512"),
        ("blake2b-tools.iso.sha512", "sha512"),
        ("disk-sha512sums.txt", "sha512"),
    ],
)
def test_the_name_of_the_list_decides_what_128_digits_are(name: str, algorithm: str) -> None:
    for origin in (f"https://example.org/{name}", f"/srv/{name}"):
        for text in (
            f"{digest(algorithm)}  disk.raw\n",
            f"{digest(algorithm)}\n",
            f"disk.raw: {digest(algorithm)}\n",
        ):
            assert found(text, origin=origin) == f"{algorithm}:{digest(algorithm)}"


def test_128_digits_of_an_unnamed_algorithm_are_refused_until_the_user_names_it() -> None:
    for origin in ("https://example.org/CHECKSUM", "https://b2.example.org/sha512/sums", "list"):
        error = refused(f"{BLAKE}  disk.raw\n", origin=origin)
        assert error.message == (
            f"the digest in line 1 of {origin} for 'disk.raw' cannot be used: "
            "128 hexadecimal digits are sha512 or blake2b, and the list does not name the algorithm"
        )
        assert error.hint == "name it with the option algorithm of the step checksum"
        for algorithm in ("blake2b", "sha512"):
            assert found(f"{BLAKE}  disk.raw\n", origin=origin, algorithm=algorithm) == f"{algorithm}:{BLAKE}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b2sums.txt", f"{S256}  disk.raw\n"),
        ("B3SUMS", f"{S256}  disk.raw\n"),
        ("sums", f"# BLAKE3 HASH\n{S256}  disk.raw\n"),
        ("sums", f"BLAKE3 (disk.raw) = {S256}\n"),
        ("sums", f"BLAKE2b-256 (disk.raw) = {S256}\n"),
        ("sums", f"WHIRLPOOL (disk.raw) = {BLAKE}\n"),
        ("sums", f"# WHIRLPOOL HASH\n{BLAKE}  disk.raw\n"),
        ("sums", f"BLAKE3: {S256}\n"),
        ("sums", f"DIST disk.raw 22 BLAKE3 {S256}\n"),
    ],
)
def test_a_digest_of_an_unsupported_algorithm_is_never_taken_for_another(name: str, text: str) -> None:
    error = refused(text, origin=f"https://example.org/{name}")
    assert "not supported" in error.message
    assert "line" in error.message


def test_a_tab_and_an_asterisk_part_digest_and_name_as_coreutils_read_them() -> None:
    other, right = "0" * 64, "1" * 64
    text = f"{other} *d/disk.raw\n{right}\t*disk.raw\n"

    assert find_digest(text, "disk.raw", origin="the list").value == right


def test_a_list_with_zeros_is_refused() -> None:
    text = f"SHA256 (d/disk.raw) = {'0' * 64}\nSHA256 (disk.raw) = {'1' * 64}\0\0\n"

    with pytest.raises(VerificationFailed, match="the list is not text: it has bytes that are zero"):
        find_digest(text, "disk.raw", origin="the list")


def test_blanks_around_the_equal_sign_of_bsd_do_not_matter() -> None:
    other, right = "0" * 64, "1" * 64
    text = f"SHA256 (d/disk.raw) = {other}\nSHA256(disk.raw)\t=  {right}\n"

    assert find_digest(text, "disk.raw", origin="the list").value == right


def test_digits_of_an_unnamed_algorithm_beside_a_digest_of_the_same_length_are_not_ignored() -> None:
    named, unnamed = "0" * 128, "1" * 128
    text = f"SHA512 (disk.raw) = {named}\n{unnamed}  disk.raw\n"

    with pytest.raises(
        VerificationFailed, match=r"has several digests for .disk\.raw., and 128 hexadecimal digits are"
    ):
        find_digest(text, "disk.raw", origin="the list")


def test_a_digest_that_does_not_have_the_length_of_its_algorithm_is_refused() -> None:
    assert (
        "a sha256 digest has 64 hexadecimal digits, not 40"
        in refused(f"SHA256 (disk.raw) = {digest('sha1')}\n").message
    )


def test_the_name_of_a_file_is_not_a_heading() -> None:
    assert found(f"# blake2b.raw: 22 bytes\n{S256}  blake2b.raw\n{O256}  disk.raw\n") == f"sha256:{O256}"


@pytest.mark.parametrize("digits", BY_LENGTH)
def test_a_bare_digest_is_of_the_usual_algorithm_with_its_length(digits: int) -> None:
    if digits == 128:
        with pytest.raises(ValueError, match="sha512 or blake2b"):
            algorithm_of(digits, [])
    else:
        assert algorithm_of(digits, []) == BY_LENGTH[digits]


SEVERAL = "".join(
    f"{algorithm.upper()} ({name}) = {hashlib.new(algorithm, body).hexdigest()}\n"
    for algorithm in ("md5", "blake2b", "sha512", "sha256")
    for name, body in ((FILE, BODY), ("other.raw", b"another file"))
)


def test_the_strongest_of_several_algorithms_counts() -> None:
    assert found(SEVERAL) == f"sha512:{digest('sha512')}"
    weak = "".join(line for line in SEVERAL.splitlines(keepends=True) if line.startswith(("MD5", "BLAKE")))
    assert found(weak) == f"blake2b:{BLAKE}"


def test_an_algorithm_that_the_list_uses_for_one_file_only_is_not_preferred() -> None:
    listed = f"{O256}  other.raw\n{S256}  disk.raw\n"
    assert found(f"{listed}{digest('sha384')}  disk.raw\n") == f"sha256:{S256}"
    assert found(f"{S256}  disk.raw\n{digest('sha384')}  disk.raw\n") == f"sha384:{digest('sha384')}"


def test_the_user_can_restrict_the_algorithm() -> None:
    assert found(SEVERAL, algorithm="md5") == f"md5:{digest('md5')}"
    error = refused(SEVERAL, algorithm="sha384")
    assert error.message == f"{SUMS} has no sha384 for 'disk.raw', but blake2b, md5, sha256 and sha512"
    assert error.hint == "name another one with the option algorithm of the step checksum, or leave that out"


def test_a_signed_list_with_weak_digests_only_is_refused() -> None:
    assert found(SEVERAL, signed=True) == f"sha512:{digest('sha512')}"
    listed = f"{other('md5')}  other.raw\n{digest('md5')}  disk.raw\n"
    assert refused(listed, signed=True).message == (
        f"{SUMS} is signed, but has only the md5 of the image, which can be forged"
    )
    assert found(f"{listed}{S256}  disk.raw\n", signed=True) == f"sha256:{S256}"


# --------------------------------------------------------------------------------------------------------------- names


def test_a_list_without_a_name_in_it_is_about_any_file_and_must_have_one_answer() -> None:
    assert found(f"{S256}\n", "anything") == f"sha256:{S256}"
    assert found(f"SHA1: {digest('sha1')}\nSHA256: {S256}\n", "anything") == f"sha256:{S256}"
    assert "has several digests and no file names" in refused(f"{S256}\n{O256}\n").message


def test_a_list_about_one_file_needs_no_name() -> None:
    assert found(f"{S256}  disk.raw\n", None) == f"sha256:{S256}"
    error = refused(f"{S256}  disk.raw\n{O256}  other.raw\n", None)
    assert error.message == f"{SUMS} is about 2 files: 'disk.raw', 'other.raw'"
    assert error.hint == "name the file with the option filename of the step checksum"


FOLDERS = f"{S256}  amd64/disk.raw\n{O256}  arm64/disk.raw\n"


@pytest.mark.parametrize(
    ("path", "beside"),
    [
        ("/images/amd64/disk.raw", "amd64/disk.raw"),
        ("/images/amd64/disk.raw", None),
        ("/mirror/images/amd64/disk.raw", None),
    ],
)
def test_the_path_of_the_image_distinguishes_files_of_one_name(path: str, beside: str | None) -> None:
    assert found(FOLDERS, path=path, beside=beside) == f"sha256:{S256}"


@pytest.mark.parametrize("path", [None, "/images/disk.raw", "/images/s390x/disk.raw"])
def test_files_of_one_name_that_cannot_be_distinguished_are_named(path: str | None) -> None:
    error = refused(FOLDERS, path=path)
    assert error.message == f"{SUMS} has several files called 'disk.raw': 'amd64/disk.raw', 'arm64/disk.raw'"
    assert error.hint == "name one with its folder, in the option filename of the step checksum"
    assert found(FOLDERS, "amd64/disk.raw", path=path) == f"sha256:{S256}"


def test_a_path_from_the_folder_of_the_list_goes_before_a_bare_name() -> None:
    text = f"{O256}  disk.raw\n{S256}  amd64/disk.raw\n"
    assert found(text, path="/images/amd64/disk.raw", beside="amd64/disk.raw") == f"sha256:{S256}"
    assert found(text, path="/images/disk.raw", beside="disk.raw") == f"sha256:{O256}"
    assert found(text, path="/elsewhere/disk.raw") == f"sha256:{O256}"
    backslashes = text.replace("/", "\\")
    assert found(backslashes, path="/images/amd64/disk.raw", beside="amd64/disk.raw") == f"sha256:{S256}"


def test_two_digests_of_one_path_are_refused() -> None:
    assert "has several digests for 'disk.raw'" in refused(f"{S256}  disk.raw\n{O256}  ./disk.raw\n").message
    assert found(f"{S256}  disk.raw\n{S256} *./disk.raw\n") == f"sha256:{S256}"


@pytest.mark.parametrize(
    ("filename", "listed", "hint"),
    [
        (
            "disk.raw.xz",
            "disk.raw",
            "the list has the digest of the unpacked file: use the step checksum, below image_decompression, "
            "with 'filename: disk.raw'",
        ),
        (
            "disk.raw.tar.gz",
            "out/disk.raw",
            "the list has the digest of the unpacked file: use the step checksum, below image_decompression, "
            "with 'filename: out/disk.raw'",
        ),
        (
            "disk.raw",
            "disk.raw.zst",
            "the list has the digest of the packed file: import 'disk.raw.zst', or ask for a digest of this one",
        ),
        (
            "disk.raw",
            "other.raw",
            "name the file as the list does, with the option filename of the step checksum",
        ),
    ],
)
def test_the_hint_for_a_name_that_is_not_listed_fits_what_is_listed(
    filename: str, listed: str, hint: str
) -> None:
    error = refused(f"{S256}  {listed}\n", filename)
    assert error.message == f"{SUMS} has no checksum for {filename!r}; the nearest names are {listed!r}"
    assert error.hint == hint


def test_hints_name_the_options_of_the_plugin_that_looks_up() -> None:
    options = OptionNames("acme", "acme_url", "acme_name", "acme_algorithm")
    for text, filename, hint in (
        (f"{S256}  a\n", "b", "name the file as the list does, with the option acme_name of acme"),
        (f"{S256}  a\n", "a.xz", "in place of acme_url"),
        (f"{BLAKE}  a\n", "a", "name it with the option acme_algorithm of acme"),
    ):
        with pytest.raises(VerificationFailed) as caught:
            find_digest(text, filename, origin="list", options=options)
        assert hint in caught.value.hint


def test_the_nearest_of_many_names_are_found_quickly() -> None:
    text = "".join(f"{O256}  {'x' * 200}{number}\n" for number in range(20_000)) + f"{S256}  disk.ram\n"
    assert "the nearest names are 'disk.ram'" in refused(text).message


# ---------------------------------------------------------------------------------------------------- hostile names

SEPARATORS = [
    *"\x00\x01\x0b\x0c\r\x1b\x1c\x1d\x1e\x7f\x85\u2028\u2029",
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
]


@pytest.mark.parametrize("separator", SEPARATORS, ids=ascii)
def test_a_name_with_a_control_character_or_separator_makes_the_list_refused(separator: str) -> None:
    smuggled = f"notes{separator}{other('sha512')}  disk.raw"
    error = refused(f"{S256}  disk.raw\n{O256}  {smuggled}\n")
    assert error.message.startswith(
        f"line 2 of {SUMS} has a file name with the character U+{ord(separator):04X}, "
        "which can make one line look like two: 'notes"
    )
    assert error.message.isprintable()


def test_a_name_with_an_escaped_line_feed_is_one_name() -> None:
    text = f"{S256}  disk.raw\n\\{O256}  notes\\n{other('sha512')}  disk.raw\n"
    assert found(text) == f"sha256:{S256}"
    assert found(text, f"notes\n{other('sha512')}  disk.raw") == f"sha256:{O256}"


def test_a_control_character_outside_of_names_changes_nothing() -> None:
    assert found(f"Images\x0c of\u2028today\n{S256}  disk.raw\n") == f"sha256:{S256}"


# What a publisher's tool may print for a file of this name, digest and size.
WRITERS: Mapping[str, Callable[[str, str], str]] = {
    "sha256sum": lambda name, value: f"{value}  {name}",
    "sha256sum --binary": lambda name, value: f"{value} *{name}",
    "md5 -r": lambda name, value: f"{value} {name}",
    "tag": lambda name, value: f"SHA256 ({name}) = {value}",
    "openssl": lambda name, value: f"SHA2-256({name})= {value}",
    "name first": lambda name, value: f"{name}  {value}",
    "name and colon": lambda name, value: f"{name}: {value}",
    "name and one blank": lambda name, value: f"{name} {value}",
    "size": lambda name, value: f" {value} {22:8} {name}",
    "Get-FileHash": lambda name, value: f"SHA256          {value.upper()}       {name}",
    "manifest": lambda name, value: f"DIST {name} 22 SHA256 {value}",
    "hashdeep": lambda name, value: f"22,{value},{name}",
}
HEADS = {"hashdeep": "%%%% HASHDEEP-1.0\n%%%% size,sha256,filename\n"}

EVIL = digest("sha512", b"evil")
EVIL256 = digest("sha256", b"evil")
#: Names that an attacker who may name a file would choose to be taken for disk.raw.
TRICKS = [
    "disk.raw ", " disk.raw", "*disk.raw", "./x disk.raw", "25 disk.raw", "25  disk.raw", "-", "\\disk.raw",
    "# disk.raw", f"{EVIL}  disk.raw", f"{EVIL256} *disk.raw", f"{EVIL256}  disk.raw  ",
    f"SHA512 (disk.raw) = {EVIL}", "SHA512 (disk.raw) =", "SHA256 (disk.raw) = ", f"x) = {EVIL}",
    "disk.raw) = ", "(disk.raw) =", f"disk.raw  {EVIL256}", f"disk.raw: {EVIL256}", "disk.raw:",
    "disk.raw =", f"DIST disk.raw 22 SHA512 {EVIL} SHA256", f"SHA256 {EVIL256} disk.raw",
    f"sha512:{EVIL} disk.raw", f"22,{EVIL256},disk.raw", "SHA512 hash of disk.raw:", "Path: disk.raw",
    "Name : disk.raw", "SHA512:", "# SHA512 HASH", "-----BEGIN PGP SIGNATURE-----",
    "-----BEGIN PGP SIGNED MESSAGE-----", "- disk.raw", f"{EVIL256} 22 disk.raw", "disk%2Eraw", "SHA512",
    f"{EVIL}", "=", ":", "disk.raw\t", f"\\{EVIL256}  disk.raw",
]  # fmt: skip
pieces = st.one_of(
    st.sampled_from(TRICKS),
    st.text(st.characters(exclude_characters="/\n", exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(
        [
            " ",
            "  ",
            " *",
            "\t",
            "(",
            ") = ",
            "\\",
            "\\n",
            ":",
            FILE,
            EVIL,
            EVIL256,
            "SHA512",
            "22",
            "\r",
            "\u2028",
        ]
    ),
)
names = st.lists(pieces, min_size=1, max_size=4).map("".join).filter(lambda name: name not in ("", ".", ".."))


@settings(max_examples=1000, deadline=None)
@given(
    writer=st.sampled_from(sorted(WRITERS)),
    hostile=st.lists(names, min_size=1, max_size=4),
    place=st.integers(0, 4),
)
@example(writer="name and one blank", hostile=["SHA512 (disk.raw) ="], place=0)
@example(writer="name and one blank", hostile=[f"DIST disk.raw 22 SHA512 {EVIL} SHA256"], place=0)
@example(writer="name and colon", hostile=["SHA512"], place=0)
@example(writer="md5 -r", hostile=["22 disk.raw"], place=1)
@example(writer="name and one blank", hostile=[" ", "  "], place=0)
def test_no_name_makes_another_line_count_for_the_image(writer: str, hostile: list[str], place: int) -> None:
    assume(FILE not in hostile)
    write = WRITERS[writer]
    lines = [write(name, EVIL256) for name in hostile]
    lines.insert(place, write(FILE, S256))
    text = HEADS.get(writer, "") + "\n".join(lines) + "\n"
    try:
        got = found(text, origin="https://example.org/CHECKSUM")
    except (VerificationFailed, LimitExceeded):
        return
    assert got == f"sha256:{S256}"


@given(st.text(), st.one_of(st.none(), st.text()))
def test_any_text_is_a_list_or_refused(text: str, filename: str | None) -> None:
    with pytest.raises(VerificationFailed):
        find_digest(text, filename, origin="x")


# -------------------------------------------------------------------------------------------- beside the real tools

#: What file systems of Linux take as a name, at least of those names that are UTF-8.
file_names = (
    st.lists(
        st.one_of(
            st.sampled_from(
                [FILE, " ", "*", "\\", "\n", "\r", "(", ") = ", "=", "%20", "-", "#", ":", S256, "22", "\t"]
            ),
            st.text(
                st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=5
            ),
        ),
        min_size=1,
        max_size=5,
    )
    .map("".join)
    .filter(lambda name: name not in (".", "..") and len(os.fsencode(name)) < 200)
)
TOOLS: Sequence[tuple[str, tuple[str, ...], str]] = [
    ("md5", ("md5sum",), "MD5SUMS"),
    ("sha1", ("sha1sum", "--binary"), "SHA1SUMS"),
    ("sha256", ("sha256sum",), "SHA256SUMS"),
    ("sha256", ("sha256sum", "--tag"), "SHA256SUMS"),
    ("sha512", ("sha512sum",), "SHA512SUMS"),
    ("blake2b", ("b2sum",), "B2SUMS"),
    ("blake2b", ("b2sum", "--tag"), "CHECKSUM"),
    ("sha384", ("cksum", "-a", "sha384"), "CHECKSUM"),
    ("sha256", ("cksum", "-a", "sha256", "--untagged"), "CHECKSUM"),
    ("sha256", ("shasum", "-a", "256"), "CHECKSUM"),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tool=st.sampled_from(TOOLS), listed=st.lists(file_names, min_size=1, max_size=5, unique=True))
def test_lists_of_the_tools_give_each_file_its_digest(
    tool: tuple[str, tuple[str, ...], str], listed: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The tool itself confirms the list, and every file in it has the digest of its bytes or makes the list refused."""
    algorithm, command, name = tool
    # Of Perl's shasum, a name that ends with a carriage return looks like a line of Windows.
    assume("shasum" not in command or not any("\r" in file for file in listed))
    folder = tmp_path_factory.mktemp("files")
    for file in listed:
        (folder / file).write_bytes(file.encode())
    written = subprocess.run([*command, "--", *listed], cwd=folder, capture_output=True, check=True).stdout
    (folder / "list").write_bytes(written)
    # 9.1 cannot check what cksum -a writes without a tag.
    check = [command[0], "--check", "--status", "list"]
    if "cksum" not in command:
        assert subprocess.run(check, cwd=folder, check=False).returncode in (0, 1)
    for file in listed:
        if file == "-" or not file.strip(" \t"):
            continue  # standard input
        try:
            got = find_digest(written.decode(), file, origin=f"https://example.org/{name}").digest
        except VerificationFailed as error:
            # Names that the list cannot distinguish, or must not have.
            assert "which can make one line look like two" in error.message or "several" in error.message
            continue
        assert got == Digest(algorithm, hashlib.new(algorithm, file.encode()).hexdigest())
    if not any(unquote(file).strip(" \t") in (FILE, "-", "") for file in listed):
        with pytest.raises(VerificationFailed):
            find_digest(written.decode(), FILE, origin=f"https://example.org/{name}")


@pytest.mark.parametrize("name", ["disk.img", "with blank.img", "back\\slash\n line.img", "(odd) = x.img"])
@pytest.mark.parametrize("options", [[], ["--binary"], ["--tag"]])
@pytest.mark.parametrize(
    "program", ["md5sum", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "b2sum"]
)
def test_what_coreutils_write_is_read(tmp_path: Path, program: str, options: list[str], name: str) -> None:
    (tmp_path / name).write_bytes(BODY)
    run = subprocess.run([program, *options, name], cwd=tmp_path, capture_output=True, check=True)
    algorithm = {"b2sum": "blake2b"}.get(program, program.removesuffix("sum"))
    expected = Digest(algorithm, digest(algorithm))
    assert find_digest(run.stdout.decode(), name, origin=f"/srv/{program.upper()}S").digest == expected


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha3-256", "blake2b512", "sha512-256"])
@pytest.mark.parametrize("options", [(), ("-r",)])
def test_what_openssl_writes_is_read(tmp_path: Path, algorithm: str, options: tuple[str, ...]) -> None:
    (tmp_path / "disk.img").write_bytes(BODY)
    run = subprocess.run(
        ["openssl", "dgst", f"-{algorithm}", *options, "disk.img"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    got = find_digest(run.stdout.decode(), "disk.img", origin=f"/srv/disk.img.{algorithm}").digest
    assert got.value in run.stdout.decode()
    assert hashlib.new(got.algorithm, BODY).hexdigest() == got.value


def test_what_7z_writes_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(BODY)
    run = subprocess.run(
        ["7z", "h", "-scrcSHA256", FILE], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    assert found(run.stdout) == f"sha256:{S256}"


# ------------------------------------------------------------------------------------------------------------- limits


def test_a_line_has_a_limit() -> None:
    name = "x" * (LONGEST_LINE - 66)
    assert found(f"{S256}  {name}\n", name) == f"sha256:{S256}"
    with pytest.raises(LimitExceeded, match=f"line 2 of {SUMS} has more than 10000 characters"):
        found(f"{S256}  disk.raw\n{S256}  {name}x\n")


@pytest.mark.parametrize(
    ("module", "limit"), [(checksum_notations, "MOST_ENTRIES"), (checksum_lines, "MOST_LINES")]
)
def test_lists_have_a_limit_of_lines_and_entries(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, limit: str
) -> None:
    text = "".join(f"{S256}  disk.raw\n" for _ in range(50))
    monkeypatch.setattr(module, limit, 51)
    assert found(text) == f"sha256:{S256}"
    monkeypatch.setattr(module, limit, 49)
    with pytest.raises(LimitExceeded, match=f"{SUMS} has more than 49 (lines|entries)"):
        found(text)


def test_one_line_with_many_digests_counts_as_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum_notations, "MOST_ENTRIES", 20)
    with pytest.raises(LimitExceeded, match="more than 20 entries"):
        read_entries(f"DIST disk.raw 22{f' SHA256 {S256}' * 21}\n", origin=SUMS)


@pytest.mark.parametrize(
    "line", [" " * 9999, "a" + " " * 9998, ":" * 9999, ") = " * 2499, "(" * 9999, "f" * 9999, "a-" * 4999]
)
def test_hostile_lines_take_time_in_proportion_to_their_length(line: str) -> None:
    """A pattern that backtracks would need hours for these."""
    refused("\n".join([line] * 100))
