from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine

SITE = "observers: [{use: notifications, with: {path: events.jsonl}}]\n"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    cli = CommandLine(tmp_path)
    (cli.folder / "imageport.yaml").write_text(SITE)
    return cli


def _sent(cli: CommandLine) -> list[tuple[str, dict[str, Any]]]:
    lines = (cli.folder / "events.jsonl").read_text().splitlines()
    return [(sent["event_type"], sent["payload"]) for sent in map(json.loads, lines)]


def test_images_that_are_made_changed_and_deleted_by_hand_are_reported(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--name", "mine", "--disk-format", "raw", "--json").json["id"]
    cli.inside("images", "set", image, "--name", "ours")
    cli.inside("images", "delete", image, "--yes")
    assert [
        (kind, payload["id"], payload["name"], payload["status"], payload["deleted"])
        for kind, payload in _sent(cli)
    ] == [
        ("image.create", image, "mine", "queued", False),
        ("image.update", image, "ours", "queued", False),
        ("image.delete", image, "ours", "deleted", True),
    ]


def test_staging_is_reported_twice(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--name", "mine", "--json").json["id"]
    cli.inside("images", "stage", image, cli.image)
    size = cli.image.stat().st_size
    assert [(kind, payload["status"], payload["size"]) for kind, payload in _sent(cli)[1:]] == [
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
    assert [(kind, payload["status"], payload["size"]) for kind, payload in _sent(cli)[1:]] == [
        ("image.update", "uploading", None),
        ("image.update", "queued", None),
    ]


def test_a_removed_copy_is_reported(cli: CommandLine) -> None:
    image = cli.imported()
    (cli.folder / "events.jsonl").unlink()
    cli.inside("images", "delete", image, "--store", "two", "--yes", "--role", "admin")
    ((kind, payload),) = _sent(cli)
    assert (kind, payload["id"], payload["status"]) == ("image.update", image, "active")


def test_what_is_refused_is_not_reported(cli: CommandLine) -> None:
    cli.inside("images", "create", "--name", "mine", "--property", "os_glance_x=1", code=2)
    assert not (cli.folder / "events.jsonl").exists()


def test_invalid_observers_do_not_stop_the_commands(
    cli: CommandLine, caplog: pytest.LogCaptureFixture
) -> None:
    (cli.folder / "imageport.yaml").write_text("observers: [{use: no-such-observer}]\n")
    cli.inside("images", "create", "--name", "mine")
    (message,) = caplog.messages
    assert "imageport.yaml get no events" in message
    assert "no-such-observer" in message


def test_secrets_of_the_site_are_not_reported(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text(
        "observers: [{use: notifications, with: {path: '{file.where}'}}]\n"
    )
    (cli.folder / "where").write_text("events.jsonl")
    cli.inside("images", "create", "--name", "see events.jsonl")
    assert _sent(cli)[0][1]["name"] == "see ***"
