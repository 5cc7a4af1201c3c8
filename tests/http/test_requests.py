from __future__ import annotations

import importlib.metadata
import json
import socket
import threading
from collections.abc import Sequence

import pytest

from imageport import SourceRejected, SourceUnavailable
from imageport.dataplane.buffers import CHUNK_SIZE
from imageport.errors import ImageportError
from imageport.http import connections
from imageport.http.names import system_resolver
from imageport.testing.contexts import make_transport, names
from imageport.testing.http_server import HttpServer, Reply, chunked, content, status

BODY = bytes(range(256)) * 40_000


def test_a_body_arrives_whole_in_large_pieces(http_server: HttpServer) -> None:
    url = http_server.publish("/disk", BODY)
    with make_transport().get(url) as response:
        pieces = list(response.chunks())
    assert b"".join(pieces) == BODY
    assert {len(piece) for piece in pieces[:-1]} == {CHUNK_SIZE}
    assert (response.status, response.length, response.url) == (200, len(BODY), url)
    assert response.headers["etag"] == '"1"'
    assert response.closed


def test_requests_name_the_program_and_refuse_compression(http_server: HttpServer) -> None:
    make_transport().get(http_server.publish("/disk", BODY), headers={"X-Extra": "1"}).close()
    headers = http_server.requests[0].headers
    assert headers["User-Agent"] == f"imageport/{importlib.metadata.version('imageport')}"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["X-Extra"] == "1"
    assert headers["Host"] == f"127.0.0.1:{http_server.port}"


def test_a_compressed_answer_is_passed_on_as_it_came(http_server: HttpServer) -> None:
    url = http_server.answer("/disk.gz", content(b"\x1f\x8bzipped", headers={"Content-Encoding": "gzip"}))
    with make_transport().get(url) as response:
        assert b"".join(response.chunks()) == b"\x1f\x8bzipped"


def test_a_body_may_come_in_chunks_of_unknown_total(http_server: HttpServer) -> None:
    with make_transport().get(http_server.answer("/disk", chunked(b"abc", BODY, b"x"))) as response:
        assert response.length is None
        assert b"".join(response.chunks()) == b"abc" + BODY + b"x"


UNCLEAR_ENDS = [
    "Content-Length: soon",
    "Content-Length: -5",
    "Content-Length: +5",
    "Content-Length: 1_0",
    "Content-Length: 5 apples",
    "Content-Length: 0x10",
    "Content-Length: 5.0",
    "Content-Length: \u0665",
    "Content-Length: 99999999999999999999999",
    "Content-Length: " + "9" * 5000,
    "Content-Length:",
    "Content-Length: 10, 20",
    "Content-Length: 10,",
    "Content-Length: 10\r\nContent-Length: 20",
    "Content-Length: 10\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: rot13",
]


@pytest.mark.parametrize("fields", UNCLEAR_ENDS)
def test_a_body_whose_end_is_not_clear_is_refused(http_server: HttpServer, fields: str) -> None:
    def odd(reply: Reply) -> None:
        reply.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + BODY)

    with pytest.raises(
        SourceUnavailable, match=r"/disk answered with '.*', which does not define where the body"
    ) as caught:
        make_transport().get(http_server.answer("/disk", odd))
    assert fields.partition(":")[0] in caught.value.message
    assert "a body that was cut off could not be recognised" in caught.value.hint
    assert not caught.value.retry
    assert caught.value.message.isprintable()
    assert len(http_server.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: {0}\r\nContent-Length: {0}",
        "Content-Length: {0}, {0}",
        "Content-Length: 000{0}",
        "Transfer-Encoding: identity\r\nContent-Length: {0}",
        "Content-Length:\t{0} ",
    ],
)
def test_a_length_may_be_repeated_but_not_differ(http_server: HttpServer, fields: str) -> None:
    def answer(reply: Reply) -> None:
        reply.write(f"HTTP/1.1 200 OK\r\n{fields.format(len(BODY))}\r\n\r\n".encode() + BODY)

    with make_transport().get(http_server.answer("/disk", answer)) as response:
        assert response.length == len(BODY)
        assert b"".join(response.chunks()) == BODY


