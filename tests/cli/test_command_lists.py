"""``images list`` and ``tasks list``: filters, order and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.bench.crowd import fill, image_id
from tests.cli.command_line import CommandLine


@pytest.fixture
def crowd(cli: CommandLine) -> CommandLine:
    """Return a command line whose catalog has 250 images and tasks."""
    fill(f"sqlite:///{cli.folder}/catalog.db", 250)
    (cli.folder / "imageport.yaml").write_text(
        "catalog: sqlite:///catalog.db\nstaging: {directory: staging}\n"
    )
    return cli


def names(cli: CommandLine, *options: str) -> list[str]:
    return [
        image["name"] for image in cli.inside("images", "list", "--json", "--user", "bench", *options).json
    ]


def test_a_list_shows_a_hundred_images_and_how_to_get_the_next(crowd: CommandLine) -> None:
    shown = crowd.inside("images", "list", "--user", "bench")
    assert len(shown.out.splitlines()) == 101
    last = shown.out.splitlines()[-1].split()[0]
    assert shown.err == f"there are more: --marker {last} shows the next page, --limit 0 all\n"
    rest = crowd.inside("images", "list", "--user", "bench", "--marker", last)
    assert rest.err == ""
    assert len(rest.out.splitlines()) == 1 + 28
    assert len(names(crowd, "--limit", "0")) == 128


def test_pages_of_json_have_every_image_once(crowd: CommandLine) -> None:
    found: list[dict[str, Any]] = []
    options: list[str] = []
    while page := crowd.inside("images", "list", "--json", "--user", "bench", "--limit", "50", *options).json:
        found += page
        options = ["--marker", page[-1]["id"]]
    assert [image["name"] for image in found] == sorted((image["name"] for image in found), reverse=True)
    assert len({image["id"] for image in found}) == 128


def test_images_are_filtered_by_all_options_together(crowd: CommandLine) -> None:
    assert names(crowd, "--name", "image-000009") == ["image-000009"]
    assert names(crowd, "--name", "image-000008") == []
    assert names(crowd, "--property", "os_version=7") == ["image-000007"]
    assert names(crowd, "--property", "os_distro=debian", "--tag", "tag-9") == ["image-000009"]
    assert names(crowd, "--tag", "tag-9", "--tag", "tag-7") == []
    assert names(crowd, "--owner", "owner-3", "--status", "active") == ["image-000100"]
    assert names(crowd, "--status", "queued") == []


def test_images_are_sorted_as_asked(crowd: CommandLine) -> None:
    assert names(crowd, "--sort", "name", "--limit", "2") == ["image-000000", "image-000001"]
    assert names(crowd, "--sort", "name:desc", "--limit", "1") == ["image-000249"]
    assert names(crowd, "--sort", "created_at:asc", "--limit", "1") == ["image-000000"]
    refused = crowd.inside("images", "list", "--sort", "nmae", code=2)
    assert "unknown key of --sort 'nmae' (did you mean 'name'?)" in refused.err
    assert (
        "unknown direction of --sort 'up'" in crowd.inside("images", "list", "--sort", "name:up", code=2).err
    )


def test_a_marker_that_the_caller_does_not_see_is_not_there(crowd: CommandLine) -> None:
    refused = crowd.inside("images", "list", "--user", "bench", "--marker", image_id(2), code=2)
    assert f"no image '{image_id(2)}'" in refused.err


def test_a_filter_does_not_betray_a_property_that_the_caller_may_not_read(
    crowd: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "protections.conf").write_text(
        "[build]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n"
        "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
    )
    with (tmp_path / "imageport.yaml").open("a") as site:
        site.write("property_protections: {file: protections.conf}\n")
    assert names(crowd, "--property", "build=b9") == []
    assert names(crowd, "--property", "build=b9", "--role", "admin") == ["image-000009"]
    assert names(crowd, "--property", "os_glance_stage_host=x") == []
    assert names(crowd, "--property", "os_version=9") == ["image-000009"]


def test_tasks_come_in_pages_too(crowd: CommandLine) -> None:
    shown = crowd.inside("tasks", "list", "--user", "bench", "--limit", "3", "--json")
    assert len(shown.json) == 3
    marker = shown.json[-1]["id"]
    assert shown.err == f"there are more: --marker {marker} shows the next page, --limit 0 all\n"
    following = crowd.inside("tasks", "list", "--user", "bench", "--limit", "0", "--marker", marker, "--json")
    assert len(following.json) == 125
    assert following.json[0]["created_at"] < shown.json[-1]["created_at"]
    assert len(crowd.inside("tasks", "list", "--user", "bench", "--status", "failure", "--json").json) == 3
