"""Checksum lists as publishers and their tools write them, from a server or beside the image on this machine."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.imageport_builtin.verification.gpg import Gpg
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import Finished, RunImageport
from imageport.testing.http_server import HttpServer, content

DISK = bytes(512) + random.Random(11).randbytes(300_000).ljust(512 << 10, b"\0") + b"END\n".rjust(512, b"\0")
PACKED = lzma.compress(DISK, preset=0)
EVIL = b"EVIL".ljust(1 << 20, b"\0")
OTHER = hashlib.sha256(b"other").hexdigest()
LOOK_UP = (
    "the source has another version than the digest is of, or its bytes changed on the way: "
    "compare the digest with the publisher's, and fetch the image again"
)


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def checksum(**options: Any) -> dict[str, Any]:
    return {"use": "checksum", "with": options}


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.fixture
def server(http_server: HttpServer) -> HttpServer:
    http_server.answer("/disk.raw", content(DISK))
    http_server.answer("/disk.raw.xz", content(PACKED))
    return http_server


@pytest.fixture(scope="module")
def gpg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpg]:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gpg", ignore_cleanup_errors=True) as home:
        made = Gpg(Path(home))
        made.make_key("publisher")
        yield made
        made.stop()


def publish(server: HttpServer, text: bytes, name: str = "SHA256SUMS", **headers: str) -> str:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.answer(f"/{name}", content(text, headers=fields))


def assert_verified(
    done: Finished, body: bytes = DISK, algorithm: str = "sha256", signer: str | None = None
) -> None:
    """The report names the compared digest and the signer."""
    check = {
        "name": f"checksum {algorithm}",
        "verdict": "passed",
        "digest": f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}",
    }
    assert done.report["source"]["checks"] == [check | ({"signer": signer} if signer else {})]


# ---------------------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_list_in_utf_16_is_read(bench: Bench, server: HttpServer, encoding: str) -> None:
    """PowerShell 5 writes UTF-16 with a byte order mark."""
    text = f"{sha256(DISK)} *disk.raw\r\n{OTHER} *größer.raw\r\n"
    mark = "" if encoding in ("utf-16", "utf-8-sig") else "\ufeff"
    url = publish(server, (mark + text).encode(encoding))
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    assert_verified(done)
    bench.assert_stored(done, DISK)


def test_the_signature_of_a_list_in_utf_16_covers_its_bytes(
    bench: Bench, server: HttpServer, gpg: Gpg
) -> None:
    (bench.folder / "keys").write_bytes(gpg.certificates("publisher"))
    text = f"{sha256(DISK)} *disk.raw\r\n".encode("utf-16")
    url, signature = publish(server, text), publish(server, gpg.detached(text, "publisher"), "SUMS.asc")
    step = checksum(url=url, filename="disk.raw", signature_url=signature, keyring="keys")
    done = bench.downloads(server.url("/disk.raw"), step)
    assert_verified(done, signer=gpg.fingerprint("publisher"))
    bench.assert_stored(done, DISK)
    publish(server, text.decode("utf-16").encode())
    bench.assert_refused(
        bench.downloads(server.url("/disk.raw"), step),
        5,
        f"the signature does not match {url} (signed by the certificate {gpg.fingerprint('publisher')} of publisher "
        "<publisher@example.org>)",
        "the list or its signature was changed, or they do not belong together",
    )


@pytest.mark.parametrize(
    ("document", "message", "hint"),
    [
        (
            f"{sha256(DISK)}  disk.raw\n".encode("utf-16-le"),
            "{url} is not text: it has null characters",
            "name the checksum list itself, neither compressed nor binary; text in UTF-16 needs a byte order mark",
        ),
        (
            b"\xff\xfe\x00\xd8",
            "{url} begins like text in UTF-16, but is not: unexpected end of data at byte 0",
            "fetch the list again, or ask the publisher for one in UTF-8",
        ),
    ],
    ids=["no byte order mark", "broken"],
)
def test_a_list_that_is_not_text_is_refused(
    bench: Bench, server: HttpServer, document: bytes, message: str, hint: str
) -> None:
    url = publish(server, document)
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    bench.assert_refused(done, 5, message.format(url=url), hint)


def test_names_that_are_not_utf_8_do_not_disturb_the_others(bench: Bench, server: HttpServer) -> None:
    url = publish(
        server,
        f"{OTHER}  gr\udcf6\udcdfer.raw\n{sha256(DISK)}  disk.raw\n".encode("utf-8", "surrogateescape"),
    )
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    bench.assert_stored(done, DISK)


# ---------------------------------------------------------------------------------------------------------- notations

D, UPPER = sha256(DISK), sha256(DISK).upper()


@pytest.mark.parametrize(
    "text",
    [
        f"{D}  build\\out\\disk.raw\n{OTHER}  build\\out\\other.raw\n",
        f"\r\nAlgorithm       Hash{' ' * 67}Path\r\n---------       ----{' ' * 67}----\r\n"
        f"SHA256          {UPPER}       C:\\build\\disk.raw\r\n",
        f"\r\nAlgorithm : SHA256\r\nHash      : {UPPER}\r\nPath      : C:\\build\\disk.raw\r\n",
        f"disk.raw  {D}\nother.raw  {OTHER}\n",
        f"disk.raw: {D}\nother.raw: {OTHER}\n",
        f"SHA256: {D}\n",
        f"{D} {len(DISK)} disk.raw\n{OTHER} 12 other.raw\n",
    ],
    ids=["Windows paths", "Get-FileHash", "Format-List", "name first", "colon", "algorithm", "size"],
)
def test_the_notations_of_windows_and_others_are_read(bench: Bench, server: HttpServer, text: str) -> None:
    done = bench.downloads(
        server.url("/disk.raw"), checksum(url=publish(server, text.encode()), filename="disk.raw")
    )
    assert_verified(done)
    bench.assert_stored(done, DISK)


def test_a_list_of_b2sum_is_compared_with_blake2b(bench: Bench, server: HttpServer) -> None:
    url = publish(server, f"{hashlib.blake2b(DISK).hexdigest()}  disk.raw\n".encode(), "b2sums.txt")
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    assert_verified(done, algorithm="blake2b")
    bench.assert_stored(done, DISK)


def test_128_digits_that_may_be_of_two_algorithms_are_refused(bench: Bench, server: HttpServer) -> None:
    url = publish(server, f"{hashlib.blake2b(DISK).hexdigest()}  disk.raw\n".encode(), "CHECKSUM")
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url)
    bench.assert_refused(
        done,
        5,
        f"the digest in line 1 of {url} for 'disk.raw' cannot be used: "
        "128 hexadecimal digits are sha512 or blake2b, and the list does not name the algorithm",
        "name it with the option checksum_algorithm of web-download",
    )
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url, checksum_algorithm="BLAKE2b")
    bench.assert_stored(done, DISK)


@pytest.mark.parametrize("served", [DISK, EVIL], ids=["the image", "another"])
@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x85\u2028\u202e", ids=ascii)
def test_a_file_name_cannot_bring_a_digest_into_a_signed_list(
    bench: Bench, server: HttpServer, gpg: Gpg, separator: str, served: bytes
) -> None:
    """A publisher signs ``sha256sum *`` of a folder in which others may name a file."""
    (bench.folder / "keys").write_bytes(gpg.certificates("publisher"))
    name = f"notes{separator}{hashlib.sha512(EVIL).hexdigest()}  image.qcow2"
    text = f"{sha256(DISK)}  image.qcow2\n{OTHER}  {name}\n".encode()
    url = publish(server, gpg.clear_signed(text, "publisher"))
    server.answer("/image.qcow2", content(served))
    done = bench.downloads(server.url("/image.qcow2"), checksum_url=url, keyring="keys")
    bench.assert_refused(
        done,
        5,
        f"line 2 of {url} has a file name with the character U+{ord(separator):04X}, "
        f"which can make one line look like two: {ascii(name)[:200]}",
        "give the digest itself, or ask the publisher for a list without this name",
    )


# ------------------------------------------------------------------------------------------ digests of the unpacked


def test_a_list_of_the_unpacked_file_is_compared_below_decompression(
    bench: Bench, server: HttpServer
) -> None:
    url = publish(server, f"{D}  disk.raw\n".encode())
    done = bench.downloads(server.url("/disk.raw.xz"), checksum(url=url, filename="{source.name}"), UNPACK)
    bench.assert_refused(
        done,
        5,
        f"{url} has no checksum for 'disk.raw.xz'; the nearest names are 'disk.raw'",
        "the list has the digest of the unpacked file: use the step checksum, below image_decompression, "
        "with 'filename: disk.raw'",
    )
    done = bench.downloads(server.url("/disk.raw.xz"), UNPACK, checksum(url=url, filename="disk.raw"), RAW)
    assert_verified(done)
    bench.assert_stored(done, DISK)
    assert set(done.report["source"]["digests"]) <= {"md5", "sha512"}, "no digest of what the source offered"


def test_the_packed_and_the_unpacked_file_may_both_be_compared(bench: Bench, server: HttpServer) -> None:
    url = publish(server, f"{D}  disk.raw\n{sha256(PACKED)}  disk.raw.xz\n".encode())
    above, below = checksum(url=url, filename="disk.raw.xz"), checksum(url=url, filename="disk.raw")
    done = bench.downloads(server.url("/disk.raw.xz"), above, UNPACK, below)
    assert [check["digest"] for check in done.report["source"]["checks"]] == [
        f"sha256:{sha256(PACKED)}",
        f"sha256:{D}",
    ]
    assert done.report["source"]["digests"] == {"sha256": sha256(PACKED)}
    bench.assert_stored(done, DISK)


def test_a_signed_digest_of_the_unpacked_file_counts_as_a_signature(
    bench: Bench, server: HttpServer, gpg: Gpg
) -> None:
    (bench.folder / "keys").write_bytes(gpg.certificates("publisher"))
    with (bench.folder / "imageport.yaml").open("a") as site:
        site.write("trust: signed\n")
    url = publish(server, gpg.clear_signed(f"{D}  disk.raw\n".encode(), "publisher"))
    step = checksum(url=url, filename="disk.raw", keyring="keys")
    done = bench.downloads(server.url("/disk.raw.xz"), UNPACK, step)
    assert_verified(done, signer=gpg.fingerprint("publisher"))
    bench.assert_stored(done, DISK)


def test_web_download_names_the_step_that_compares_unpacked_files(bench: Bench, server: HttpServer) -> None:
    url = publish(server, f"{D}  disk.raw\n{OTHER}  other.raw\n".encode())
    done = bench.downloads(server.url("/disk.raw.xz"), UNPACK, checksum_url=url)
    bench.assert_refused(
        done,
        5,
        f"{url} has no checksum for 'disk.raw.xz'; the nearest names are 'disk.raw', 'other.raw'",
        "the list has the digest of the unpacked file: use the step checksum in place of checksum_url, below "
        "image_decompression, with 'filename: disk.raw'",
    )


def test_hints_of_web_download_name_its_own_options(bench: Bench, server: HttpServer) -> None:
    url = publish(server, f"{D}  debian-12.raw\n".encode())
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url)
    bench.assert_refused(
        done,
        5,
        f"{url} has no checksum for 'disk.raw'; the nearest names are 'debian-12.raw'",
        "name the file as the list does, with the option checksum_filename of web-download",
    )
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url, checksum_filename="debian-12.raw")
    assert_verified(done)
    bench.assert_stored(done, DISK)


# ---------------------------------------------------------------------------------------------- lists on this machine


@pytest.fixture
def carried(bench: Bench) -> Path:
    """A folder with an image and its list, carried over by hand."""
    folder = bench.folder / "carried over"
    folder.mkdir()
    (folder / "disk.raw").write_bytes(DISK)
    (folder / "SHA256SUMS").write_bytes(f"{D}  disk.raw\n{OTHER}  other.raw\n".encode())
    return folder


@pytest.mark.parametrize("relative", [True, False])
def test_a_list_beside_a_local_file_is_read(bench: Bench, carried: Path, relative: bool) -> None:
    source = carried / "disk.raw"
    source = source.relative_to(bench.folder) if relative else source
    done = bench.imports(source, checksum(url="{source.dir}/SHA256SUMS", filename="{source.name}"))
    assert_verified(done)
    bench.assert_stored(done, DISK)


@pytest.mark.parametrize(
    "form", ["carried over/SHA256SUMS", "{folder}/SHA256SUMS", "file://{url}/SHA256SUMS", "~/SUMS"]
)
def test_a_list_is_named_by_a_path_or_a_file_url(
    bench: Bench, server: HttpServer, carried: Path, form: str
) -> None:
    (Path(bench.run.environment["HOME"]) / "SUMS").write_bytes((carried / "SHA256SUMS").read_bytes())
    place = form.format(folder=carried, url=str(carried).replace(" ", "%20"))
    done = bench.downloads(server.url("/disk.raw"), checksum_url=place)
    assert_verified(done)
    bench.assert_stored(done, DISK)


def test_a_local_list_may_have_to_be_signed(bench: Bench, carried: Path, gpg: Gpg) -> None:
    (bench.folder / "keys").write_bytes(gpg.certificates("publisher"))
    (carried / "SUMS.gpg").write_bytes(gpg.detached((carried / "SHA256SUMS").read_bytes(), "publisher"))
    options = {"url": "{source.dir}/SHA256SUMS", "filename": "disk.raw", "keyring": "keys"}
    done = bench.imports(carried / "disk.raw", checksum(**options))
    bench.assert_refused(
        done,
        5,
        f"{carried}/SHA256SUMS is not signed",
        "name the url of its signature with the option signature_url: often that of the list and .gpg, .asc or .sign",
    )
    done = bench.imports(carried / "disk.raw", checksum(**options, signature_url="{source.dir}/SUMS.gpg"))
    assert_verified(done, signer=gpg.fingerprint("publisher"))
    bench.assert_stored(done, DISK)


def test_a_local_list_that_cannot_be_read_is_named(bench: Bench, carried: Path) -> None:
    os.mkfifo(carried / "pipe")
    relative = "check the path; relative ones belong to the folder in which the command runs"
    for name, code, message, hint in (
        ("missing", 4, f"cannot read {carried}/missing: No such file or directory", relative),
        (".", 4, f"cannot read {carried}: Is a directory", relative),
        ("pipe", 4, f"{carried}/pipe is not a regular file", "name the file of the checksum list"),
    ):
        done = bench.imports(
            carried / "disk.raw", checksum(url=f"{{source.dir}}/{name}", filename="disk.raw")
        )
        bench.assert_refused(done, code, message, hint)


# --------------------------------------------------------------------------------------------- how lists are sent


def test_a_list_and_a_signature_that_are_sent_compressed_are_read(
    bench: Bench, server: HttpServer, gpg: Gpg
) -> None:
    (bench.folder / "keys").write_bytes(gpg.certificates("publisher"))
    text = f"{D}  disk.raw\n".encode()
    url = publish(server, gzip.compress(text), Content_Encoding="gzip")
    signature = publish(
        server, gzip.compress(gpg.detached(text, "publisher")), "SUMS.gpg", Content_Encoding="gzip"
    )
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url, signature_url=signature, keyring="keys")
    assert_verified(done, signer=gpg.fingerprint("publisher"))
    bench.assert_stored(done, DISK)


def test_the_limit_of_a_list_holds_for_what_it_expands_to(bench: Bench, server: HttpServer) -> None:
    text = f"{D}  disk.raw\n".encode() + b"# \n" * 100_000
    for url in (
        publish(server, text, "PLAIN"),
        publish(server, gzip.compress(text), Content_Encoding="gzip"),
    ):
        step = checksum(url=url, filename="disk.raw", max_list_size="256 KiB")
        bench.assert_refused(
            bench.downloads(server.url("/disk.raw"), step),
            1,
            f"{url} is larger than 256.0 KiB",
            "check that it is a checksum list and not an image; for a larger list, raise max_list_size",
        )
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    bench.assert_stored(done, DISK)


def test_a_large_list_is_read_where_an_option_permits_it(bench: Bench, server: HttpServer) -> None:
    text = "".join(f"{OTHER}  {number:06}\n" for number in range(20_000)) + f"{D}  disk.raw\n"
    url = publish(server, text.encode())
    hint = "check that it is a checksum list and not an image; for a larger list, raise max_list_size"
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url)
    bench.assert_refused(done, 1, f"{url} is larger than 1.0 MiB", hint)
    done = bench.downloads(server.url("/disk.raw"), checksum_url=url, max_list_size="2 MiB")
    bench.assert_stored(done, DISK)


# ----------------------------------------------------------------------------------------- several files of one name


def test_the_url_of_the_image_distinguishes_files_of_one_name(bench: Bench, server: HttpServer) -> None:
    server.answer("/12/amd64/disk.raw", content(DISK))
    url = publish(
        server, f"{OTHER}  arm64/disk.raw\n{D}  amd64/disk.raw\n{OTHER}  disk.raw\n".encode(), "12/SUMS"
    )
    done = bench.downloads(server.url("/12/amd64/disk.raw"), checksum(url=url, filename="disk.raw"))
    assert_verified(done)
    bench.assert_stored(done, DISK)
    done = bench.downloads(server.url("/12/amd64/disk.raw"), checksum_url=url)
    bench.assert_stored(done, DISK)


def test_files_of_one_name_in_folders_that_cannot_be_distinguished_are_refused(
    bench: Bench, server: HttpServer
) -> None:
    url = publish(server, f"{OTHER}  arm64/disk.raw\n{D}  amd64/disk.raw\n".encode())
    done = bench.downloads(server.url("/disk.raw"), checksum(url=url, filename="disk.raw"))
    bench.assert_refused(
        done,
        5,
        f"{url} has several files called 'disk.raw': 'amd64/disk.raw', 'arm64/disk.raw'",
        "name one with its folder, in the option filename of the step checksum",
    )


# --------------------------------------------------------------------------------------------------- mismatches


def mismatch(found: bytes, expected: str, place: str, form: str = "as published") -> str:
    return (
        f"the sha256 of the image {form} is {sha256(found)}, but {expected} was expected by {place} "
        "(after 2 tries)"
    )


@pytest.mark.parametrize(
    ("text", "name", "filename", "found", "hint"),
    [
        (
            f"{OTHER}  disk.raw\n",
            "disk.raw",
            "disk.raw",
            DISK,
            LOOK_UP,
        ),
        (
            f"{OTHER}  disk.raw\n{D}  nightly.raw\n",
            "disk.raw",
            "disk.raw",
            DISK,
            "this is the digest of 'nightly.raw' in the same list: the source is that file, or the name that is looked "
            "up is not that of the source",
        ),
        (
            f"{D}  disk.raw\n",
            "disk.raw.xz",
            "disk.raw",
            PACKED,
            "the list names the unpacked file: compare its digest with the step checksum, below image_decompression",
        ),
    ],
    ids=["changed", "another file of the list", "the unpacked file"],
)
def test_a_mismatch_names_the_compared_line_and_possible_causes(
    bench: Bench, server: HttpServer, text: str, name: str, filename: str, found: bytes, hint: str
) -> None:
    url = publish(server, text.encode())
    done = bench.downloads(server.url(f"/{name}"), checksum(url=url, filename=filename), UNPACK)
    expected = text.partition(" ")[0]
    bench.assert_refused(done, 5, mismatch(found, expected, f"line 1 of {url} for '{filename}'"), hint)
    assert (
        done.report["source"]["checks"]
        == [{"name": "checksum sha256", "verdict": "failed", "digest": f"sha256:{sha256(found)}"}] * 2
    )


def test_a_mismatch_below_decompression_shows_that_the_image_is_unpacked(
    bench: Bench, server: HttpServer
) -> None:
    url = publish(server, f"{sha256(PACKED)}  disk.raw.xz\n".encode())
    done = bench.downloads(server.url("/disk.raw.xz"), UNPACK, checksum(url=url, filename="disk.raw.xz"))
    bench.assert_refused(
        done,
        5,
        mismatch(
            DISK, sha256(PACKED), f"line 1 of {url} for 'disk.raw.xz'", "as unpacked by the steps above"
        ),
        "the list names the packed file, and the image is unpacked above this step: put the step above that",
    )


def test_a_digest_of_the_unpacked_image_that_a_user_gives_is_explained(
    bench: Bench, server: HttpServer
) -> None:
    done = bench.downloads(server.url("/disk.raw.xz"), checksum(expected=D), UNPACK)
    bench.assert_refused(
        done,
        5,
        f"the sha256 of the image as published is {sha256(PACKED)}, but {D} was expected (after 2 tries)",
        "if the digest is that of the unpacked image, compare it with the step checksum, below image_decompression",
    )
    done = bench.downloads(server.url("/disk.raw.xz"), UNPACK, checksum(expected=D))
    bench.assert_stored(done, DISK)


# ------------------------------------------------------------------------------------------------------ confinement


@pytest.mark.parametrize("place", ["../outside", "link"])
def test_a_list_on_this_machine_has_to_be_where_images_may_be_imported_from(
    bench: Bench, carried: Path, place: str
) -> None:
    outside = bench.folder.parent / "outside"
    outside.write_bytes((carried / "SHA256SUMS").read_bytes())
    (carried / "link").symlink_to(outside)
    with (bench.folder / "imageport.yaml").open("a") as site:
        site.write(f"local_paths: ['{carried}']\n")
    named = str(outside) if place == "../outside" else f"{carried}/link"
    bench.assert_refused(
        bench.imports(carried / "disk.raw", checksum(url=named, filename="disk.raw")),
        3,
        f"{named} is not in a folder from which images may be imported",
        f"local_paths in the site file lists {carried}",
    )
    done = bench.imports(carried / "disk.raw", checksum(url="{source.dir}/SHA256SUMS", filename="disk.raw"))
    bench.assert_stored(done, DISK)