def test_the_whole_may_come_as_a_part_that_was_not_requested(http_server: HttpServer) -> None:
    def partial(reply: Reply) -> None:
        reply.head(
            206, {"Content-Length": str(len(BODY)), "Content-Range": f"bytes 0-{len(BODY) - 1}/{len(BODY)}"}
        )
        reply.write(BODY)

    with make_transport().get(http_server.answer("/disk", partial)) as response:
        assert (response.start, response.length) == (0, len(BODY))
        assert b"".join(response.chunks()) == BODY


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"Content-Range": "bytes 0-8/10"}, "bytes 0-8/10"),
        ({"Content-Range": "bytes 1-9/10"}, "bytes 1-9/10"),
        ({"Content-Range": "bytes 0-9/*"}, r"bytes 0-9/\*"),
        ({"Content-Range": "bytes */10"}, r"bytes \*/10"),
        ({"Content-Range": "apples 0-9/10"}, "apples 0-9/10"),
        ({"Content-Range": "bytes 0-9/10", "Content-Length": "9"}, "bytes 0-9/10"),
        ({}, "without Content-Range"),
    ],
)
def test_any_other_part_that_was_not_requested_is_refused(
    http_server: HttpServer, fields: dict[str, str], named: str
) -> None:
    url = http_server.answer("/disk", lambda reply: reply.head(206, fields))
    with pytest.raises(
        SourceUnavailable, match=rf"answered 206 Partial Content \({named}\) to a request"
    ) as caught:
        make_transport().get(url)
    assert "sends parts that were not requested" in caught.value.hint
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("code", "retry", "asked"),
    [(404, False, 1), (403, False, 1), (410, False, 1), (500, True, 3)],
)
def test_a_refusing_server_ends_it_and_one_in_trouble_is_asked_again(
    http_server: HttpServer, code: int, retry: bool, asked: int
) -> None:
    url = http_server.answer("/disk", status(code))
    with pytest.raises(SourceUnavailable, match=f"/disk answered {code} ") as caught:
        make_transport().get(url)
    assert caught.value.retry is retry
    assert caught.value.hint
    assert len(http_server.requests) == asked


def test_a_server_that_recovers_is_waited_for(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", status(500), status(429), content(BODY))
    with make_transport().get(url) as response:
        assert b"".join(response.chunks()) == BODY
    assert len(http_server.requests) == 3


@pytest.mark.parametrize("code", [201, 204, 206, 300, 304, 418, 999])
def test_only_the_status_200_is_an_answer(http_server: HttpServer, code: int) -> None:
    with pytest.raises(SourceUnavailable, match=f"answered {code}"):
        make_transport().get(http_server.answer("/disk", status(code)))


def test_a_port_where_no_server_listens_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(SourceUnavailable, match=f"Connection refused .127.0.0.1 port {port}") as caught:
        make_transport().post_json(f"http://localhost:{port}/disk", {})
    assert caught.value.retry


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/9.9\x1b[31m 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    ],
)
def test_an_answer_that_is_not_http_is_an_unavailable_source(http_server: HttpServer, answer: bytes) -> None:
    url = http_server.answer("/disk", lambda reply: reply.write(answer))
    with pytest.raises(SourceUnavailable, match="could not be reached") as caught:
        make_transport().post_json(url, {})
    assert str(caught.value).isprintable()


def test_the_second_address_is_used_when_the_first_does_not_answer(http_server: HttpServer) -> None:
    url = http_server.publish("/disk", BODY)
    transport = make_transport(resolver=names({"mirror.example": ["127.0.0.2", "127.0.0.1"]}))
    transport.get(url.replace("127.0.0.1", "mirror.example")).close()
    assert http_server.requests[0].headers["Host"] == f"mirror.example:{http_server.port}"


