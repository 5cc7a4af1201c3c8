from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine

SITE = "observers: [{use: notifications, with: {path: told.jsonl}}]\n"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    cli = CommandLine(tmp_path)
    (cli.folder / "imageport.yaml").write_text(SITE)
    return cli


def _told(cli: CommandLine) -> list[tuple[str, dict[str, Any]]]:
    lines = (cli.folder / "told.jsonl").read_text().splitlines()
    return [(told["event_type"], told["payload"]) for told in map(json.loads, lines)]


def test_images_that_are_made_changed_and_deleted_by_hand_are_reported(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--name", "mine", "--disk-format", "raw", "--json").json["id"]
    cli.inside("images", "set", image, "--name", "ours")
    cli.inside("images", "delete", image, "--yes")
    assert [
        (kind, told["id"], told["name"], told["status"], told["deleted"]) for kind, told in _told(cli)
    ] == [
        ("image.create", image, "mine", "queued", False),
        ("image.update", image, "ours", "queued", False),
        ("image.delete", image, "ours", "deleted", True),
    ]


def test_staging_is_reported_twice(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--name", "mine", "--json").json["id"]
    cli.inside("images", "stage", image, cli.image)
    size = cli.image.stat().st_size
    assert [(kind, told["status"], told["size"]) for kind, told in _told(cli)[1:]] == [
        ("image.update", "uploading", None),
        ("image.update", "uploading", size),
    ]


def test_staging_that_fails_is_reported_with_the_image_queued_again(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--name", "mine", "--json").json["id"]
    pipe = cli.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"too few",))
    writer.start()
    cli.inside("images", "stage", image, "--size", "1000", pipe, code=3)
    writer.join()
    assert [(kind, told["status"], told["size"]) for kind, told in _told(cli)[1:]] == [
        ("image.update", "uploading", None),
        ("image.update", "queued", None),
    ]


def test_a_removed_copy_is_reported(cli: CommandLine) -> None:
    image = cli.imported()
    (cli.folder / "told.jsonl").unlink()
    cli.inside("images", "delete", image, "--store", "two", "--yes", "--role", "admin")
    ((kind, told),) = _told(cli)
    assert (kind, told["id"], told["status"]) == ("image.update", image, "active")


def test_what_is_refused_is_not_reported(cli: CommandLine) -> None:
    cli.inside("images", "create", "--name", "mine", "--property", "os_glance_x=1", code=2)
    assert not (cli.folder / "told.jsonl").exists()


def test_observers_that_are_written_wrong_do_not_keep_anybody_from_working(
    cli: CommandLine, caplog: pytest.LogCaptureFixture
) -> None:
    (cli.folder / "imageport.yaml").write_text("observers: [{use: nobody}]\n")
    cli.inside("images", "create", "--name", "mine")
    (message,) = caplog.messages
    assert "imageport.yaml get no events" in message
    assert "nobody" in message


def test_secrets_of_the_site_are_not_reported(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text(
        "observers: [{use: notifications, with: {path: '{file.where}'}}]\n"
    )
    (cli.folder / "where").write_text("told.jsonl")
    cli.inside("images", "create", "--name", "see told.jsonl")
    assert _told(cli)[0][1]["name"] == "see ***"
