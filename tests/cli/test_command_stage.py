"""Data is put in staging whole or not at all, and stays there until it is imported."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine

STAGING = ".local/share/imageport/staging"


@pytest.fixture
def image_id(cli: CommandLine) -> str:
    """Return the id of a queued image called ``mine``."""
    formats = ("--disk-format", "raw", "--container-format", "bare")
    return str(cli.inside("images", "create", "--name", "mine", *formats, "--json").json["id"])


def _record(cli: CommandLine, image_id: str) -> dict[str, Any]:
    found: dict[str, Any] = cli.inside("images", "show", image_id, "--json").json
    return found


def _is_untouched(cli: CommandLine, image_id: str) -> bool:
    record = _record(cli, image_id)
    return (record["status"], record["size"], cli.files(STAGING)) == ("queued", None, [])


# --------------------------------------------------------------------------------------------------- well staged


def test_staged_data_shows_its_size_and_no_digest(cli: CommandLine, image_id: str) -> None:
    cli.inside("images", "stage", "mine", cli.image)
    record = _record(cli, image_id)
    assert (record["status"], record["size"]) == ("uploading", 3 << 20)
    assert (record["checksum"], record["os_hash_algo"], record["os_hash_value"]) == (None, None, None)
    assert cli.files(STAGING) == [image_id]


def test_staged_data_is_imported_without_a_source(cli: CommandLine, image_id: str) -> None:
    assert "staged 3.0 MiB" in cli.inside("images", "stage", "mine", cli.image).out
    cli.inside("run", "p.yaml", "--image", "mine", "-q")
    assert (cli.folder / "one" / image_id).read_bytes() == cli.image.read_bytes()
    assert cli.files(STAGING) == []
    assert _record(cli, image_id)["size"] == 3 << 20


def test_a_failed_import_takes_the_staged_data_along_and_staging_can_be_repeated(
    cli: CommandLine, image_id: str
) -> None:
    (cli.folder / "one").mkdir()
    (cli.folder / "one" / image_id).write_text("in the way")
    cli.inside("images", "stage", "mine", cli.image)
    cli.inside("run", "p.yaml", "--image", "mine", "-q", code=6)
    assert _is_untouched(cli, image_id)
    cli.inside("images", "stage", "mine", cli.image)
    assert cli.files(STAGING) == [image_id]


def test_staged_data_stays_when_a_store_is_not_ready(cli: CommandLine, image_id: str) -> None:
    (cli.folder / "one").write_text("not a folder")
    cli.inside("images", "stage", "mine", cli.image)
    cli.inside("run", "p.yaml", "--image", "mine", "-q", code=6)
    assert cli.files(STAGING) == [image_id]
    (cli.folder / "one").unlink()
    cli.inside("run", "p.yaml", "--image", "mine", "-q")
    assert cli.files("one") == [image_id]


def test_data_is_staged_from_standard_input_and_only_once(cli: CommandLine, image_id: str) -> None:
    cli("images", "stage", "mine", "-", data=b"bytes")
    assert "data is staged already" in cli("images", "stage", "mine", "-", data=b"others", code=7).err
    assert (cli.folder / STAGING / image_id).read_bytes() == b"bytes"
    assert _record(cli, image_id)["size"] == 5


# -------------------------------------------------------------------------------------------------- refused data


@pytest.mark.parametrize("size", ["0", "4", "6"])
@pytest.mark.parametrize("source", ["file", "-"])
def test_data_of_another_size_than_announced_is_refused(
    cli: CommandLine, image_id: str, source: str, size: str
) -> None:
    (cli.folder / "file").write_bytes(b"bytes")
    refused = cli("images", "stage", "mine", source, "--size", size, data=b"bytes", code=3).err
    assert f"{size} were announced" in refused
    assert _is_untouched(cli, image_id)


@pytest.mark.parametrize("source", ["file", "-"])
def test_data_of_the_announced_size_is_taken(cli: CommandLine, image_id: str, source: str) -> None:
    (cli.folder / "file").write_bytes(b"bytes")
    cli("images", "stage", "mine", source, "--size", "5", data=b"bytes")
    assert _record(cli, image_id)["size"] == 5


@pytest.mark.parametrize("size", ["abc", "-1", "1.5", ""])
def test_a_size_that_is_not_a_number_of_bytes_is_a_usage_error(
    cli: CommandLine, image_id: str, size: str
) -> None:
    assert "--size" in cli.inside("images", "stage", "mine", cli.image, "--size", size, code=2).err
    assert _is_untouched(cli, image_id)


def test_data_that_cannot_be_read_is_not_staged(cli: CommandLine, image_id: str) -> None:
    cli.inside("images", "stage", "mine", "nowhere", code=4)
    assert _is_untouched(cli, image_id)


@pytest.mark.parametrize("arguments", [["disk.raw"], ["-"], ["-", "--size", "3145728"]])
def test_data_above_the_cap_is_refused(cli: CommandLine, image_id: str, arguments: list[str]) -> None:
    (cli.folder / "imageport.yaml").write_text("limits: {image_size_cap: 1 MiB}\n")
    refused = cli("images", "stage", "mine", *arguments, data=bytes(3 << 20), code=1).err
    assert "larger than 1.0 MiB" in refused
    assert _is_untouched(cli, image_id)


def test_nothing_is_staged_where_nothing_staged_may_be_imported(cli: CommandLine, image_id: str) -> None:
    (cli.folder / "imageport.yaml").write_text("enabled_methods: [web-download]\n")
    assert "enabled_methods" in cli.inside("images", "stage", "mine", cli.image, code=2).err
    assert _is_untouched(cli, image_id)


def test_a_staging_directory_that_cannot_be_written_is_named(cli: CommandLine, image_id: str) -> None:
    (cli.folder / "blocked").write_text("a file")
    (cli.folder / "imageport.yaml").write_text("staging: {directory: blocked}\n")
    refused = cli.inside("images", "stage", "mine", cli.image, code=1).err
    assert f"cannot write scratch data to {cli.folder}/blocked" in refused
    assert "staging.directory" in refused
    assert _record(cli, image_id)["status"] == "queued"


@pytest.mark.parametrize("length", [(3 << 20) + 1, (3 << 20) - 1])
def test_a_staged_file_of_another_size_than_the_record_has_is_not_imported(
    cli: CommandLine, image_id: str, length: int
) -> None:
    cli.inside("images", "stage", "mine", cli.image)
    os.truncate(cli.folder / STAGING / image_id, length)
    refused = cli.inside("run", "p.yaml", "--image", "mine", "-q", code=5).err
    assert f"{length} bytes are staged" in refused
    assert "its record has 3145728" in refused
    assert _is_untouched(cli, image_id)
    assert (cli.files("one"), cli.files("two")) == ([], [])


# ------------------------------------------------------------------------------------- meanwhile, and interrupted


def test_deleting_an_image_removes_what_was_staged(cli: CommandLine, image_id: str) -> None:
    cli.inside("images", "stage", "mine", cli.image)
    cli.inside("images", "delete", "--yes", "mine")
    assert cli.files(STAGING) == []


@contextmanager
def _staging(cli: CommandLine, image_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Give a command that puts data in staging and waits for more."""
    with subprocess.Popen(
        cli.command("images", "stage", image_id, "-"),
        cwd=cli.folder, env=cli.environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(bytes(3 << 20))
        process.stdin.flush()
        while _record(cli, image_id)["status"] != "uploading":
            assert process.poll() is None
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def test_an_image_that_is_deleted_while_data_comes_leaves_nothing(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        cli.inside("images", "delete", "--yes", "mine")
        _, refused = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"no image {image_id}" in refused.decode()
    assert cli.files(STAGING) == []


def test_staging_that_was_killed_can_be_repeated(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        assert "being staged already" in cli.inside("images", "stage", "mine", cli.image, code=7).err
        assert cli.inside("gc").out == "nothing to clean up\n"
        process.kill()
        process.wait()
    assert cli.files(STAGING) == [f"{image_id}.staging"]
    cli.inside("images", "stage", "mine", cli.image)
    assert cli.files(STAGING) == [image_id]
    assert _record(cli, image_id)["size"] == 3 << 20


def test_gc_queues_an_image_again_whose_staging_was_killed(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        process.kill()
        process.wait()
    looked = cli.inside("gc", "--dry-run").out
    assert f"would remove {cli.folder / STAGING / image_id}.staging (" in looked
    assert _record(cli, image_id)["status"] == "uploading"
    cli.inside("gc")
    assert _is_untouched(cli, image_id)


def test_after_staging_was_killed_another_method_can_bring_the_image(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        process.kill()
        process.wait()
    cli.inside("run", "p.yaml", cli.image, "--image", "mine", "-q")
    assert (cli.folder / "one" / image_id).read_bytes() == cli.image.read_bytes()
    assert cli.files(STAGING) == []


def test_deleting_an_image_removes_what_killed_staging_left(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        process.kill()
        process.wait()
    cli.inside("images", "delete", "--yes", "mine")
    assert cli.files(STAGING) == []


def test_a_signal_ends_staging_cleanly(cli: CommandLine, image_id: str) -> None:
    with _staging(cli, image_id) as process:
        process.terminate()
        assert process.wait(60) == 130
    assert _is_untouched(cli, image_id)


@pytest.mark.parametrize(("cap", "code"), [("1 TiB", 7), ("4 MiB", 1)])
def test_an_image_that_was_imported_while_data_came_stays_active(
    cli: CommandLine, image_id: str, cap: str, code: int
) -> None:
    (cli.folder / "imageport.yaml").write_text(f"limits: {{image_size_cap: {cap}}}\n")
    with _staging(cli, image_id) as process:
        cli.inside("run", "p.yaml", cli.image, "--image", "mine", "-q")
        process.communicate(bytes(3 << 20), timeout=60)
    assert process.returncode == code
    assert _record(cli, image_id)["status"] == "active"
    assert cli.files(STAGING) == []
    cli.inside("images", "export", "mine", "out.raw")


@pytest.mark.parametrize("source", [None, "disk.raw"])
def test_data_left_over_in_staging_is_never_taken_for_staged_data(
    cli: CommandLine, image_id: str, source: str | None
) -> None:
    left = cli.folder / STAGING / image_id
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left over")
    named: list[str | Path] = [] if source is None else [source]
    cli.inside("run", "p.yaml", *named, "--image", "mine", "-q", code=7 if source is None else 0)
    assert cli.files(STAGING) == []
    left.write_bytes(b"left over")
    if source is None:
        cli.inside("images", "stage", "mine", cli.image)
        assert left.read_bytes() == cli.image.read_bytes()