def test_ipv6_addresses_are_connected_to(http_server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way ends in IPv4, as not every machine has IPv6."""
    asked: list[object] = []

    def make(self: socket.socket, family: int) -> None:
        asked.append(family)
        socket.socket.__init__(self, socket.AF_INET)

    def connect(self: socket.socket, address: tuple[str, int]) -> int:
        asked.append(address)
        return socket.socket.connect_ex(self, ("127.0.0.1", address[1]))

    monkeypatch.setattr(connections.WatchedSocket, "__init__", make)
    monkeypatch.setattr(connections.WatchedSocket, "connect_ex", connect)
    url = http_server.publish("/disk", BODY).replace("127.0.0.1", "[::1]")
    make_transport().get(url).close()
    assert asked == [socket.AF_INET6, ("::1", http_server.port)]
    assert http_server.requests[0].headers["Host"] == f"[::1]:{http_server.port}"


def test_a_name_is_resolved_once_whatever_it_means_later(http_server: HttpServer) -> None:
    """Scenario 39: a name that is rebound between check and connection leads to the checked address."""
    answers = [["127.0.0.1"], ["192.0.2.7"]]

    def rebinding(host: str) -> Sequence[str]:
        return answers.pop(0)

    transport = make_transport(resolver=rebinding)
    assert [str(address) for address in transport.resolve("EVIL.example.")] == ["127.0.0.1"]
    url = http_server.publish("/disk", BODY).replace("127.0.0.1", "evil.example")
    transport.get(url).close()
    transport.get(url).close()
    assert len(http_server.requests) == 2
    assert answers == [["192.0.2.7"]]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "10.0.0.1"],
        ["8.8.8.8", "::ffff:10.0.0.1"],
        ["fe80::1%lo"],
        ["169.254.169.254"],
    ],
)
def test_a_name_with_any_private_address_is_refused_before_anything_is_sent(addresses: list[str]) -> None:
    """Scenarios 36 and 37."""
    transport = make_transport(allow=(), resolver=names({"evil.example": addresses}))
    with pytest.raises(SourceRejected, match="has the address"):
        transport.get("http://evil.example/disk")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::1%25lo]", "10.0.0.1", "0.0.0.0", "169.254.169.254"],
)
def test_private_addresses_are_refused_by_default(host: str) -> None:
    """Scenario 37."""
    with pytest.raises(SourceRejected, match=r"is a .*address|is an .*address"):
        make_transport(allow=()).get(f"http://{host}/disk")


def test_the_system_resolver_knows_this_machine() -> None:
    transport = make_transport(resolver=system_resolver)
    assert {str(address) for address in transport.resolve("localhost")} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/disk", "gopher://127.0.0.1/", "file://127.0.0.1/etc/passwd"]
)
def test_only_http_and_https_are_fetched(url: str) -> None:
    with pytest.raises(SourceRejected, match="its scheme is"):
        make_transport().get(url)


def test_credentials_in_the_url_become_basic_authorization(http_server: HttpServer) -> None:
    url = http_server.publish("/disk", BODY).replace("//", "//user:pass%20word@")
    response = make_transport().get(url)
    response.close()
    assert http_server.requests[0].headers["Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="
    assert "pass" not in response.url


def test_messages_show_neither_credentials_nor_query(http_server: HttpServer) -> None:
    url = http_server.url("/gone?signature=abc").replace("//", "//user:secret@")
    with pytest.raises(SourceUnavailable) as caught:
        make_transport().get(url)
    assert "secret" not in str(caught.value)
    assert "signature" not in str(caught.value)


def test_a_text_is_fetched_up_to_its_limit(http_server: HttpServer) -> None:
    url = http_server.answer("/list", content("\ufeffdigest  bücher\n".encode()))
    assert make_transport().get_text(url) == "digest  bücher\n"
    with pytest.raises(SourceUnavailable, match="is larger than 5 B"):
        make_transport().get_text(url, limit=5)


def test_an_endless_text_is_not_read_to_its_end(http_server: HttpServer) -> None:
    sent = 0

    def endless(reply: Reply) -> None:
        nonlocal sent
        reply.head(200, {})
        while True:
            reply.write(b"x" * 65536)
            sent += 65536

    with pytest.raises(SourceUnavailable, match=r"is larger than 1\.0 MiB"):
        make_transport().get_text(http_server.answer("/list", endless))
    assert sent < 64 << 20


def test_a_document_that_is_not_text_is_named(http_server: HttpServer) -> None:
    with pytest.raises(SourceUnavailable, match="is not text in UTF-8"):
        make_transport().get_text(http_server.answer("/list", content(b"\x1f\x8b\x08\xff")))


def test_json_is_posted(http_server: HttpServer) -> None:
    make_transport().post_json(http_server.answer("/hook", status(204)), {"event": "image.upload"})
    request = http_server.requests[0]
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {"event": "image.upload"}


@pytest.mark.parametrize("code", [302, 404, 500])
def test_a_webhook_that_does_not_accept_is_an_error_and_called_once(
    http_server: HttpServer, code: int
) -> None:
    with pytest.raises(SourceUnavailable, match=f"answered {code}"):
        make_transport().post_json(http_server.answer("/hook", status(code, {"Location": "/x"})), {})
    assert len(http_server.requests) == 1


def test_the_answer_to_what_was_posted_can_be_read(http_server: HttpServer) -> None:
    def created(reply: Reply) -> None:
        reply.head(201, {"Content-Length": "5", "X-Subject-Token": "t"})
        reply.write(b"token")

    with make_transport().post(http_server.answer("/tokens", created), {"auth": 1}) as response:
        assert (response.status, response.headers["X-Subject-Token"], response.text()) == (201, "t", "token")
    assert response.closed
    assert json.loads(http_server.requests[0].body) == {"auth": 1}


@pytest.mark.parametrize("code", [302, 401, 503])
def test_what_is_posted_is_sent_once_and_to_no_other_server(http_server: HttpServer, code: int) -> None:
    url = http_server.answer("/tokens", status(code, {"Location": "/elsewhere"}))
    with pytest.raises(SourceUnavailable, match=f"answered {code}") as caught:
        make_transport().post(url, {"password": "secret"})
    assert caught.value.status == code
    assert http_server.paths() == ["/tokens"]


def test_an_answer_that_breaks_off_is_not_asked_for_again_by_posting(http_server: HttpServer) -> None:
    def broken(reply: Reply) -> None:
        reply.head(201, {"Content-Length": "10", "ETag": '"1"'})
        reply.write(b"token")

    response = make_transport().post(http_server.answer("/tokens", broken), {})
    with pytest.raises(SourceUnavailable, match="broke off"):
        response.text()
    assert len(http_server.requests) == 1


@pytest.mark.parametrize("persistent", [True, False])
def test_closing_the_transport_hangs_up_on_unread_answers(http_server: HttpServer, persistent: bool) -> None:
    hung_up = threading.Event()

    def endless(reply: Reply) -> None:
        head = b"" if persistent else b"Connection: close\r\n"
        reply.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n" + head + b"\r\n")
        try:
            while True:
                reply.write(b"x" * 65536)
        except OSError:
            hung_up.set()

    transport = make_transport()
    transport.get(http_server.publish("/disk", BODY)).close()
    unread = transport.get(http_server.answer("/endless", endless))
    transport.close()
    assert unread.closed
    assert hung_up.wait(10)


def test_a_closed_answer_is_not_an_empty_one(http_server: HttpServer) -> None:
    response = make_transport().get(http_server.answer("/disk", chunked(BODY)))
    chunks = response.chunks()
    next(chunks)
    response.close()
    with pytest.raises(RuntimeError, match="was closed"):
        next(chunks)
    with pytest.raises(RuntimeError, match="was closed"):
        next(response.chunks())


def test_what_any_step_refuses_is_not_connected_to(http_server: HttpServer) -> None:
    seen: list[tuple[str, str | None]] = []

    def refuse(url: str, redirected_from: str | None) -> None:
        seen.append((url, redirected_from))
        raise SourceRejected("not this one")

    def resolver(host: str) -> Sequence[str]:
        raise AssertionError("nothing may be resolved before it is permitted")

    transport = make_transport(validate=refuse, resolver=resolver)
    for call in (transport.get, transport.get_text):
        with pytest.raises(ImageportError, match="not this one"):
            call("http://user:secret@NAME.example/disk#x")
    for send in (transport.post_json, transport.post):
        with pytest.raises(ImageportError, match="not this one"):
            send("http://NAME.example/disk", {})
    assert seen == [("http://name.example/disk", None)] * 4
