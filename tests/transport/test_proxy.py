from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest
from tests.http_server import Behaviour, HttpServer, Reply, content, status
from tests.transport.harness import make_transport, names
from tests.transport.test_tls import Authority, authority, https_server, issued

from imageport import SourceRejected, SourceUnavailable

__all__ = ["authority", "https_server", "issued"]

BODY = b"image" * 100000


@pytest.fixture
def proxy() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


def tunnel_to(port: int) -> Behaviour:
    """Answer CONNECT by passing bytes to and from *port* on loopback, whatever the name."""

    def behave(reply: Reply) -> None:
        with socket.create_connection(("127.0.0.1", port)) as target, selectors.DefaultSelector() as ready:
            reply.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            other = {reply.connection: target, target: reply.connection}
            for end in other:
                ready.register(end, selectors.EVENT_READ, end)
            while True:
                for key, _ in ready.select():
                    data = key.data.recv(65536)
                    if not data:
                        return
                    other[key.data].sendall(data)

    return behave


def test_http_goes_through_the_proxy_that_resolves_the_name(proxy: HttpServer) -> None:
    proxy.answer("http://mirror.example/disk", content(BODY))
    transport = make_transport(allow=(), proxy=proxy.url("/"), resolver=names({}))
    with transport.get("http://mirror.example/disk") as response:
        assert b"".join(response.chunks()) == BODY
    assert proxy.requests[0].headers["Host"] == "mirror.example"
    assert transport.resolve("mirror.example") == ()


def test_https_goes_through_a_tunnel_and_is_verified_at_its_end(
    proxy: HttpServer, https_server: HttpServer, authority: Authority
) -> None:
    place = f"mirror.example:{https_server.port}"
    proxy.answer(place, tunnel_to(https_server.port))
    transport = make_transport(
        proxy=proxy.url("/").replace("//", "//user:secret@"), ca_bundle=authority.bundle, resolver=names({})
    )
    with transport.get(https_server.publish("/disk", BODY)) as response:
        assert b"".join(response.chunks()) == BODY
    assert proxy.requests[0].method == "CONNECT"
    assert proxy.requests[0].headers["Proxy-Authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert "Proxy-Authorization" not in https_server.requests[0].headers
    assert authority.asked_for == ["mirror.example"]


def test_a_proxy_that_refuses_is_named_in_the_message(proxy: HttpServer) -> None:
    proxy.answer("mirror.example:443", status(407))
    with pytest.raises(SourceUnavailable, match="Tunnel connection failed: 407"):
        make_transport(proxy=proxy.url("/"), resolver=names({})).post_json("https://mirror.example/", {})


def test_the_rules_for_urls_and_written_addresses_hold_behind_a_proxy_too(proxy: HttpServer) -> None:
    transport = make_transport(allow=(), proxy=proxy.url("/"), resolver=names({}))
    for url in ("http://169.254.169.254/", "http://[::1]/", "http://2130706433/"):
        with pytest.raises(SourceRejected):
            transport.get(url)
    assert proxy.requests == []


def test_proxies_of_the_environment_are_ignored(
    proxy: HttpServer, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F8."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy.url("/"))
    make_transport().get(http_server.publish("/disk", BODY)).close()
    assert http_server.paths() == ["/disk"]
    assert proxy.requests == []
