from __future__ import annotations

import os
import pty
import re
import subprocess

import pytest
from tests.cli.command_line import CommandLine


def test_an_image_is_found_by_id_beginning_of_the_id_and_name(cli: CommandLine) -> None:
    image_id = cli.imported("--name", "mine")
    for name in (image_id, image_id[:6], "mine"):
        assert cli.inside("images", "show", name, "--json").json["id"] == image_id


def test_show_prints_where_the_copies_are(cli: CommandLine) -> None:
    image_id = cli.imported()
    shown = cli.inside("images", "show", image_id).out
    assert f"one: {cli.folder}/one/{image_id}" in shown
    assert "definition" not in shown


def test_a_list_in_a_pipe_has_one_line_for_each_image(cli: CommandLine) -> None:
    for number in range(2):
        cli.inside("images", "create", "--name", f"{number}-" + "long" * 60)
    header, *rows = cli.inside("images", "list").out.splitlines()
    assert header.split() == ["ID", "NAME", "STATUS", "FORMAT", "SIZE", "STORES"]
    assert len(rows) == 2
    assert all("long" * 60 in row for row in rows)


def test_a_list_can_be_narrowed_by_status_and_name(cli: CommandLine) -> None:
    cli.inside("images", "create", "--name", "waiting")
    image_id = cli.imported()
    assert [image["id"] for image in cli.inside("images", "list", "--status", "active", "--json").json] == [
        image_id
    ]
    assert [
        image["status"] for image in cli.inside("images", "list", "--name", "waiting", "--json").json
    ] == ["queued"]


def test_a_record_is_made_and_changed(cli: CommandLine) -> None:
    made = cli.inside("images", "create", "--name", "mine", "--disk-format", "qcow2", "--container-format", "bare",
        "--property", "a=1", "--property", "b=2", "--tag", "x", "--min-disk", "2", "--min-ram", "512",
        "--protected", "--visibility", "private", "--json",
    ).json  # fmt: skip
    assert (made["status"], made["owner"], made["tags"], made["protected"]) == (
        "queued",
        "tester",
        ["x"],
        True,
    )
    changed = cli.inside(
        "images", "set", "mine", "--name", "yours", "--property", "a=3", "--remove-property", "b",
        "--tag", "y", "--remove-tag", "x", "--unprotected", "--disk-format", "raw", "--json",
    ).json  # fmt: skip
    expected = {
        "name": "yours", "properties": {"a": "3"}, "tags": ["y"], "protected": False, "disk_format": "raw",
        "min_disk": 2, "min_ram": 512, "visibility": "private",
    }  # fmt: skip
    assert {name: changed[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--disk-format", "qcwo2"], "unknown disk format 'qcwo2' (did you mean 'qcow2'?)"),
        (["create", "--visibility", "secret"], "unknown visibility 'secret'"),
        (["create", "--property", "os_glance_x=1"], "property os_glance_x is reserved"),
        (["show", "unknown"], "no image 'unknown'"),
        (["list", "--status", "activ"], "unknown status 'activ' (did you mean 'active'?)"),
        (["create", "--min-disk", "-1"], "--min-disk"),
    ],
)
def test_wrong_values_are_usage_errors(cli: CommandLine, arguments: list[str], message: str) -> None:
    assert message in cli.inside("images", *arguments, code=2).err


def test_a_property_that_is_not_there_cannot_be_removed(cli: CommandLine) -> None:
    cli.inside("images", "create", "--name", "mine")
    assert "has no property 'x'" in cli.inside("images", "set", "mine", "--remove-property", "x", code=2).err


def test_formats_of_an_active_image_stay(cli: CommandLine) -> None:
    image_id = cli.imported()
    assert (
        "disk_format of image" in cli.inside("images", "set", image_id, "--disk-format", "qcow2", code=7).err
    )


