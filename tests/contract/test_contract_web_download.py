from __future__ import annotations

import hashlib
import socket
import threading

import pytest
from tests.contract.site import Outcome, Site, step

from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import Behaviour, Reply, chunked, content, status

BODY = bytes(range(250)) * 2
SHA256 = hashlib.sha256(BODY).hexdigest()


def assert_rolled_back_and_free(site: Site, done: Outcome, code: str, message: str) -> None:
    """The import into s1 and s2 failed with this *message*, left nothing, and the image can be imported again."""
    assert done.error["code"] == code, done.error
    assert message in done.error["message"]
    assert done.error["hint"]
    site.assert_rolled_back(done, failed="s1,s2")
    again = site.run(site.server.publish("/again", BODY), image=done.image["id"], stores=["s1", "s2"])
    assert again.image["status"] == "active"
    site.imageport("images", "delete", "--yes", done.image["id"])


def test_022_a_download_becomes_active(site: Site) -> None:
    """A server sends 500 bytes, with or without a Content-Length: active, with the digests of these bytes."""
    for behaviour in (content(BODY), chunked(BODY)):
        image = site.create()
        done = site.run(site.server.answer("/disk", behaviour), image=image)
        assert done.code == 0
        assert done.image["status"] == "active"
        assert done.image["size"] == 500
        assert done.image["checksum"] == hashlib.md5(BODY).hexdigest()
        assert done.image["os_hash_algo"] == "sha512"
        assert done.image["os_hash_value"] == hashlib.sha512(BODY).hexdigest()
        assert done.lists == ("", "")
        assert site.stored()["s1"][image] == BODY
        assert site.staged() == []


def test_023_a_body_shorter_than_announced_fails(site: Site) -> None:
    """A Content-Length larger than the body: the import fails, the image is queued without a size, nothing is in
    staging, the stores are listed as failed, and the image can be imported again."""
    url = site.server.answer("/disk", content(BODY, length="501"))
    done = site.run(url, image=site.create(), stores=["s1", "s2"])
    assert_rolled_back_and_free(site, done, "source-unavailable", "500 of 501 bytes")


@pytest.mark.parametrize(
    ("code", "message"), [(404, "answered 404"), (500, "answered 500"), (None, "refused")], ids=str
)
def test_024_a_server_that_does_not_deliver_fails_the_import(
    site: Site, code: int | None, message: str
) -> None:
    """The server answers 404 or 500, or refuses the connection: as in 23, and the task has the reason."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/disk"
        if code is not None:
            url = site.server.answer("/disk", status(code))
        done = site.run(url, image=site.create(), stores=["s1", "s2"])
    assert message in done.task["message"]
    assert_rolled_back_and_free(site, done, "source-unavailable", message)


@pytest.mark.parametrize("length", ["many", "-5", "+500", "5_00", "99999999999999999999999", "500, 501"])
def test_025_a_length_that_is_not_a_number_is_refused(site: Site, length: str) -> None:
    """The Content-Length is not a number, or two different ones: the import fails, because a body that was cut off
    could not be recognised (RFC 9112, 6.3). Glance treats the length as unknown."""
    url = site.server.answer("/disk", content(BODY, length=length))
    done = site.run(url, image=site.create(), stores=["s1", "s2"])
    assert done.code == 4
    message = f"answered with 'Content-Length: {length}', which does not define where the body ends"
    assert_rolled_back_and_free(site, done, "source-unavailable", message)


def test_026_nothing_and_too_much_are_refused(site: Site) -> None:
    """An empty body, announced or not: the import fails. A body above the image size cap is refused when its length
    is announced, and stopped at the cap when not, so that staging never holds more."""
    for behaviour in (content(b""), chunked()):
        done = site.run(site.server.answer("/disk", behaviour), image=site.create(), stores=["s1", "s2"])
        assert_rolled_back_and_free(site, done, "source-unavailable", "is empty")
    cap = 4 << 20
    site.configure(limits={"image_size_cap": cap})
    sent: list[int] = []
    gone = threading.Event()

    def endless(reply: Reply) -> None:
        reply.head(200, {})
        try:
            while not reply.closing.is_set():
                reply.write(b"a" * 65536)
                sent.append(65536)
        except OSError:
            gone.set()

    for behaviour in (content(bytes(cap + 1)), endless):
        url = site.server.answer("/disk", behaviour)
        # Conversion wants a file, so the data goes through staging.
        convert = step("image_conversion", output_format="qcow2")
        done = site.run(url, image=site.create(), stores=["s1", "s2"], steps=[convert])
        assert_rolled_back_and_free(site, done, "limit-exceeded", "than 4.0 MiB")
    assert gone.wait(10)
    # What is in flight is in the buffers of the two sockets.
    assert sum(sent) < cap + (16 << 20)


def test_027_a_stall_ends_and_a_dropped_connection_is_resumed(site: Site) -> None:
    """The server stalls: the import ends after the timeout, the image is queued and not locked. The connection is
    dropped mid-way: the download goes on where it stopped, and the digests are right."""

    def stalls(reply: Reply) -> None:
        reply.head(200, {"Content-Length": "500"})
        reply.write(BODY[:100])
        reply.stall()

    site.configure(limits={"read_timeout": 0.3})
    done = site.run(site.server.answer("/disk", stalls), image=site.create(), stores=["s1", "s2"])
    site.configure(limits=None)
    assert_rolled_back_and_free(site, done, "source-unavailable", "0.3 s")
    dropped: list[Behaviour] = [Truncated(BODY, after=100), File(BODY)]
    done = site.run(site.server.answer("/drops", *dropped), image=site.create())
    assert done.code == 0
    assert done.image["checksum"] == hashlib.md5(BODY).hexdigest()
    asked = [request.headers["Range"] for request in site.server.requests if request.path == "/drops"]
    assert asked == [None, "bytes=100-"]


def test_028_a_digest_that_the_user_expects_is_verified(site: Site) -> None:
    """The user gives a sha256: when it matches the image becomes active; when not it is queued, nothing is stored,
    and the message names both values."""
    url = site.server.publish("/disk", BODY)
    expecting = step("web-download", checksum=f"sha256:{SHA256}")
    done = site.run(url, image=site.create(), method=expecting)
    assert done.image["status"] == "active"
    assert done.checks == [("checksum sha256", "passed")]
    site.imageport("images", "delete", "--yes", done.image["id"])
    expecting = step("web-download", checksum=f"sha256:{'0' * 64}")
    done = site.run(url, image=site.create(), method=expecting, stores=["s1", "s2"])
    # A wrong digest is fetched once more: the bytes may have been damaged on the way.
    assert done.checks == [("checksum sha256", "failed")] * 2
    assert SHA256 in done.error["message"]
    assert_rolled_back_and_free(site, done, "verification-failed", "0" * 64)
