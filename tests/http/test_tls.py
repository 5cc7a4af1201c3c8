from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imageport import Cancelled, SourceRejected, SourceUnavailable, UsageError
from imageport.limits import Limits
from imageport.testing.contexts import make_transport, names
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import HttpServer, Reply, content, redirect

BODY = bytes(range(256)) * 10000
RESOLVER = names({"mirror.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})


@dataclass
class Authority:
    """A certificate authority of our own, and a server certificate for mirror.example."""

    folder: Path
    asked_for: list[str | None] = field(default_factory=list)

    @property
    def bundle(self) -> Path:
        return self.folder / "ca.pem"

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.sni_callback = lambda connection, name, context: self.asked_for.append(name)
        return context


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ca")
    key, request = folder / "server.key", folder / "server.csr"
    new_key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca: list[str | Path] = [
        "-keyout",
        folder / "ca.key",
        "-out",
        folder / "ca.pem",
        "-subj",
        "/CN=Test authority",
    ]
    openssl("req", "-x509", *new_key, *ca, "-days", "2", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=mirror.example")
    (folder / "names").write_text("subjectAltName=DNS:mirror.example\nauthorityKeyIdentifier=keyid\n")
    signed_by: list[str | Path] = ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial"]
    certificate = folder / "server.pem"
    openssl("x509", "-req", "-in", request, "-out", certificate, *signed_by, "-extfile", folder / "names")
    return folder


@pytest.fixture
def authority(issued: Path) -> Authority:
    return Authority(issued)


@pytest.fixture
def https_server(authority: Authority) -> Iterator[HttpServer]:
    with HttpServer(tls=authority.server_context(), name="mirror.example") as server:
        yield server


def test_the_certificate_is_verified_for_the_name_while_the_checked_address_is_connected_to(
    https_server: HttpServer, authority: Authority
) -> None:
    """F3: the name is only known to the injected resolver, so a second look-up would fail."""
    transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle)
    with transport.get(https_server.publish("/disk", BODY)) as response:
        assert b"".join(response.chunks()) == BODY
    assert authority.asked_for == ["mirror.example"]
    assert https_server.requests[0].headers["Host"] == f"mirror.example:{https_server.port}"


def test_a_certificate_for_another_name_is_refused(https_server: HttpServer, authority: Authority) -> None:
    transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle)
    with pytest.raises(SourceUnavailable, match=r"is for another name than other\.example") as caught:
        transport.get(https_server.url("/disk", name="other.example"))
    assert not caught.value.retry
    assert https_server.requests == []


def test_an_unknown_authority_is_refused_with_a_hint(https_server: HttpServer) -> None:
    with pytest.raises(SourceUnavailable, match="is issued by an unknown authority") as caught:
        make_transport(resolver=RESOLVER).get(https_server.url("/disk"))
    assert "network.ca_bundle" in caught.value.hint


def _certificate(folder: Path, start: str, end: str) -> ssl.SSLContext:
    """Return what serves a certificate of the authority that is valid from *start* to *end* (YYYYMMDD)."""
    (folder / "index.txt").write_text("")
    (folder / "ca.conf").write_text(
        f"[ca]\ndefault_ca=own\n[own]\ndir={folder}\ndatabase={folder}/index.txt\nrand_serial=yes\n"
        f"new_certs_dir={folder}\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n"
    )
    signed = folder / "dated.pem"
    openssl(
        "ca", "-batch", "-config", folder / "ca.conf", "-cert", folder / "ca.pem", "-keyfile", folder / "ca.key",
        "-in", folder / "server.csr", "-out", signed, "-notext", "-extfile", folder / "names",
        "-startdate", f"{start}000000Z", "-enddate", f"{end}000000Z",
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed, folder / "server.key")
    return context


@pytest.mark.parametrize(
    ("start", "end", "message", "hint"),
    [
        ("20200101", "20210203", "expired on 2021-02-03", "report this to the site or use another mirror"),
        ("20900101", "20910101", "is not valid yet", "check this machine's clock"),
    ],
)
def test_a_certificate_out_of_its_time_is_named_with_its_own_hint(
    authority: Authority, start: str, end: str, message: str, hint: str
) -> None:
    with HttpServer(tls=_certificate(authority.folder, start, end), name="mirror.example") as server:
        transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle)
        with pytest.raises(SourceUnavailable, match=f"the certificate of .*/disk {message}$") as caught:
            transport.get(server.url("/disk"))
    assert caught.value.hint.startswith(hint)
    assert not caught.value.retry
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "message", "hint"),
    [
        # What OpenSSL sends: a fatal alert, "http request".
        (
            b"\x15\x03\x01\x00\x02\x02\x50",
            r"port \d+ of 127\.0\.0\.1 expects TLS",
            "write https://127.0.0.1:",
        ),
        (
            b"",
            "the server closed the connection without an answer",
            "check the url, and whether that port expects https",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "answered 400 Bad Request",
            "check the url, and whether that port",
        ),
    ],
)
def test_plain_http_to_a_port_that_wants_tls_is_named(
    http_server: HttpServer, answer: bytes, message: str, hint: str
) -> None:
    url = http_server.answer("/disk", lambda reply: reply.write(answer))
    with pytest.raises(SourceUnavailable, match=message) as caught:
        make_transport().post_json(url, {})
    assert caught.value.hint.startswith(hint)


