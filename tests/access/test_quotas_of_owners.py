"""Quotas of owners are checked where it counts, and free again afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

FORMATS = ("--disk-format", "raw", "--container-format", "bare")
MIB = 1 << 20

ONE = """
name: one
source: {use: glance-direct}
stores: [{use: file, id: one, with: {directory: one}}]
"""

COPY = """
name: copy
source: {use: copy-image}
stores:
  - {use: file, id: one, with: {directory: one}}
  - {use: file, id: two, with: {directory: two}}
"""


def limit(cli: CommandLine, **quotas: object) -> None:
    (cli.folder / "imageport.yaml").write_text(f"quotas: {quotas}\n")
    (cli.folder / "one.yaml").write_text(ONE)
    (cli.folder / "copy.yaml").write_text(COPY)


def created(cli: CommandLine, *options: str) -> str:
    return str(cli.inside("images", "create", *FORMATS, "--json", *options).json["id"])


def staged(cli: CommandLine, *options: str) -> str:
    image = created(cli)
    cli.inside("images", "stage", image, cli.image, *options)
    return image


def assert_untouched(cli: CommandLine, image: str) -> None:
    record = cli.inside("images", "show", image, "--json").json
    assert (record["status"], record["size"]) == ("queued", None)
    assert record["properties"].get("os_glance_importing_to_stores", "") == ""
    assert "os_glance_import_task" not in record["properties"]
    assert not (cli.folder / ".local/share/imageport/staging" / image).exists()


def test_the_number_of_images_is_limited_for_each_owner(cli: CommandLine) -> None:
    limit(cli, image_count_total=1)
    image = created(cli)
    for arguments in (["images", "create"], ["run", "one.yaml", "disk.raw", "-q"]):
        printed = cli.inside(*arguments, code=7).err
        assert (
            "error: tester is over quota image_count_total: images used 1, wanted 1 more, limit 1" in printed
        )
        assert "raise quotas.image_count_total" in printed
    created(cli, "--user", "ada")
    cli.inside("images", "delete", image, "--yes")
    created(cli)


def test_who_has_too_much_imports_nothing_even_before_the_image_is_looked_up(cli: CommandLine) -> None:
    limit(cli)
    cli.inside("run", "one.yaml", cli.image, "-q")
    limit(cli, image_size_total="2 MiB")
    report = cli.inside("run", "one.yaml", cli.image, "--image", "unheard-of", "--json", code=7).lines[-1]
    assert report["error"]["code"] == "over-quota"
    assert report["error"]["message"] == (
        f"tester is over quota image_size_total: bytes used {3 * MIB}, limit {2 * MIB}"
    )
    assert len(cli.inside("tasks", "list", "--json").json) == 1


def test_an_import_that_would_go_over_the_size_fails_and_can_be_done_again(cli: CommandLine) -> None:
    limit(cli, image_size_total="4 MiB")
    first = cli.inside("run", "one.yaml", cli.image, "--json").lines[-1]["image"]["id"]
    image = staged(cli)
    report = cli.inside("run", "one.yaml", "--image", image, "--json", code=7).lines[-1]
    message = f"tester is over quota image_size_total: bytes used {3 * MIB}, wanted {3 * MIB} more, "
    message += f"limit {4 * MIB}"
    assert report["error"]["message"] == message
    (task, _) = cli.inside("tasks", "list", "--json").json
    assert (task["status"], task["message"]) == ("failure", message)
    assert_untouched(cli, image)
    assert cli.files("one") == [first]
    cli.inside("images", "delete", first, "--yes")
    cli.inside("images", "stage", image, cli.image)
    cli.inside("run", "one.yaml", "--image", image, "-q")


def test_a_size_that_shows_only_at_the_end_counts_before_anything_is_published(cli: CommandLine) -> None:
    limit(cli, image_size_total="5 MiB")
    done = cli("run", "p.yaml", "-", "--json", data=cli.image.read_bytes(), code=7)
    report = done.lines[-1]
    assert f"bytes used 0, wanted {6 * MIB} more" in report["error"]["message"]
    assert report["rolled_back"]
    assert (cli.files("one"), cli.files("two")) == ([], [])
    assert_untouched(cli, report["image"]["id"])


def test_staging_is_limited_by_number_and_bytes(cli: CommandLine) -> None:
    limit(cli, image_count_uploading=1)
    first, second = staged(cli), created(cli)
    printed = cli.inside("images", "stage", second, cli.image, code=7).err
    assert "image_count_uploading: images used 1, wanted 1 more, limit 1" in printed
    assert_untouched(cli, second)
    cli.inside("run", "one.yaml", "--image", first, "-q")
    cli.inside("images", "stage", second, cli.image)


def test_staged_bytes_are_limited_also_when_their_number_is_not_known(cli: CommandLine) -> None:
    limit(cli, image_stage_total="4 MiB")
    staged(cli)
    image = created(cli)
    printed = cli.inside("images", "stage", image, cli.image, code=7).err
    assert f"image_stage_total: bytes used {3 * MIB}, wanted {3 * MIB} more" in printed
    assert_untouched(cli, image)
    cli("images", "stage", image, "-", data=cli.image.read_bytes(), code=7)
    assert_untouched(cli, image)
    cli("images", "stage", image, "-", data=b"x" * MIB)


def test_a_copy_that_would_go_over_fails_and_leaves_the_image_active(cli: CommandLine) -> None:
    limit(cli)
    image = cli.inside("run", "one.yaml", cli.image, "--json").lines[-1]["image"]["id"]
    copy = ("run", "copy.yaml", "--image", image, "--role", "admin", "--json")
    for quota in ("image_stage_total", "image_size_total"):
        limit(cli, **{quota: "2 MiB" if quota == "image_stage_total" else "5 MiB"})
        report = cli.inside(*copy, code=7).lines[-1]
        assert f"over quota {quota}" in report["error"]["message"]
        assert report["image"]["status"] == "active"
        assert report["image"]["properties"]["os_glance_importing_to_stores"] == ""
        assert cli.files("two") == []
    limit(cli, image_stage_total="3 MiB", image_size_total="6 MiB", image_count_uploading=1)
    cli.inside(*copy)


def test_whose_image_it_is_counts_and_not_who_copies_it(cli: CommandLine) -> None:
    limit(cli, image_size_total="6 MiB")
    image = cli.inside("run", "one.yaml", cli.image, "--json", "--user", "ada").lines[-1]["image"]["id"]
    cli.inside("run", "one.yaml", cli.image, "--user", "boss", "-q")
    cli.inside("run", "copy.yaml", "--image", image, "--user", "boss", "--role", "admin", "-q")
    assert len(cli.inside("images", "show", image, "--json", "--user", "ada").json["locations"]) == 2


@pytest.mark.parametrize("quota", ["image_count_total", "image_count_uploading"])
def test_a_quota_of_nothing_lets_nothing_in(cli: CommandLine, quota: str) -> None:
    limit(cli, **{quota: 0})
    assert f"over quota {quota}" in cli.inside("run", "one.yaml", cli.image, "-q", code=7).err
    assert (cli.files("one"), Path(cli.folder / "two").exists()) == ([], False)
