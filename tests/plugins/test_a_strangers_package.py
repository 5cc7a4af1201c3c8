from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.conftest import Desk

ARCHIVE: dict[str, Any] = {"use": "gzip_archive", "id": "packed", "with": {"directory": "./packed"}}
PLAIN: dict[str, Any] = {"use": "file", "id": "plain", "with": {"directory": "./plain"}}


@pytest.fixture
def stranger(desk: Callable[..., Desk], first_plugin: Path) -> Desk:
    return desk(first_plugin)


def test_its_step_and_store_take_part_in_an_import(stranger: Desk) -> None:
    report = stranger.run(stranger.pipeline("stamp", stores=[PLAIN, ARCHIVE]), "--user", "ada")
    assert report["status"] == "success"
    assert report["image"]["properties"]["imported_by"] == "ada"
    image = report["image"]["id"]
    disk = (stranger.folder / "disk.raw").read_bytes()
    assert (stranger.folder / "plain" / image).read_bytes() == disk
    assert gzip.decompress((stranger.folder / "packed" / f"{image}.gz").read_bytes()) == disk
    assert report["stores"]["packed"]["bytes_written"] == len(disk)


def test_its_store_is_read_by_other_commands(stranger: Desk) -> None:
    image = stranger.run(stranger.pipeline(stores=[ARCHIVE]))["image"]["id"]
    assert stranger.imageport("images", "export", image, "back.raw").exit_code == 0
    assert (stranger.folder / "back.raw").read_bytes() == (stranger.folder / "disk.raw").read_bytes()
    assert stranger.imageport("images", "delete", image, "--yes").exit_code == 0
    assert list((stranger.folder / "packed").iterdir()) == []


def test_its_store_leaves_nothing_when_another_store_fails(stranger: Desk) -> None:
    image = json.loads(stranger.imageport("images", "create", "--json").stdout)["id"]
    formats = ("--disk-format", "raw", "--container-format", "bare")
    (stranger.folder / "plain").mkdir()
    (stranger.folder / "plain" / image).write_text("in the way")
    report = stranger.run(stranger.pipeline(stores=[ARCHIVE, PLAIN]), "--image", image, *formats)
    assert report["error"]["store"] == "plain"
    assert report["stores"]["packed"]["status"] == "discarded"
    assert list((stranger.folder / "packed").iterdir()) == []


def test_its_plugins_are_listed_with_the_package_that_supplies_them(stranger: Desk) -> None:
    listed = json.loads(stranger.imageport("plugins", "list", "--json").stdout)
    mine = {plugin["name"]: plugin for plugin in listed if plugin["distribution"] == "imageport-first 0.1.0"}
    assert mine.keys() == {"stamp", "gzip_archive"}
    assert mine["stamp"]["status"] == "ok"
    assert mine["stamp"]["hooks"] == ["transform"]
    assert mine["gzip_archive"]["hooks"] == ["store_write", "store_read", "store_delete"]
    assert mine["gzip_archive"]["summary"] == "Keep each image as a gzip file, named by its id."


def test_its_options_are_explained(stranger: Desk) -> None:
    shown = stranger.imageport("plugins", "show", "gzip_archive").stdout
    assert "imageport-first 0.1.0" in shown
    assert "How hard to pack, from 0 to 9." in shown


def test_its_options_are_in_the_schema_for_editors(stranger: Desk) -> None:
    schema = stranger.imageport("schema").stdout
    assert '"gzip_archive"' in schema
    assert "How hard to pack, from 0 to 9." in schema


def test_its_options_are_validated_by_position(stranger: Desk) -> None:
    (stranger.folder / "wrong.yaml").write_text(
        "name: wrong\n"
        "source: {use: glance-direct}\n"
        "steps:\n"
        "  - use: stanp\n"
        "stores:\n"
        "  - use: gzip_archive\n"
        "    with: {directory: ./packed, level: 10}\n"
    )
    done = stranger.imageport("validate", "wrong.yaml")
    assert done.exit_code == 2
    unknown, level = done.stdout.splitlines()
    assert unknown.startswith("wrong.yaml:4:5: steps.0.use: unknown plugin 'stanp' (did you mean 'stamp'?)")
    assert level.startswith("wrong.yaml:7:33: stores.0.with.level:")


def test_its_removal_is_reported_by_name(desk: Callable[..., Desk]) -> None:
    bare = desk()
    done = bare.imageport("validate", bare.pipeline("stamp"))
    assert done.exit_code == 2
    assert "unknown plugin 'stamp'" in done.stdout
    assert "pip install the package that supplies it" in done.stdout
