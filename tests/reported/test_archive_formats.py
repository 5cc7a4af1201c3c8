"""Archives of all kinds: unpacked, or named and refused, and never stored as disks."""

from __future__ import annotations

import gzip
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import RunImageport

DISK = random.Random(7).randbytes(300_000).ljust((1 << 20) - 4, b"\0") + b"END\n"


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., bytes]:
    """Run a command in a folder with ``disk.raw``, and return the archive that it writes to ``out`` or its output."""

    def run(*command: str, prefix: bytes = b"") -> bytes:
        folder = tmp_path / "pack"
        folder.mkdir()
        (folder / "disk.raw").write_bytes(DISK)
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return prefix + next((path.read_bytes() for path in folder.glob("out*")), done.stdout)

    return run


@pytest.mark.parametrize(
    "command",
    [
        ("xz", "--format=lzma", "-0", "-c", "disk.raw"),
        ("tar", "--format=v7", "-cf", "out", "disk.raw"),
        ("7z", "a", "-bd", "-tzip", "-mm=Deflate64", "out.zip", "disk.raw"),
        ("7z", "a", "-bd", "-tzip", "-mm=PPMd", "out.zip", "disk.raw"),
    ],
    ids=["lzma", "v7 tar", "Deflate64 in zip", "PPMd in zip"],
)
def test_archives_of_rare_kinds_are_unpacked(
    bench: Bench, pack: Callable[..., bytes], command: tuple[str, ...]
) -> None:
    bench.assert_stored(bench.imports(pack(*command), UNPACK, RAW), DISK)


def test_a_zip_of_one_segment_is_unpacked(bench: Bench, pack: Callable[..., bytes]) -> None:
    marked = pack("zip", "-q", "out.zip", "disk.raw", prefix=b"PK00")

    bench.assert_stored(bench.imports(marked, UNPACK, RAW), DISK)


REFUSED = {
    "lz4": (("lz4", "-qc", "disk.raw"), b"", "an lz4 archive", "lz4 -d"),
    "compress": (("compress", "-c", "disk.raw"), b"", "a .Z archive of compress", "gzip -d"),
    "lzip": (("lzip", "-c", "disk.raw"), b"", "an lzip archive", "lzip -d"),
    "lzop": (("cat", "disk.raw"), b"\x89LZO\0\r\n\x1a\n", "an lzop archive", "lzop -d"),
    "rar 5": (("cat", "disk.raw"), b"Rar!\x1a\x07\x01\0", "a rar archive", "unrar x"),
    "rar 4": (("cat", "disk.raw"), b"Rar!\x1a\x07\0", "a rar archive", "unrar x"),
    "cab": (("cat", "disk.raw"), b"MSCF\0\0\0\0", "a cab archive", "cabextract"),
    "xar": (("bsdtar", "--format=xar", "-cf", "out", "disk.raw"), b"", "a xar archive", "bsdtar -xf"),
    "cpio": (("bsdtar", "--format=newc", "-cf", "out", "disk.raw"), b"", "a cpio archive", "cpio -i"),
    "ar": (("ar", "rc", "out.a", "disk.raw"), b"", "an ar archive", "ar x"),
}


@pytest.mark.parametrize(
    "steps", [(UNPACK, RAW), (UNPACK,), (RAW,), ()], ids=["both", "unpack", "convert", "none"]
)
@pytest.mark.parametrize("kind", REFUSED)
def test_archives_without_a_reader_are_named_and_refused(
    bench: Bench, pack: Callable[..., bytes], kind: str, steps: tuple[str, ...]
) -> None:
    command, prefix, what, unpacker = REFUSED[kind]

    bench.assert_refused(
        bench.imports(pack(*command, prefix=prefix), *steps),
        5,
        f"the image is {what}",
        f"unpack it with '{unpacker}' and import the result",
    )


@pytest.mark.parametrize("steps", [(UNPACK,), ()], ids=["unpack", "none"])
def test_an_archive_without_a_reader_is_stored_as_raw_on_request(
    bench: Bench, pack: Callable[..., bytes], steps: tuple[str, ...]
) -> None:
    archive = pack("lz4", "-qc", "disk.raw")

    bench.assert_stored(bench.imports(archive, *steps, arguments=("--disk-format", "raw")), archive)


def test_an_archive_inside_another_is_named_with_it(bench: Bench, pack: Callable[..., bytes]) -> None:
    bench.assert_refused(
        bench.imports(gzip.compress(pack("lz4", "-qc", "disk.raw")), UNPACK),
        5,
        "the content of the gzip archive is an lz4 archive",
        "unpack it with 'lz4 -d' and import the result",
    )


