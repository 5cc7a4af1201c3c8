"""Values in YAML files that are hostile, extreme, or written in an unusual form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from imageport.configuration.site import Site
from imageport.configuration.site_file import load_site
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid
from imageport.limits import Limits
from imageport.plugins.registry import PluginRegistry
from imageport.testing.command import RunImageport, sha512

EXTREMES = (
    ".inf", "-.inf", ".nan", "1e300", "1e999", "'1e300'", "'1e999'", "'inf'", "'nan'",
    "9" * 400, f"'{'9' * 400}'", f"'{'9' * 400} KiB'", "9223372036854775808", "'9223372036854775808'", "-1", "0",
)  # fmt: skip
NUMBERS = {int, float}


def numeric_fields(model: type[BaseModel]) -> Iterator[str]:
    """Give the names of the options of *model* that are numbers."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        kinds |= {inner for kind in kinds for inner in get_args(kind)}
        if kinds & NUMBERS:
            yield name


SITE_NUMBERS = [
    (section, name)
    for section, field in Site.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    for name in numeric_fields(field.annotation)
]
PLUGIN_NUMBERS = [
    (plugin.name, name)
    for plugin in PluginRegistry.installed()
    for name in numeric_fields(plugin.load().config_model)
]


def require_usable(value: Any) -> None:
    assert value is None or 0 <= value < 1 << 63


def test_the_limits_are_among_the_numbers() -> None:
    assert {name for section, name in SITE_NUMBERS if section == "limits"} == set(Limits.model_fields)
    assert ("image_decompression", "max_ratio") in PLUGIN_NUMBERS


@pytest.mark.parametrize(("section", "name"), SITE_NUMBERS)
def test_an_extreme_number_in_the_site_file_is_usable_or_refused_at_its_position(
    section: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "imageport.yaml"
    for text in EXTREMES:
        path.write_text(f"{section}:\n  {name}: {text}\n")
        try:
            site = load_site(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        except PipelineInvalid as error:
            [problem] = error.problems
            # A value that YAML cannot have is reported at the value, any other at its key.
            assert (problem.line, problem.column) in [(2, 3), (2, 5 + len(name))]
            assert len(problem.message) < 150
        else:
            require_usable(getattr(getattr(site, section), name))


@pytest.mark.parametrize(("plugin", "name"), PLUGIN_NUMBERS)
def test_an_extreme_number_for_a_plugin_is_usable_or_refused(plugin: str, name: str) -> None:
    model = PluginRegistry.installed().find(plugin).load().config_model
    for text in EXTREMES:
        try:
            config = model.model_validate({name: YamlFile.parse(f"a: {text}").data["a"]})
        except (PipelineInvalid, ValidationError):
            continue
        value = getattr(config, name)
        assert value is None or isinstance(value, int) or math.isfinite(value)


def test_an_import_works_with_every_limit_at_its_largest_value(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path
) -> None:
    largest = {
        name: next(bound.le for bound in field.metadata if hasattr(bound, "le")) if field.metadata else 1e9
        for name, field in Limits.model_fields.items()
    }
    with (site_folder / "imageport.yaml").open("a") as site:
        site.write(f"limits: {largest}\n")
    (site_folder / "p.yaml").write_text(
        "name: p\nsource: {use: glance-direct}\nsteps: [{use: image_conversion, with: {output_format: qcow2}}]\n"
    )
    done = run_imageport.inside("run", "p.yaml", raw_disk, "--json")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "text", "position"),
    [
        ("p.yaml", 'name: x\nsource: {use: glance-direct}\nstores: [{use: file, id: a, with: {directory: "a\\0b"}}]',
         "p.yaml:3:47: stores.0.with.directory"),
        ("p.yaml", 'name: x\nsource: {use: glance-direct, with: {"a\\0": 1}}', "p.yaml:2:37: source.with"),
        ("imageport.yaml", 'stores: [{use: file, id: a, with: {directory: "a\\0b"}}]',
         "imageport.yaml:1:47: stores.0.with.directory"),
    ],
)  # fmt: skip
def test_a_null_character_in_a_file_is_refused_at_its_position(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path, file: str, text: str, position: str
) -> None:
    (site_folder / "p.yaml").write_text("name: x\nsource: {use: glance-direct}\n")
    (site_folder / file).write_text(text)
    done = run_imageport.inside("run", "p.yaml", raw_disk)
    assert done.exit_code == 2
    assert done.stderr == f"{position}: a null character is not allowed\n"
    assert not (site_folder / "images").exists()


def test_a_secret_file_with_a_null_character_is_refused(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path
) -> None:
    (site_folder / "key").write_bytes(b"PATH=/bin\0HOME=/")
    (site_folder / "p.yaml").write_text(
        "name: x\nsource: {use: glance-direct}\n"
        'stores: [{use: file, id: a, with: {directory: "./f{file.key}ast"}}]\n'
    )
    done = run_imageport.inside("run", "p.yaml", raw_disk)
    assert done.exit_code == 2
    assert done.stderr == (
        "p.yaml:3:36: stores.0.with.directory: '{file.key}': the file has a null character and is not text\n"
    )


def test_injected_numbers_stay_as_they_are_written(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path
) -> None:
    written = {
        "build": "0755",
        "serial": "1_000",
        "color": "0x10",
        "release": "24.10",
        "rate": "1e3",
        "plain": "7",
    }
    inject = "".join(f"        {name}: {text}\n" for name, text in written.items())
    (site_folder / "p.yaml").write_text(
        "name: p\nsource: {use: glance-direct}\nsteps:\n  - use: inject_image_metadata\n"
        f"    with:\n      inject:\n{inject}"
    )
    done = run_imageport.inside("run", "p.yaml", raw_disk, "--json")
    assert done.exit_code == 0, done.stderr
    record = done.report["image"]
    assert {name: record["properties"][name] for name in written} == written
    assert [sha512(copy) for copy in done.copies.values()] == [sha512(raw_disk)]
