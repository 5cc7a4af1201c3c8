"""A copy is reached by later commands, wherever they run, as its store was written in the pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

PIPELINE = """
name: one
vars: {base: "b{{a}}se/{env.SUB}"}
source: {use: glance-direct}
steps: []
stores: [{use: file, id: a, with: {directory: "%s"}}]
"""


def _written(cli: CommandLine, directory: str) -> None:
    cli.environ["SUB"] = "below"
    (cli.folder / "p.yaml").write_text(PIPELINE % directory)
    (cli.folder / "where.txt").write_text("there\n")
    (cli.folder / "elsewhere").mkdir()


@pytest.mark.parametrize(
    ("directory", "made"),
    [
        ("./s{{x}}", "s{x}"),
        ("{var.base}", "b{a}se/below"),
        ("./{env.SUB}/{source.name}.d", "below/disk.raw.d"),
        ("{var.given}{env.SUB}", "{env.SUB}below"),
        ("{file.where.txt}", "there"),
    ],
)
def test_a_copy_is_exported_and_deleted_from_any_folder(cli: CommandLine, directory: str, made: str) -> None:
    _written(cli, directory)
    extra = ("--set", "given={env.SUB}") if "var.given" in directory else ()
    image_id = cli.imported(*extra)
    assert cli.files(made) == [image_id]
    there = CommandLine(cli.folder / "elsewhere", {**cli.environ, "HOME": str(cli.folder)})
    there("images", "export", image_id, "out.raw")
    assert (there.folder / "out.raw").read_bytes() == cli.image.read_bytes()
    there("images", "delete", "--yes", image_id)
    assert cli.files(made) == []


def test_a_reference_is_followed_to_what_it_names_now(cli: CommandLine, tmp_path: Path) -> None:
    _written(cli, "{var.base}")
    image_id = cli.imported()
    cli.environ["SUB"] = "other"
    error = cli("images", "export", image_id, "out.raw", code=6).err
    assert f"is not in {tmp_path}/b{{a}}se/***" in error
    assert cli.files("b{a}se/below") == [image_id]


def test_a_shared_store_lies_beside_the_site_file(cli: CommandLine) -> None:
    (cli.folder / "etc").mkdir()
    (cli.folder / "etc/site.yaml").write_text("stores: [{use: file, id: a, with: {directory: images}}]\n")
    (cli.folder / "p.yaml").write_text("name: shared\nsource: {use: glance-direct}\n")
    cli.environ["IMAGEPORT_CONFIG"] = "etc/site.yaml"
    image_id = cli.imported()
    assert cli.files("etc/images") == [image_id]


def test_the_default_store_may_lie_in_a_folder_with_braces(cli: CommandLine) -> None:
    cli.environ["XDG_DATA_HOME"] = str(cli.folder / "{env.NO}{{x}}")
    (cli.folder / "p.yaml").write_text("name: default\nsource: {use: glance-direct}\n")
    image_id = cli.imported()
    images = "{env.NO}{{x}}/imageport/images"
    assert cli.files(images) == [image_id]
    cli("images", "delete", "--yes", image_id)
    assert cli.files(images) == []
