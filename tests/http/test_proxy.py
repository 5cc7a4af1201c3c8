from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator

import pytest
from tests.http.test_tls import Authority, authority, https_server, issued

from imageport import SourceRejected, SourceUnavailable
from imageport.testing.contexts import make_transport, names
from imageport.testing.http_server import Behaviour, HttpServer, Reply, content, status

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


@pytest.mark.parametrize(
    ("code", "hint"), [(407, "the proxy requires credentials"), (403, "ask the operator of that proxy")]
)
def test_a_proxy_that_refuses_is_named_in_the_message(proxy: HttpServer, code: int, hint: str) -> None:
    proxy.answer("mirror.example:443", status(code))
    url = f"http://127.0.0.1:{proxy.port}/"
    message = f"the proxy {url} does not connect to https://mirror.example/: it answered {code}"
    with pytest.raises(SourceUnavailable, match=message) as caught:
        make_transport(proxy=proxy.url("/"), resolver=names({})).post_json("https://mirror.example/", {})
    assert caught.value.hint.startswith(hint)
    assert "network.proxy" in caught.value.hint


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_does_not_answer_is_named_without_its_password(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    transport = make_transport(proxy=f"http://user:secret@127.0.0.1:{port}", resolver=names({}))
    message = f"could not be reached through the proxy http://127.0.0.1:{port}/: Connection refused"
    with pytest.raises(SourceUnavailable, match=message) as caught:
        transport.post_json(f"{scheme}://mirror.example/", {})
    assert caught.value.hint == "check that proxy; it is set by network.proxy in the site file"
    assert caught.value.retry
    assert "secret" not in caught.value.message


def test_a_proxy_of_the_environment_that_is_not_used_is_named_when_nothing_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    with pytest.raises(SourceUnavailable, match="Connection refused") as caught:
        make_transport().post_json(f"http://127.0.0.1:{port}/", {})
    assert caught.value.hint == (
        "the environment variable HTTPS_PROXY is not used: set network.proxy in the site file"
    )


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
