"""Downloads from servers that compress, label, name and cut files in their own ways."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reported.bench import RAW, Bench

from imageport.testing.command import RunImageport
from imageport.testing.http_server import Behaviour, HttpServer, Reply, content, redirect, status

CODED = {"Content-Encoding": "gzip"}
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please log in.</body></html>\n"
PAGE_HINT = "open it in a browser: it may be a login, an error, or a page that links to the image"
OTHER_BYTES = (
    "the source has another version than the digest is of, or its bytes changed on the way: "
    "compare the digest with the publisher's, and fetch the image again"
)
NO_CODING = "use another mirror, or ask the site to send image files without Content-Encoding"


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a qcow2 image of 4 MiB with some data."""
    folder = tmp_path_factory.mktemp("qcow2")
    raw = folder / "disk.raw"
    raw.write_bytes(bytes(1 << 20) + b"all work and no play\n" * 20_000 + bytes(3 << 20))
    subprocess.run(
        ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, folder / "disk.qcow2"], check=True
    )
    return (folder / "disk.qcow2").read_bytes()


@pytest.fixture
def disk(raw_disk: Path) -> bytes:
    # Without its partition table, which is for more.
    return bytes(512) + raw_disk.read_bytes()[512 : 4 << 20]


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# --------------------------------------------------------------------------------- compressed while it is sent