def test_delete_removes_every_copy_and_the_record(cli: CommandLine) -> None:
    image_id = cli.imported()
    done = cli("images", "delete", "--yes", image_id)
    assert f"removed {cli.folder}/two/{image_id}" in done.out
    assert (cli.files("one"), cli.files("two")) == ([], [])
    assert cli.inside("images", "list", "--json").json == []


@pytest.mark.parametrize("option", [[], ["--store", "one", "--role", "admin"]])
def test_nothing_is_deleted_without_a_confirmation(cli: CommandLine, option: list[str]) -> None:
    image_id = cli.imported()
    refused = cli("images", "delete", image_id, *option, code=2)
    assert f"image {image_id} (disk.raw)" in refused.err
    assert "is not deleted: nothing confirms it" in refused.err
    assert "add --yes to delete it without a question" in refused.err
    assert refused.out == ""
    assert (cli.files("one"), cli.files("two")) == ([image_id], [image_id])
    assert [image["id"] for image in cli.inside("images", "list", "--json").json] == [image_id]


@pytest.mark.parametrize(("answer", "deleted"), [(b"n\n", False), (b"\n", False), (b"y\n", True)])
def test_a_terminal_is_asked_before_an_image_is_deleted(
    cli: CommandLine, answer: bytes, deleted: bool
) -> None:
    image_id = cli.imported()
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    done = subprocess.run(
        cli.command("images", "delete", image_id),
        cwd=cli.folder, env=cli.environment, stdin=theirs, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert b"delete image" in done.stdout
    assert (done.returncode == 0) is deleted
    assert cli.files("one") == ([] if deleted else [image_id])


def test_a_protected_image_is_not_deleted(cli: CommandLine) -> None:
    image_id = cli.imported()
    cli.inside("images", "set", image_id, "--protected")
    assert "--unprotected" in cli("images", "delete", "--yes", image_id, code=7).err
    assert cli.files("one") == [image_id]


def test_a_copy_that_cannot_be_removed_is_seen_no_more_and_left_to_gc(cli: CommandLine) -> None:
    image_id = cli.imported()
    one = cli.folder / "one"
    away = one.rename(cli.folder / "away")
    one.write_text("not a folder")
    failed = cli("images", "delete", "--yes", image_id, code=6).err
    assert f"{one}/{image_id}" in failed
    assert "imageport gc" in failed
    assert cli.inside("images", "list", "--json").json == []
    assert cli.files("two") == []
    assert f"left behind: {(one / image_id).as_uri()}" in cli("gc", code=6).out
    one.unlink()
    away.rename(one)
    assert f"removed the unpublished copy {(one / image_id).as_uri()}" in cli("gc").out
    assert cli.files("one") == []


def test_what_an_import_publishes_while_delete_asks_is_deleted_too(cli: CommandLine) -> None:
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image_id = cli.inside("images", "create", "--name", "mine", *formats, "--json").json["id"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        cli.command("images", "delete", "mine"),
        cwd=cli.folder, env=cli.environment, stdin=theirs, stdout=subprocess.PIPE,
    ) as asking:  # fmt: skip
        assert asking.stdout is not None
        assert asking.stdout.read(12) == b"delete image"
        cli("run", "p.yaml", cli.image, "--image", "mine", "-q")
        assert cli.files("one") == [image_id]
        os.write(ours, b"y\n")
        asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 0
    assert cli.inside("images", "list", "--json").json == []
    assert (cli.files("one"), cli.files("two")) == ([], [])


def test_export_gives_the_bytes_back_with_holes(cli: CommandLine) -> None:
    image_id = cli.imported()
    assert "size and digests verified" in cli("images", "export", image_id, "out.raw", "--store", "two").out
    out = cli.folder / "out.raw"
    assert out.read_bytes() == cli.image.read_bytes()
    assert out.stat().st_blocks * 512 < 2 << 20


def test_export_overwrites_only_by_force(cli: CommandLine) -> None:
    image_id = cli.imported()
    (cli.folder / "out.raw").write_text("precious")
    assert "--force" in cli("images", "export", image_id, "out.raw", code=7).err
    assert (cli.folder / "out.raw").read_text() == "precious"
    cli("images", "export", image_id, "out.raw", "--force")
    assert (cli.folder / "out.raw").read_bytes() == cli.image.read_bytes()


def test_export_to_standard_output(cli: CommandLine) -> None:
    image_id = cli.imported()
    done = subprocess.run(
        cli.command("images", "export", image_id),
        cwd=cli.folder,
        env=cli.environment,
        capture_output=True,
        check=True,
    )
    assert done.stdout == cli.image.read_bytes()


def test_a_damaged_copy_is_not_exported(cli: CommandLine) -> None:
    image_id = cli.imported()
    with (cli.folder / "one" / image_id).open("r+b") as copy:
        copy.write(b"rotten")
    before = set(cli.files("."))
    printed = cli("images", "export", image_id, "out.raw", code=5).err
    assert "the copy in store one is damaged: its md5 is" in printed
    assert f"imageport images delete {image_id} --store one" in printed
    assert set(cli.files(".")) == before


def _copying(cli: CommandLine, image_id: str) -> list[str]:
    """Return the arguments that copy an image to the stores ``one``, ``two`` and ``three``."""
    stores = (cli.folder / "p.yaml").read_text().partition("stores:")[2]
    third = "  - {use: file, id: three, with: {directory: three}}\n"
    (cli.folder / "copy.yaml").write_text(f"name: copy\nsource: {{use: copy-image}}\nstores:{stores}{third}")
    return ["run", "copy.yaml", "--image", image_id, "--role", "admin", "-q"]


def test_another_copy_serves_when_the_first_is_cut_short(cli: CommandLine) -> None:
    image_id = cli.imported()
    os.truncate(cli.folder / "one" / image_id, 4096)
    assert "the copy in store one is damaged: its size is 4096" in cli(*_copying(cli, image_id)).err
    assert (cli.folder / "three" / image_id).read_bytes() == cli.image.read_bytes()


def test_a_damaged_copy_is_removed_and_made_anew(cli: CommandLine) -> None:
    image_id = cli.imported()
    copy = _copying(cli, image_id)
    with (cli.folder / "one" / image_id).open("r+b") as damaged:
        damaged.write(b"rotten")
    printed = cli(*copy).err
    assert "the copy in store one is damaged: its sha512 is " in printed
    assert (cli.folder / "three" / image_id).read_bytes() == cli.image.read_bytes()
    (command,) = re.findall(r"'imageport (images delete [^']*)'", printed)
    assert "has no copy in one now" in cli.inside(*command.split(), "--yes").out
    assert cli.files("one") == []
    cli.inside(*copy)
    for store in ("one", "two", "three"):
        assert (cli.folder / store / image_id).read_bytes() == cli.image.read_bytes()
    assert cli.inside("gc").out == "nothing to clean up\n"


def test_neither_the_last_copy_nor_one_of_a_protected_image_is_removed(cli: CommandLine) -> None:
    image_id = cli.imported()
    cli.inside("images", "set", image_id, "--protected")
    admin = ("--role", "admin")
    assert (
        "is protected"
        in cli.inside("images", "delete", "--yes", image_id, "--store", "one", *admin, code=7).err
    )
    cli.inside("images", "set", image_id, "--unprotected")
    assert (
        "did you mean 'one'"
        in cli.inside("images", "delete", "--yes", image_id, "--store", "oen", *admin, code=2).err
    )
    cli.inside("images", "delete", "--yes", image_id, "--store", "one", *admin)
    assert (
        "has the last copy"
        in cli.inside("images", "delete", "--yes", image_id, "--store", "two", *admin, code=7).err
    )
    assert cli.files("two") == [image_id]


def test_an_image_without_copies_cannot_be_exported(cli: CommandLine) -> None:
    cli.inside("images", "create", "--name", "mine")
    assert "has no copy" in cli("images", "export", "mine", "out.raw", code=7).err
