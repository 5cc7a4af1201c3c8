"""Names and values have a greatest length, and what is too long is refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageport.testing.command import RunImageport
from imageport.testing.http_server import HttpServer

PIPELINE = "name: import\nsource: {use: web-download}\n"


def test_an_image_whose_name_is_too_long_is_not_imported(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path
) -> None:
    (site_folder / "p.yaml").write_text("name: import\nsource: {use: glance-direct}\n")
    refused = run_imageport.inside("run", "p.yaml", raw_disk, "--name", "a" * 100_000)
    assert refused.exit_code == 2
    assert f"name '{'a' * 40}...' has 100000 characters" in refused.stderr
    assert "hint: give at most 255 characters" in refused.stderr
    assert run_imageport.inside("images", "list", "--json").json == []
    assert list((site_folder / "images").glob("*")) == []
    assert list((site_folder / "staging").glob("*")) == []


def test_the_longest_name_is_kept(run_imageport: RunImageport) -> None:
    name = "é" * 255
    assert run_imageport.inside("images", "create", "--name", name).exit_code == 0
    [image] = run_imageport.inside("images", "list", "--json").json
    assert image["name"] == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "n" * 256], "has 256 characters"),
        (["--tag", "t" * 256], "has 256 characters"),
        (["--property", "p" * 256 + "=1"], "256 characters"),
        (["--property", "p=" + "v" * 65_536], "has 65536 characters"),
        (["--user", "u" * 256], "has 256 characters"),
        (["--project", "p" * 256], "has 256 characters"),
    ],
)
@pytest.mark.parametrize("command", [["create"], ["set", "planned"]])
def test_what_is_too_long_is_refused_by_create_and_set(
    run_imageport: RunImageport, command: list[str], options: list[str], message: str
) -> None:
    run_imageport.inside("images", "create", "--name", "planned")
    before = run_imageport.inside("images", "list", "--json").json
    refused = run_imageport.inside("images", *command, *options)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "hint: give at most" in refused.stderr
    assert run_imageport.inside("images", "list", "--json").json == before


def test_a_name_that_comes_from_a_url_is_cut(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path, http_server: HttpServer
) -> None:
    (site_folder / "p.yaml").write_text(PIPELINE)
    url = http_server.url("/" + "d" * 300 + ".raw")
    http_server.publish("/" + "d" * 300 + ".raw", raw_disk.read_bytes())
    done = run_imageport.inside("run", "p.yaml", url, "--quiet")
    assert done.exit_code == 0, done.stderr
    [image] = run_imageport.inside("images", "list", "--json").json
    assert image["name"] == "d" * 251 + ".raw"
