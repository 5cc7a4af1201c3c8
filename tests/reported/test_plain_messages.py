"""Messages and help are sentences of plain technical English."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def words(text: str) -> str:
    """Return *text* in one line."""
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (
            "validate",
            "Check pipelines without running them, and report every mistake with its line and column.",
        ),
        ("plan", "Show the plan of an import and the scratch space that it needs; nothing is changed."),
        (
            "gc",
            "Removes staged files of images that are no longer staged or being imported, and of unknown images.",
        ),
        ("images stage", "Expected size; data of another size is refused."),
    ],
)
def test_the_help_of_a_command(cli: CommandLine, command: str, sentence: str) -> None:
    assert sentence in words(cli.inside(*command.split(), "--help").out)


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("explanation/architecture.md", "Every step is a plugin"),
        ("how-to/require-signed-images.md", "In a clear-signed list, only the signed text counts"),
        ("how-to/verify-a-signature.md", "An expired certificate does not count either."),
        ("how-to/finish-large-downloads.md", "If you do not resume, you only lose the downloaded data"),
        ("how-to/restrict-who-may-do-what.md", "Anyone who can write to the database"),
        ("reference/report.md", "Sources that failed"),
    ],
)
def test_a_page(page: str, sentence: str) -> None:
    assert sentence in words((DOCS / page).read_text())


@pytest.mark.parametrize(("container", "shown"), [("ova", "an ova"), ("docker", "a docker")])
def test_a_disk_format_that_cannot_be_detected(cli: CommandLine, container: str, shown: str) -> None:
    done = cli.inside("run", "p.yaml", cli.image, "--quiet", "--container-format", container, code=2)
    assert done.err.splitlines() == [
        f"error: the disk format inside {shown} container cannot be detected",
        "  hint: declare what it holds: --disk-format with one of "
        "ami, ari, aki, vhd, vhdx, vmdk, raw, qcow2, vdi, iso, ploop",
    ]
    assert cli.files("one") == []


@pytest.mark.parametrize("option", ["--set", "--property"])
def test_an_option_without_a_value(cli: CommandLine, option: str) -> None:
    err = cli.inside("run", "p.yaml", cli.image, option, "d", code=2).err
    assert err.startswith(f"error: {option} must be NAME=VALUE, not d\n")


def test_a_directory_in_the_place_of_a_file(cli: CommandLine, tmp_path: Path) -> None:
    done = cli.inside("run", "p.yaml", tmp_path, "--quiet", code=4)
    assert f"error: {tmp_path} is a directory\n" in done.err
    image = cli.inside("images", "create", "--name", "staged", "--json").json["id"]
    done = cli.inside("images", "stage", image, tmp_path, code=4)
    assert done.err == f"error: {tmp_path} is a directory\n  hint: name a file with the data\n"
    assert cli.inside("images", "show", image, "--json").json["status"] == "queued"


def test_a_name_of_two_images(cli: CommandLine) -> None:
    for _ in range(2):
        cli.inside("images", "create", "--name", "debian-12")
    assert "error: 'debian-12' matches 2 images: " in cli.inside("images", "show", "debian-12", code=2).err


def test_a_copy_that_was_removed_by_hand(cli: CommandLine) -> None:
    image = cli.imported()
    copy = cli.folder / "one" / image
    copy.unlink()
    done = cli.inside("images", "export", image, "out.raw", code=6)
    assert done.err.splitlines()[0] == f"error: the file {copy} is missing from the store"
    assert not (cli.folder / "out.raw").exists()