@pytest.mark.parametrize("steps", [(RAW,), ()], ids=["convert", "none"])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("gzip", "-c", "disk.raw"), "a gzip archive"),
        (("xz", "-0", "-c", "disk.raw"), "an xz archive"),
        (("zip", "-q", "out.zip", "disk.raw"), "a zip archive"),
    ],
)
def test_an_archive_is_refused_where_no_step_unpacks_it(
    bench: Bench, pack: Callable[..., bytes], command: tuple[str, ...], name: str, steps: tuple[str, ...]
) -> None:
    archive = pack(*command)

    bench.assert_refused(
        bench.imports(archive, *steps),
        5,
        f"the image is {name}",
        "add a step that unpacks it (see 'imageport plugins list'), or declare --disk-format raw to store it as it is",
    )
    bench.assert_stored(bench.imports(archive, arguments=("--disk-format", "raw")), archive)


BCJ2 = ("-m0=BCJ2", "-m1=LZMA:d20", "-m2=LZMA:d19", "-m3=LZMA:d19", "-mb0:1", "-mb0s1:2", "-mb0s2:3")


def test_a_method_of_7z_without_a_reader_is_named_and_refused(
    bench: Bench, pack: Callable[..., bytes]
) -> None:
    bench.assert_refused(
        bench.imports(pack("7z", "a", "-bd", *BCJ2, "out.7z", "disk.raw"), UNPACK),
        5,
        "7z: 'disk.raw' uses the 7z method BCJ2, which is not supported here",
        "unpack it with '7z x' and import the result",
    )


@pytest.mark.parametrize("options", [("-psecret",), ("-psecret", "-mhe=on")], ids=["content", "names"])
def test_an_encrypted_7z_is_named_and_refused(
    bench: Bench, pack: Callable[..., bytes], options: tuple[str, ...]
) -> None:
    what = "'disk.raw'" if len(options) == 1 else "the archive"
    bench.assert_refused(
        bench.imports(pack("7z", "a", "-bd", *options, "out.7z", "disk.raw"), UNPACK),
        5,
        f"7z: {what} is encrypted",
        "unpack it with its password and import the result",
    )


def test_a_file_that_is_encrypted_with_openpgp_is_named_and_refused(
    bench: Bench, pack: Callable[..., bytes], tmp_path: Path
) -> None:
    home = ("--homedir", str(tmp_path), "--batch", "--pinentry-mode", "loopback", "--passphrase", "secret")

    bench.assert_refused(
        bench.imports(pack("gpg", *home, "--symmetric", "--output", "out", "disk.raw")),
        5,
        "the image is a file encrypted with OpenPGP",
        "decrypt it with 'gpg --decrypt' and import the result",
    )


JOIN = "join the parts with 'zip -s 0 NAME.zip --out WHOLE.zip' and import that"
PARTS_MISSING = "fetch the image again; if it came in several parts, join them all in their order before"


@pytest.fixture
def split(tmp_path: Path) -> dict[str, bytes]:
    """The parts of archives that are split."""
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "disk.raw").write_bytes(DISK)
    for command in (
        ["zip", "-q", "-s", "64k", "parts.zip", "disk.raw"],
        ["7z", "a", "-bd", "-tzip", "-v64k", "volumes.zip", "disk.raw"],
        ["xz", "-k", "disk.raw"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "steps", [(UNPACK, RAW), (UNPACK,), (RAW,), ()], ids=["both", "unpack", "convert", "none"]
)
def test_a_part_of_a_split_archive_is_not_a_disk(
    bench: Bench, split: dict[str, bytes], steps: tuple[str, ...]
) -> None:
    last = split["volumes.zip.005"]
    assert "volumes.zip.006" not in split
    for content, message, hint in (
        (split["parts.z01"], "the first part of a split zip archive", JOIN),
        (split["parts.zip"], "the last part of a split zip archive", JOIN),
        (last, "a zip archive whose beginning is damaged or missing", PARTS_MISSING),
        (
            split["disk.raw.xz"][100_000:],
            "an xz archive whose beginning is damaged or missing",
            PARTS_MISSING,
        ),
    ):
        bench.assert_refused(bench.imports(content, *steps), 5, f"the image is {message}", hint)
        declared = ("--disk-format", "raw")
        bench.assert_stored(bench.imports(content, *steps, arguments=declared), content)


def test_the_first_part_of_a_zip_that_7z_has_split_is_named(bench: Bench, split: dict[str, bytes]) -> None:
    bench.assert_refused(
        bench.imports(split["volumes.zip.001"], UNPACK),
        5,
        "zip: the archive is cut off after 65536 bytes: the list of members, which stands last, is missing; or this is "
        "the first part of several, which have to be joined with 'cat NAME.zip.*'",
        "fetch the image again, and compare its size and checksum with the publisher's",
    )


@pytest.mark.parametrize("method", ["zstd", "brotli"])
def test_a_7z_of_other_programs_than_7_zip_is_unpacked(bench: Bench, method: str, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(DISK)
    filters = {"zstd": py7zr.FILTER_ZSTD, "brotli": py7zr.FILTER_BROTLI}
    with py7zr.SevenZipFile(
        tmp_path / "out.7z", "w", filters=[{"id": filters[method], "level": 3}]
    ) as archive:
        archive.write(tmp_path / "disk.raw", "disk.raw")

    bench.assert_stored(bench.imports(tmp_path / "out.7z", UNPACK), DISK)
