"""Whole imports by the proxy and the certificates that the site file names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.downloads import Downloads
from tests.http.test_proxy import tunnel_to
from tests.http.test_tls import Authority, authority, https_server, issued
from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import HttpServer

__all__ = ["authority", "https_server", "issued"]

BODY = noise(1 << 20)


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server)


def test_a_download_goes_through_the_proxy_of_the_site_and_is_resumed_there(downloads: Downloads) -> None:
    with HttpServer() as proxy:
        downloads.network = {"proxy": proxy.url().rstrip("/")}
        url = "http://mirror.example/disk.raw"
        proxy.answer(url, Truncated(BODY, after=1000), File(BODY))
        downloads.require_imported(downloads.importing(url), BODY)
        assert [request.headers["Range"] for request in proxy.requests] == [None, "bytes=1000-"]


def test_a_server_is_trusted_by_the_certificates_of_the_site(
    downloads: Downloads, https_server: HttpServer, authority: Authority
) -> None:
    url = https_server.publish("/disk.raw", BODY)
    with HttpServer() as proxy:
        proxy.answer(f"mirror.example:{https_server.port}", tunnel_to(https_server.port))
        downloads.network = {"proxy": proxy.url().rstrip("/")}
        error = downloads.require_failed(downloads.importing(url), 4)
        assert "certificate" in error["message"]
        assert "network.ca_bundle" in error["hint"]
        downloads.network["ca_bundle"] = str(authority.bundle)
        downloads.require_imported(downloads.importing(url), BODY)


def test_a_bundle_that_cannot_be_used_is_named(downloads: Downloads) -> None:
    downloads.network["ca_bundle"] = str(downloads.folder / "missing.pem")
    done = downloads.importing("https://127.0.0.1:9/disk.raw")
    assert done.exit_code == 2
    assert "missing.pem" in done.report["error"]["message"]
    assert "network.ca_bundle" in done.report["error"]["hint"]