def test_a_dropped_tls_connection_is_resumed(https_server: HttpServer, authority: Authority) -> None:
    url = https_server.answer("/disk", Truncated(BODY, after=1_500_000), File(BODY))
    transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle)
    with transport.get(url) as response:
        assert b"".join(response.chunks()) == BODY
    assert https_server.requests[1].headers["Range"] == "bytes=1500000-"


@pytest.mark.parametrize("complete", [True, False])
def test_a_body_without_length_ends_only_when_tls_is_closed(
    https_server: HttpServer, authority: Authority, complete: bool
) -> None:
    """A connection that was cut in between must not look like the end of the body."""

    def answer(reply: Reply) -> None:
        reply.head(200, {})
        reply.write(BODY)
        if complete:
            secured = reply.connection
            assert isinstance(secured, ssl.SSLSocket)
            secured.settimeout(5)
            # The client closes without an answer to this, and need not.
            with contextlib.suppress(OSError):
                secured.unwrap()

    transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle)
    response = transport.get(https_server.answer("/disk", answer))
    if complete:
        assert b"".join(response.chunks()) == BODY
    else:
        with pytest.raises(
            SourceUnavailable, match="the connection broke after 2560000 of an unknown number"
        ):
            list(response.chunks())


def test_a_stalled_tls_connection_ends(https_server: HttpServer, authority: Authority) -> None:
    def stall(reply: Reply) -> None:
        reply.head(200, {"Content-Length": "1000"})
        reply.write(b"x" * 500)
        reply.stall()

    url = https_server.answer("/disk", stall)
    hasty = Limits(connect_timeout=5, read_timeout=0.5)
    transport = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle, limits=hasty)
    with pytest.raises(
        SourceUnavailable, match=r"after 500 of 1000 bytes: the server sent nothing for 0\.5 s"
    ):
        list(transport.get(url).chunks())
    cancelled = threading.Event()
    patient = make_transport(resolver=RESOLVER, ca_bundle=authority.bundle, cancelled=cancelled)
    threading.Timer(0.3, cancelled.set).start()
    with pytest.raises(Cancelled):
        list(patient.get(url).chunks())


def test_a_redirect_from_https_to_http_is_refused_unless_allowed(
    https_server: HttpServer, http_server: HttpServer, authority: Authority
) -> None:
    """F7."""
    http_server.answer("/disk", content(BODY))
    url = https_server.answer("/latest", redirect(http_server.url("/disk")))
    with pytest.raises(SourceRejected, match="redirects from https to http://") as caught:
        make_transport(resolver=RESOLVER, ca_bundle=authority.bundle).get(url)
    assert "network.allow_downgrade" in caught.value.hint
    assert http_server.requests == []
    make_transport(resolver=RESOLVER, ca_bundle=authority.bundle, allow_downgrade=True).get(url).close()
    assert http_server.paths() == ["/disk"]


def test_a_server_that_does_not_speak_tls_is_an_unavailable_source(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Reply.stall).replace("http:", "https:")
    with pytest.raises(
        SourceUnavailable, match=r"port [0-9]+ of 127\.0\.0\.1 does not answer with TLS"
    ) as caught:
        make_transport().post_json(url, {})
    assert caught.value.hint == (
        f"if the server offers plain http on that port, write http://127.0.0.1:{http_server.port}"
    )


@pytest.mark.parametrize("bundle", ["missing.pem", "empty.pem"])
def test_a_bundle_that_cannot_be_used_is_named(tmp_path: Path, bundle: str) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(UsageError, match=bundle) as caught:
        make_transport(ca_bundle=tmp_path / bundle).get("https://127.0.0.1:1/")
    assert "network.ca_bundle" in caught.value.hint