def test_a_file_that_is_compressed_while_it_is_sent_is_stored_as_published(
    bench: Bench, http_server: HttpServer, qcow2: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    url = http_server.answer("/disk.qcow2", content(gzip.compress(qcow2), headers=CODED))
    done = bench.downloads(url)
    assert caplog.messages == [
        f"{url} was sent with Content-Encoding: gzip, although no coding was asked for; it is decoded"
    ]
    assert done.report["image"]["disk_format"] == "qcow2"
    bench.assert_stored(done, qcow2)
    assert len(http_server.requests) == 1


@pytest.mark.parametrize("published", ["the file", "what is sent"])
@pytest.mark.parametrize("mirrors", [0, 1])
def test_the_checksum_decides_which_form_of_a_file_without_the_name_of_an_archive_is_kept(
    bench: Bench, http_server: HttpServer, qcow2: bytes, published: str, mirrors: int
) -> None:
    packed = gzip.compress(qcow2)
    expected = qcow2 if published == "the file" else packed
    url = http_server.answer("/disk.qcow2", content(packed, headers=CODED))
    others = [http_server.answer(f"/mirror{number}", status(404)) for number in range(mirrors)]
    done = (
        bench.downloads(url, checksum=_sha256(expected), mirrors=others, arguments=("--disk-format", "raw"))
        if published != "the file"
        else bench.downloads(url, checksum=_sha256(expected), mirrors=others)
    )
    bench.assert_stored(done, expected)
    assert http_server.paths() == ["/disk.qcow2"] * (1 if published == "the file" else 2)


@pytest.mark.parametrize("name", ["disk.raw.gz", "disk.tgz", "DISK.RAW.GZ"])
def test_a_file_with_the_name_of_an_archive_stays_packed_although_it_is_labelled(
    bench: Bench, http_server: HttpServer, disk: bytes, name: str
) -> None:
    packed = gzip.compress(disk)
    url = http_server.answer(f"/{name}", content(packed, headers=CODED))
    bench.assert_stored(
        bench.downloads(url, checksum=_sha256(packed), arguments=("--disk-format", "raw")), packed
    )
    bench.assert_stored(bench.downloads(url, "image_decompression"), disk)
    assert len(http_server.requests) == 2


def test_an_archive_that_is_compressed_once_more_while_it_is_sent_is_found_by_its_checksum(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    packed = gzip.compress(disk)
    url = http_server.answer("/disk.raw.gz", content(gzip.compress(packed), headers=CODED))
    bench.assert_stored(bench.downloads(url, "image_decompression", checksum=_sha256(packed)), disk)


def test_a_checksum_that_neither_form_has_is_reported_with_the_coding(
    bench: Bench, http_server: HttpServer, qcow2: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    packed = gzip.compress(qcow2)
    url = http_server.answer("/disk.qcow2", content(packed, headers=CODED))
    done = bench.downloads(url, checksum=f"sha256:{'0' * 64}")
    assert "Content-Encoding: gzip, which was undone; the image is read again" in caplog.text
    bench.assert_refused(
        done,
        5,
        f"the sha256 of the image as published is {hashlib.sha256(packed).hexdigest()}, but {'0' * 64} was expected; "
        "the server sent it with Content-Encoding: gzip, and neither the bytes as sent nor the decoded ones are right "
        "(after 2 tries)",
        OTHER_BYTES,
    )


@pytest.mark.parametrize(
    ("label", "pack"),
    [("deflate", zlib.compress), ("br", bytes), ("zstd", bytes), ("gzip, br", bytes)],
)
def test_another_coding_is_refused_by_name(
    bench: Bench, http_server: HttpServer, disk: bytes, label: str, pack: Callable[[bytes], bytes]
) -> None:
    url = http_server.answer("/disk.raw", content(pack(disk), headers={"Content-Encoding": label}))
    bench.assert_refused(
        bench.downloads(url),
        4,
        f"{url} was sent with Content-Encoding: {label}, although no coding was asked for; only gzip is decoded",
        NO_CODING,
    )
    assert len(http_server.requests) == 1


@pytest.mark.parametrize("label", ["none", "utf-8", "UTF-8", "binary", "aws-chunked", "identity", ""])
def test_a_label_that_is_not_a_coding_is_ignored(
    bench: Bench, http_server: HttpServer, qcow2: bytes, label: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = http_server.answer("/disk.qcow2", content(qcow2, headers={"Content-Encoding": label}))
    bench.assert_stored(bench.downloads(url), qcow2)
    assert caplog.messages == []


def test_the_next_mirror_serves_when_one_sends_an_unknown_coding(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    url = http_server.answer("/disk.raw", content(disk, headers={"Content-Encoding": "br"}))
    good = http_server.answer("/good.raw", content(disk))
    bench.assert_stored(bench.downloads(url, mirrors=[good]), disk)


def test_a_coding_that_was_cut_off_never_becomes_active(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    packed = gzip.compress(disk)
    url = http_server.answer("/disk.raw", content(packed[:-9], headers=CODED))
    bench.assert_refused(
        bench.downloads(url),
        5,
        f"{url} was sent with Content-Encoding: gzip, and the gzip data ends early (after 2 tries)",
        NO_CODING,
    )


def test_a_coding_expands_no_further_than_the_image_size_cap(bench: Bench, http_server: HttpServer) -> None:
    site = bench.folder / "imageport.yaml"
    site.write_text(site.read_text() + "limits: {image_size_cap: 1 MiB}\n")
    url = http_server.answer("/disk.raw", content(gzip.compress(bytes(8 << 20)), headers=CODED))
    bench.assert_refused(
        bench.downloads(url),
        1,
        "the image is larger than 1.0 MiB",
        "raise limits.image_size_cap in the site file if images this large are expected",
    )


def test_a_coded_file_is_neither_resumed_nor_fetched_in_parts(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    packed = gzip.compress(disk)
    options = {**CODED, "ETag": '"1"', "Accept-Ranges": "bytes"}

    def cut(reply: Reply) -> None:
        reply.head(200, {"Content-Length": str(len(packed)), **options})
        reply.write(packed[:1000])

    url = http_server.answer("/disk.raw", cut, content(packed, headers=options))
    bench.assert_stored(bench.downloads(url, connections=4), disk)
    assert [request.headers["Range"] for request in http_server.requests] == [None, None]


# ------------------------------------------------------------------------------ lengths and parts that do not fit


def test_a_part_that_is_the_whole_is_imported(bench: Bench, http_server: HttpServer, disk: bytes) -> None:
    def partial(reply: Reply) -> None:
        span = f"bytes 0-{len(disk) - 1}/{len(disk)}"
        reply.head(206, {"Content-Length": str(len(disk)), "Content-Range": span, "Accept-Ranges": "bytes"})
        reply.write(disk)

    bench.assert_stored(bench.downloads(http_server.answer("/disk.raw", partial)), disk)


def test_a_part_that_was_not_requested_is_refused(bench: Bench, http_server: HttpServer, disk: bytes) -> None:
    def partial(reply: Reply) -> None:
        reply.head(206, {"Content-Length": "1000", "Content-Range": f"bytes 0-999/{len(disk)}"})
        reply.write(disk[:1000])

    url = http_server.answer("/disk.raw", partial)
    bench.assert_refused(
        bench.downloads(url),
        4,
        f"{url} answered 206 Partial Content (bytes 0-999/{len(disk)}) to a request for the whole",
        "the server, or a cache before it, sends parts that were not requested: use another mirror",
    )
    assert len(http_server.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 99999999999999999999999",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 1_0",
        "Content-Length: {length}\r\nContent-Length: 10",
        "Content-Length: {length}\r\nTransfer-Encoding: chunked",
    ],
)
def test_a_body_that_was_cut_off_never_becomes_active_because_of_its_length(
    bench: Bench, http_server: HttpServer, disk: bytes, fields: str
) -> None:
    def cut(reply: Reply) -> None:
        reply.write(
            f"HTTP/1.1 200 OK\r\n{fields.format(length=len(disk))}\r\n\r\n".encode() + disk[: 1 << 20]
        )

    url = http_server.answer("/disk.raw", cut)
    named = fields.format(length=len(disk)).replace("\r\nContent-Length:", ",").replace("\r\n", " and ")
    bench.assert_refused(
        bench.downloads(url),
        4,
        f"{url} answered with '{named}', which does not define where the body ends",
        "a body that was cut off could not be recognised: use another mirror, or report this to the site",
    )


# ------------------------------------------------------------------------------------------ mirrors and their answers


@pytest.mark.parametrize(
    ("code", "phrase", "hint"),
    [
        (
            203,
            "Non-Authoritative Information",
            "the server has no file at this url: check the url, or use another mirror",
        ),
        (204, "No Content", "the server has no file at this url: check the url, or use another mirror"),
        (300, "Multiple Choices", "the server has no file at this url: check the url, or use another mirror"),
        (304, "Not Modified", "the server has no file at this url: check the url, or use another mirror"),
        (
            406,
            "Not Acceptable",
            "check the url and the requirements of this server, or use another mirror",
        ),
        (503, "Service Unavailable", "try again later, or use another mirror"),
    ],
)
def test_only_trouble_that_passes_is_to_be_tried_again(
    bench: Bench, http_server: HttpServer, code: int, phrase: str, hint: str
) -> None:
    url = http_server.answer("/disk.raw", status(code))
    bench.assert_refused(bench.downloads(url), 4, f"{url} answered {code} {phrase}", hint)
    assert (len(http_server.requests) > 1) == (code == 503)


@pytest.mark.parametrize("code", [403, 404, 410, 451])
def test_the_next_mirror_is_tried_when_one_does_not_have_the_file(
    bench: Bench, http_server: HttpServer, disk: bytes, code: int
) -> None:
    url = http_server.answer("/disk.raw", status(code))
    gone = http_server.answer("/gone.raw", status(code))
    bench.assert_stored(
        bench.downloads(url, mirrors=[gone, http_server.answer("/good.raw", content(disk))]), disk
    )
    assert http_server.paths() == ["/disk.raw", "/gone.raw", "/good.raw"]


def test_when_all_mirrors_fail_the_error_has_the_answer_of_each(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    def cut(reply: Reply) -> None:
        reply.head(200, {"Content-Length": str(len(disk))})
        reply.write(disk[:1000])

    url = http_server.answer("/disk.raw", status(403))
    mirrors = [
        http_server.answer("/cut.raw", cut),
        http_server.answer("/page", content(PAGE)),
        http_server.answer("/gone.raw", status(410)),
    ]
    bench.assert_refused(
        bench.downloads(url, mirrors=mirrors),
        4,
        f"no url has the image: {url} answered 403 Forbidden; {mirrors[0]}: the connection broke after 1000 of "
        f"{len(disk)} bytes: the server closed the connection; {mirrors[1]} is a web page, not an image; "
        f"{mirrors[2]} answered 410 Gone (after 3 tries)",
        "check the urls, or name another mirror; about the last one: the image was removed; look for a newer one",
    )


def test_what_the_import_repeats_by_itself_is_reported_without_advice(
    bench: Bench, http_server: HttpServer, disk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def cut(reply: Reply) -> None:
        reply.head(200, {"Content-Length": str(len(disk))})
        reply.write(disk[:1_000_000])

    url = http_server.answer("/disk.raw", cut, content(disk))
    done = bench.downloads(url)
    assert caplog.messages == [
        f"{url}: the connection broke after 1000000 of {len(disk)} bytes: the server closed the connection; the image "
        "is read again from the beginning",
    ]
    bench.assert_stored(done, disk)


def test_advice_comes_with_the_error_that_ends_the_import(
    bench: Bench, http_server: HttpServer, disk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    url = http_server.answer("/disk.raw", content(disk))
    done = bench.downloads(url, checksum=f"sha256:{'0' * 64}")
    assert "is read again from the beginning" in caplog.text
    assert OTHER_BYTES not in caplog.text
    bench.assert_refused(
        done,
        5,
        f"the sha256 of the image as published is {hashlib.sha256(disk).hexdigest()}, but {'0' * 64} was expected "
        "(after 2 tries)",
        OTHER_BYTES,
    )


# ---------------------------------------------------------------------------------------------- pages and labels


@pytest.mark.parametrize(
    "label", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml", "text/plain"]
)
def test_an_image_is_imported_whatever_its_label_is(
    bench: Bench, http_server: HttpServer, qcow2: bytes, label: str
) -> None:
    url = http_server.answer("/disk.qcow2", content(qcow2, headers={"Content-Type": label}))
    bench.assert_stored(bench.downloads(url), qcow2)


@pytest.mark.parametrize("label", ["text/html", "application/octet-stream", None])
@pytest.mark.parametrize(
    "page",
    [
        PAGE,
        b"\xef\xbb\xbf \r\n<HTML>moved</HTML>" + b" " * 2000,
        b"<?xml version='1.0'?>\n<!DOCTYPE html><html/>",
        b"<!-- a proxy --><p>no",
    ],
    ids=["page", "capitals", "xhtml", "comment"],
)
@pytest.mark.parametrize("declared", [(), ("--disk-format", "raw")])
def test_a_web_page_is_refused_whatever_its_label_is(
    bench: Bench, http_server: HttpServer, label: str | None, page: bytes, declared: tuple[str, ...]
) -> None:
    url = http_server.answer("/disk.raw", content(page, headers={"Content-Type": label} if label else {}))
    done = bench.downloads(url, arguments=declared)
    bench.assert_refused(done, 4, f"{url} is a web page, not an image", PAGE_HINT)
    assert len(http_server.requests) == 1


def test_text_that_is_labelled_as_a_page_is_one(bench: Bench, http_server: HttpServer) -> None:
    page = content(b"Sorry, we are down for maintenance.\n", headers={"Content-Type": "text/html"})
    url = http_server.answer("/disk.raw", page)
    bench.assert_refused(bench.downloads(url), 4, f"{url} is a web page, not an image", PAGE_HINT)


def test_a_page_that_comes_in_small_pieces_is_recognised(bench: Bench, http_server: HttpServer) -> None:
    def drip(reply: Reply) -> None:
        reply.head(200, {"Content-Length": str(len(PAGE))})
        for start in range(0, len(PAGE), 3):
            reply.write(PAGE[start : start + 3])
            threading.Event().wait(0.001)

    url = http_server.answer("/disk.raw", drip)
    bench.assert_refused(bench.downloads(url), 4, f"{url} is a web page, not an image", PAGE_HINT)


# ------------------------------------------------------------------------------------------------------ names


def _disposition(value: str) -> Callable[[bytes], Behaviour]:
    return lambda body: content(body, headers={"Content-Disposition": value})


@pytest.mark.parametrize(
    ("path", "answer", "name"),
    [
        ("/My%20Image%20%28x64%29.raw", content, "My Image (x64).raw"),
        ("/download.php?id=7", _disposition('attachment; filename="debian-12.raw"'), "debian-12.raw"),
        (
            "/latest",
            _disposition("attachment; filename*=UTF-8''d%C3%A9bian.raw; filename=x.raw"),
            "débian.raw",
        ),
        ("/latest", content, "latest"),
        ("/disk.raw", _disposition('attachment; filename="other.raw"'), "disk.raw"),
        ("/get", _disposition('attachment; filename="../../etc/pass\x7fwd.raw"'), "passwd.raw"),
    ],
)
def test_an_image_is_named_after_its_file(
    bench: Bench,
    http_server: HttpServer,
    disk: bytes,
    path: str,
    answer: Callable[[bytes], Behaviour],
    name: str,
) -> None:
    done = bench.downloads(http_server.answer(path, answer(disk)))
    assert done.report["image"]["name"] == name
    assert [image["name"] for image in bench.run.inside("images", "list", "--json").json] == [name]
    bench.assert_stored(done, disk)


def test_an_image_is_named_after_the_file_that_redirects_lead_to(
    bench: Bench, http_server: HttpServer, disk: bytes
) -> None:
    http_server.answer("/pool/debian-12.raw", content(disk))
    url = http_server.answer("/latest", redirect("/pool/debian-12.raw"))
    done = bench.downloads(url)
    assert done.report["image"]["name"] == "debian-12.raw"
    bench.assert_stored(done, disk)
    named = bench.downloads(url, arguments=("--name", "mine"))
    assert named.report["image"]["name"] == "mine"
    bench.assert_stored(named, disk)


def test_an_image_keeps_the_name_that_it_has(bench: Bench, http_server: HttpServer, disk: bytes) -> None:
    url = http_server.answer("/latest", _disposition("attachment; filename=debian-12.raw")(disk))
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image = bench.run.inside("images", "create", "--name", "latest", *formats, "--json").json["id"]
    assert bench.downloads(url, arguments=("--image", image)).report["image"]["name"] == "latest"


def test_a_failed_import_keeps_the_name_in_the_url(bench: Bench, http_server: HttpServer) -> None:
    url = http_server.answer("/latest", _disposition("attachment; filename=debian-12.raw")(PAGE))
    done = bench.downloads(url)
    assert done.report["image"]["name"] == "latest"
    bench.assert_refused(done, 4, f"{url} is a web page, not an image", PAGE_HINT)


def test_an_image_that_is_converted_is_named_after_its_file(
    bench: Bench, http_server: HttpServer, qcow2: bytes
) -> None:
    url = http_server.answer("/get?id=1", _disposition('inline; filename="disk.qcow2"')(qcow2))
    assert bench.downloads(url, RAW).report["image"]["name"] == "disk.qcow2"
