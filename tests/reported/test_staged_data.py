"""Data in staging: what is lost makes its image queued again, and what is there is not thrown away."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from imageport.catalog import Catalog
from imageport.importing.staging import Staging
from imageport.testing.command import RunImageport
from imageport.testing.http_server import HttpServer


@pytest.fixture
def lost(run_imageport: RunImageport, site_folder: Path, raw_disk: Path) -> str:
    """Return the id of an image that is staged, with a quota of one, and whose data is gone."""
    with (site_folder / "imageport.yaml").open("a") as site:
        site.write("quotas: {image_count_uploading: 1}\n")
    for name, method in (("direct", "glance-direct"), ("web", "web-download")):
        (site_folder / f"{name}.yaml").write_text(f"name: {name}\nsource: {{use: {method}}}\n")
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image = str(run_imageport.inside("images", "create", *formats, "--json").json["id"])
    assert run_imageport.inside("images", "stage", image, raw_disk).exit_code == 0
    (site_folder / "staging" / image).unlink()
    return image


def _status(run_imageport: RunImageport, image: str) -> str:
    return str(run_imageport.inside("images", "show", image, "--json").json["status"])


def test_gc_queues_the_image_again_and_frees_its_quota(
    run_imageport: RunImageport, raw_disk: Path, lost: str
) -> None:
    examined = run_imageport.inside("doctor")
    assert "left by dead imports: 1, with 0 B of staging" in examined.stdout
    planned = run_imageport.inside("gc", "--dry-run")
    assert f"would queue image {lost} again, whose data in staging is lost" in planned.stdout
    assert _status(run_imageport, lost) == "uploading"
    done = run_imageport.inside("gc")
    assert done.exit_code == 0
    assert f"queued image {lost} again, whose data in staging is lost" in done.stdout
    assert run_imageport.inside("images", "show", lost, "--json").json["size"] is None
    assert _status(run_imageport, lost) == "queued"
    assert run_imageport.inside("gc").stdout == "nothing to clean up\n"
    assert run_imageport.inside("run", "direct.yaml", raw_disk, "--name", "another").exit_code == 0


def test_the_next_import_takes_another_source(
    run_imageport: RunImageport, http_server: HttpServer, raw_disk: Path, lost: str
) -> None:
    url = http_server.publish("/disk.raw", raw_disk.read_bytes())
    done = run_imageport.inside("run", "web.yaml", url, "--image", lost, "--json")
    assert done.exit_code == 0, done.report["error"]
    assert _status(run_imageport, lost) == "active"


def test_an_import_without_a_source_reports_that_nothing_is_staged(
    run_imageport: RunImageport, lost: str
) -> None:
    done = run_imageport.inside("run", "direct.yaml", "--image", lost, "--json")
    assert done.exit_code == 7
    assert done.report["error"]["message"] == f"nothing is staged for image {lost}"
    assert f"imageport images stage {lost} FILE" in done.report["error"]["hint"]


def test_new_data_can_be_staged(run_imageport: RunImageport, raw_disk: Path, lost: str) -> None:
    assert run_imageport.inside("images", "stage", lost, raw_disk).exit_code == 0
    assert run_imageport.inside("run", "direct.yaml", "--image", lost).exit_code == 0
    assert _status(run_imageport, lost) == "active"


def test_an_image_whose_data_is_just_coming_is_left_alone(
    run_imageport: RunImageport, site_folder: Path, lost: str
) -> None:
    with Staging(site_folder / "staging").incoming(lost):
        assert run_imageport.inside("gc").stdout == "nothing to clean up\n"
    assert _status(run_imageport, lost) == "uploading"


@pytest.mark.parametrize("other", ["machine", "directory"])
def test_an_image_that_is_staged_elsewhere_is_left_alone(
    run_imageport: RunImageport, site_folder: Path, lost: str, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    if other == "machine":
        monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    else:
        site = site_folder / "imageport.yaml"
        site.write_text(site.read_text().replace("directory: staging", "directory: elsewhere"))
    assert run_imageport.inside("gc").stdout == "nothing to clean up\n"
    assert _status(run_imageport, lost) == "uploading"


def test_data_that_is_staged_while_an_import_begins_is_kept(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site_folder / "direct.yaml").write_text("name: direct\nsource: {use: glance-direct}\n")
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image = str(run_imageport.inside("images", "create", *formats, "--json").json["id"])
    staged = site_folder / "staged.raw"
    staged.write_bytes(b"staged" * 1000)
    begin = Catalog.begin_import

    def stage_first(self: Catalog, image_id: str, **options: Any) -> Any:
        assert run_imageport("images", "stage", image_id, staged).exit_code == 0
        return begin(self, image_id, **options)

    monkeypatch.setattr(Catalog, "begin_import", stage_first)
    done = run_imageport.inside("run", "direct.yaml", raw_disk, "--image", image, "--json")
    monkeypatch.undo()
    assert done.exit_code == 7
    expected = f"data is staged for image {image}, and another source is given"
    assert done.report["error"]["message"] == expected
    assert "leave the source out to import the staged data" in done.report["error"]["hint"]
    assert _status(run_imageport, image) == "uploading"
    assert (site_folder / "staging" / image).read_bytes() == staged.read_bytes()
    assert run_imageport.inside("tasks", "list", "--json").json == []
    assert list((site_folder / "images").glob("*")) == []
    assert run_imageport.inside("run", "direct.yaml", "--image", image).exit_code == 0
    assert (site_folder / "images" / image).read_bytes().startswith(b"staged")
