from __future__ import annotations

import contextlib
import socket
import threading
from types import SimpleNamespace

import pytest

from imageport import Cancelled, SourceUnavailable
from imageport.dataplane.buffers import CHUNK_SIZE
from imageport.http import connections
from imageport.limits import Limits
from imageport.testing.contexts import make_transport
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import Behaviour, HttpServer, Reply, content, status

HASTY = Limits(connect_timeout=1, read_timeout=0.5, download_deadline=10)


def half_then_silence(reply: Reply) -> None:
    reply.head(200, {"Content-Length": "1000"})
    reply.write(b"x" * 500)
    reply.stall()


def test_a_stalled_download_ends(http_server: HttpServer) -> None:
    """Scenario 27."""
    url = http_server.answer("/disk", half_then_silence)
    with pytest.raises(
        SourceUnavailable, match=r"after 500 of 1000 bytes: the server sent nothing for 0\.5 s"
    ) as caught:
        list(make_transport(limits=HASTY).get(url).chunks())
    assert caught.value.retry


def test_a_stalled_download_is_resumed_where_it_can_be(http_server: HttpServer) -> None:
    """Scenario 27."""

    def stall(reply: Reply) -> None:
        Truncated(b"x" * 1000, after=500)(reply)
        reply.stall()

    url = http_server.answer("/disk", stall, File(b"x" * 1000))
    assert b"".join(make_transport(limits=HASTY).get(url).chunks()) == b"x" * 1000


def test_a_server_that_never_answers_is_given_up(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Reply.stall)
    with pytest.raises(SourceUnavailable, match=r"the server sent nothing for 0\.5 s"):
        make_transport(limits=HASTY).get(url)


def test_a_webhook_has_little_time_and_is_called_for_a_cancelled_import_too(http_server: HttpServer) -> None:
    cancelled = threading.Event()
    cancelled.set()
    transport = make_transport(limits=HASTY, cancelled=cancelled)
    transport.post_json(http_server.answer("/hook", status(204)), {})
    with pytest.raises(SourceUnavailable, match=r"was not complete after 0\.5 s|sent nothing for 0\.5 s"):
        transport.post_json(http_server.answer("/silent", Reply.stall), {})


def drip(reply: Reply) -> None:
    reply.head(200, {})
    while not reply.closing.wait(0.02):
        reply.write(b"x")


def drip_headers(reply: Reply) -> None:
    reply.write(b"HTTP/1.1 200 OK\r\n")
    while not reply.closing.wait(0.02):
        reply.write(b"X")


def burst_then_drip(reply: Reply) -> None:
    reply.head(200, {})
    reply.write(b"x" * 100_000)
    while not reply.closing.wait(0.02):
        reply.write(b"x")


@pytest.mark.parametrize("behaviour", [drip, drip_headers, burst_then_drip])
def test_a_dripping_server_is_given_up(http_server: HttpServer, behaviour: Behaviour) -> None:
    url = http_server.answer("/disk", behaviour)
    with pytest.raises(SourceUnavailable, match=r"came at \d+ B a second, less than 1.0 KiB") as caught:
        list(make_transport(limits=HASTY).get(url).chunks())
    assert caught.value.retry


def test_the_minimum_rate_can_be_turned_off_and_the_deadline_ends_it(http_server: HttpServer) -> None:
    limits = Limits(read_timeout=0.2, minimum_rate=0, download_deadline=1)
    with pytest.raises(SourceUnavailable, match="was not complete after 1 s") as caught:
        list(make_transport(limits=limits).get(http_server.answer("/disk", drip)).chunks())
    assert not caught.value.retry


def test_a_slow_reader_is_not_the_fault_of_the_server(
    http_server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the reader takes time here, by a clock of the test: the server is as fast as can be."""
    now = [0.0]
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now[0]))
    body = b"x" * (3 * CHUNK_SIZE)
    limits = Limits(read_timeout=0.1, minimum_rate=100 << 20)
    received = 0
    for piece in make_transport(limits=limits).get(http_server.answer("/disk", content(body))).chunks():
        received += len(piece)
        now[0] += 0.15
    assert received == len(body)


@pytest.mark.parametrize("behaviour", [half_then_silence, Reply.stall, status(503)])
def test_cancelling_ends_a_wait(http_server: HttpServer, behaviour: Behaviour) -> None:
    cancelled = threading.Event()
    url = http_server.answer("/disk", behaviour)
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled):
        list(make_transport(cancelled=cancelled, limits=Limits(read_timeout=30)).get(url).chunks())


def test_nothing_is_asked_for_once_cancelled(http_server: HttpServer) -> None:
    cancelled = threading.Event()
    response = make_transport(cancelled=cancelled).get(http_server.publish("/disk", b"x" * (4 << 20)))
    chunks = response.chunks()
    next(chunks)
    cancelled.set()
    with pytest.raises(Cancelled):
        next(chunks)
    assert response.closed


def test_a_machine_that_does_not_answer_is_given_up_and_cancelling_ends_the_wait() -> None:
    """A listener whose queue is full drops further connections, as a firewall does."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as queue:
        for _ in range(4):
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/disk"
        with pytest.raises(SourceUnavailable, match=r"Connection timed out \(127"):
            make_transport(limits=Limits(connect_timeout=0.3)).post_json(url, {})
        cancelled = threading.Event()
        threading.Timer(0.3, cancelled.set).start()
        with pytest.raises(Cancelled):
            make_transport(cancelled=cancelled, limits=Limits(connect_timeout=60)).get(url)


def test_received_bytes_are_passed_on_while_the_server_sends_nothing(http_server: HttpServer) -> None:
    """The server sends the second half when the first has arrived."""
    arrived = threading.Event()

    def in_halves(reply: Reply) -> None:
        reply.head(200, {"Content-Length": "10"})
        reply.write(b"first")
        arrived.wait(20)
        reply.write(b"other")

    url = http_server.answer("/disk", in_halves)
    chunks = make_transport(limits=Limits(read_timeout=15)).get(url).chunks()
    assert bytes(next(chunks)) == b"first"
    arrived.set()
    assert b"".join(chunks) == b"other"
