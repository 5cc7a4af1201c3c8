from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from imageport import Cancelled, SourceUnavailable
from imageport.limits import Limits
from imageport.testing.contexts import make_transport, names
from imageport.testing.http_server import HttpServer, content

HASTY = Limits(connect_timeout=0.3, read_timeout=5)
TYPING_MISTAKE = (
    "check the host name for a typing mistake; if this machine resolves names only through a proxy, set "
    "network.proxy in the site file"
)
NAME_SERVERS = "check the network and the name servers of this machine, in /etc/resolv.conf"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class SilentNameServer:
    """A UDP socket that takes questions and never answers, and a resolver that waits for it as the system does."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.released = threading.Event()
        self.asked: list[str] = []

    def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        labels = b"".join(bytes([len(label)]) + label.encode() for label in host.split("."))
        question = struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(question, self.socket.getsockname())
            client.settimeout(0.05)
            while not self.released.is_set():
                try:
                    client.recv(512)
                except TimeoutError:
                    continue
        return ["127.0.0.1"]


@pytest.fixture
def name_server() -> Iterator[SilentNameServer]:
    server = SilentNameServer()
    yield server
    server.released.set()
    server.socket.close()


def test_a_silent_name_server_is_given_up_after_the_connect_timeout(name_server: SilentNameServer) -> None:
    transport = make_transport(resolver=name_server.resolve, limits=HASTY)
    with pytest.raises(SourceUnavailable) as caught:
        transport.resolve("mirror.example")
    assert caught.value.message == (
        "the host name mirror.example cannot be resolved: no name server answered within 0.3 s"
    )
    assert caught.value.hint == NAME_SERVERS
    assert caught.value.retry


def test_a_deadline_that_passes_while_a_name_is_asked_for_names_that_as_the_cause(
    name_server: SilentNameServer,
) -> None:
    limits = Limits(connect_timeout=0.3, read_timeout=5, download_deadline=0.5)
    transport = make_transport(resolver=name_server.resolve, limits=limits)
    with pytest.raises(
        SourceUnavailable, match=r"mirror\.example cannot be resolved: no name server answered"
    ):
        transport.get("http://mirror.example/disk")


def test_tries_of_one_download_wait_for_one_question_and_take_its_late_answer(
    name_server: SilentNameServer, http_server: HttpServer
) -> None:
    url = http_server.answer("/disk", content(b"disk")).replace("127.0.0.1", "mirror.example")
    transport = make_transport(resolver=name_server.resolve, limits=HASTY)
    threading.Timer(0.5, name_server.released.set).start()
    with transport.get(url) as response:
        assert b"".join(response.chunks()) == b"disk"
    assert name_server.asked == ["mirror.example"]


def test_a_cancelled_import_does_not_wait_for_a_name_server(name_server: SilentNameServer) -> None:
    cancelled = threading.Event()
    transport = make_transport(resolver=name_server.resolve, cancelled=cancelled)
    threading.Timer(0.1, cancelled.set).start()
    with pytest.raises(Cancelled):
        transport.get("http://mirror.example/disk")


def test_a_cancelled_import_can_still_report_to_a_name(http_server: HttpServer) -> None:
    cancelled = threading.Event()
    cancelled.set()

    def slow(host: str) -> Sequence[str]:
        time.sleep(0.5)
        return ["127.0.0.1"]

    url = http_server.answer("/hook", content(b"")).replace("127.0.0.1", "hook.example")
    make_transport(resolver=slow, cancelled=cancelled).post_json(url, {})
    assert http_server.paths() == ["/hook"]


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (socket.EAI_NONAME, "Name or service not known", TYPING_MISTAKE),
        (socket.EAI_NODATA, "No address associated with hostname", TYPING_MISTAKE),
        (socket.EAI_AGAIN, "Temporary failure in name resolution", NAME_SERVERS),
    ],
)
def test_a_name_that_does_not_resolve_is_an_unavailable_source(error: int, reason: str, hint: str) -> None:
    """Scenario 35."""

    def failing(host: str) -> Sequence[str]:
        raise socket.gaierror(error, reason)

    with pytest.raises(SourceUnavailable) as caught:
        make_transport(resolver=failing).get("http://nowhere.example/disk")
    assert caught.value.message == f"the host name nowhere.example cannot be resolved: {reason}"
    assert caught.value.hint == hint
    assert (caught.value.retry, caught.value.exit_code) == (True, 4)


def test_a_name_without_addresses_is_an_unavailable_source() -> None:
    with pytest.raises(SourceUnavailable, match=r"empty\.example cannot be resolved: it has no address"):
        make_transport(resolver=names({"empty.example": []})).resolve("empty.example")


def test_a_name_that_is_resolved_later_is_asked_for_again() -> None:
    answers: list[Sequence[str]] = [[], ["127.0.0.1"]]
    transport = make_transport(resolver=lambda host: answers.pop(0))
    with pytest.raises(SourceUnavailable):
        transport.resolve("mirror.example")
    assert [str(address) for address in transport.resolve("mirror.example")] == ["127.0.0.1"]


def test_the_hint_names_a_proxy_variable_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    with pytest.raises(SourceUnavailable, match="cannot be resolved") as caught:
        make_transport().resolve("nowhere.example")
    assert (
        caught.value.hint
        == "the environment variable https_proxy is not used: set network.proxy in the site file"
    )


def test_a_proxy_whose_name_does_not_resolve_is_named() -> None:
    transport = make_transport(proxy="http://user:secret@proxy.example:3128")
    with pytest.raises(SourceUnavailable) as caught:
        transport.get("https://mirror.example/disk")
    assert caught.value.message == (
        "the proxy http://proxy.example:3128/ cannot be used: the host name proxy.example cannot be resolved: "
        "Name or service not known"
    )
    assert caught.value.hint == "check that proxy; it is set by network.proxy in the site file"
    assert caught.value.retry


def test_a_defect_of_a_resolver_is_not_called_a_missing_name() -> None:
    def broken(host: str) -> Sequence[str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_transport(resolver=broken).resolve("mirror.example")
