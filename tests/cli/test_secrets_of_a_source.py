"""Secrets in a url are used to fetch the image, and shown and kept nowhere."""

from __future__ import annotations

import pytest
from tests.cli.command_line import CommandLine

from imageport.testing.http_server import HttpServer

PIPELINE = """
name: download
source: {use: web-download}
steps: [{use: inject_image_metadata, with: {inject: {from: "{source.uri}"}}}]
stores: [{use: file, id: one, with: {directory: one}}]
observers: [{use: jsonl, with: {path: events.jsonl}}]
"""


@pytest.fixture
def downloads(cli: CommandLine) -> CommandLine:
    (cli.folder / "p.yaml").write_text(PIPELINE)
    (cli.folder / "imageport.yaml").write_text("network: {allow_networks: [127.0.0.0/8]}\n")
    return cli


@pytest.mark.parametrize("userinfo", ["mirror:battery-staple", "battery-staple", "battery-staple:"])
def test_credentials_and_signatures_are_in_no_record(
    downloads: CommandLine, http_server: HttpServer, userinfo: str
) -> None:
    http_server.publish("/pool/disk.raw?Signature=correct-horse", downloads.image.read_bytes())
    url = http_server.url("/pool/disk.raw?Signature=correct-horse").replace("://", f"://{userinfo}@")
    done = downloads("run", "p.yaml", url, "--json")
    assert done.lines[-1]["source"]["uri"] == http_server.url("/pool/disk.raw")
    assert done.lines[-1]["image"]["name"] == "disk.raw"
    shown = downloads("plan", "p.yaml", url).out + downloads("tasks", "list", "--json").out
    for text in (done.out, done.err, shown, (downloads.folder / "events.jsonl").read_text()):
        assert "battery" not in text
        assert "horse" not in text


def test_the_catalog_keeps_the_address_alone(downloads: CommandLine, http_server: HttpServer) -> None:
    text = (downloads.folder / "p.yaml").read_text()
    (downloads.folder / "p.yaml").write_text(text.replace("{source.uri}", "{source.name}"))
    http_server.publish("/?Signature=correct-horse", downloads.image.read_bytes())
    url = http_server.url("/?Signature=correct-horse").replace("://", "://mirror:battery-staple@")
    report = downloads("run", "p.yaml", url, "--json").lines[-1]
    assert report["image"]["name"] == "download"
    catalog = downloads.folder / ".local/share/imageport"
    kept = b"".join(path.read_bytes() for path in catalog.glob("catalog.db*"))
    assert http_server.url("/").encode() in kept
    assert b"battery" not in kept
    assert b"horse" not in kept
