"""The staging directory is a folder of this machine, and no store keeps images there."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageport.configuration.configure import configure_stores
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site import Site
from imageport.configuration.site_file import load_site
from imageport.errors import PipelineInvalid
from imageport.plugins.registry import PluginRegistry


def load(text: str, folder: Path) -> Site:
    (folder / "site.yaml").write_text(text)
    return load_site("site.yaml", environ={"HOME": "/home/kim"}, cwd=folder)


@pytest.mark.parametrize(
    "written",
    [
        "/var/lib/staging",
        "/var/lib/staging/",
        "file:///var/lib/staging",
        "file:///var/lib/staging/",
        "file://localhost/var/lib/staging",
        "FILE:/var/lib/staging",
        "file:///var/lib/%73taging",
    ],
)
def test_a_file_url_names_the_same_directory_as_its_path(tmp_path: Path, written: str) -> None:
    assert load(f"staging: {{directory: '{written}'}}\n", tmp_path).staging.directory == Path(
        "/var/lib/staging"
    )


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("http://example.org/staging", "is not a folder on this machine"),
        ("rbd:/pool/staging", "is not a folder on this machine"),
        ("file:///staging?x=1", "is not a folder on this machine"),
        ("file://staging", "has no absolute path: write three slashes"),
        ("file://other-host/staging", "has no absolute path: write three slashes"),
    ],
)
def test_other_urls_are_refused_with_their_position(tmp_path: Path, written: str, complaint: str) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        load(f"staging:\n  directory: '{written}'\n", tmp_path)
    assert str(caught.value).startswith(f"site.yaml:2:3: staging.directory: '{written}' {complaint}")


@pytest.mark.parametrize(
    ("store", "staging"),
    [
        ("images", "images"),
        ("images/", "file://{folder}/images"),
        ("images", "images/staging"),
        ("staging/images", "staging"),
        ("elsewhere/../images", "images"),
        ("link", "images"),
    ],
)
def test_a_store_and_scratch_data_are_kept_apart(tmp_path: Path, store: str, staging: str) -> None:
    (tmp_path / "link").symlink_to("images")
    text = (
        f"staging: {{directory: '{staging.format(folder=tmp_path)}'}}\n"
        f"stores:\n  - use: file\n    with: {{directory: {store}}}\n"
    )
    site = load(text, tmp_path)
    with pytest.raises(PipelineInvalid) as caught:
        configure_stores(site, PluginRegistry.installed())
    assert str(caught.value).startswith("site.yaml:4:12: stores.0.with.directory: ")
    assert "are not apart" in str(caught.value)


def test_a_store_of_a_pipeline_is_kept_apart_from_scratch_data_too(tmp_path: Path) -> None:
    site = load("staging: {directory: staging}\n", tmp_path)
    (tmp_path / "p.yaml").write_text(
        "name: p\nsource: {use: glance-direct}\n"
        f"stores:\n  - {{use: file, id: good, with: {{directory: {tmp_path}/images}}}}\n"
        f"  - {{use: file, id: bad, with: {{directory: {tmp_path}/staging/images}}}}\n"
    )
    with pytest.raises(PipelineInvalid) as caught:
        load_pipeline(tmp_path / "p.yaml", site=site, registry=PluginRegistry.installed())
    (problem,) = caught.value.problems
    assert "p.yaml:5:" in str(problem)
    assert "are not apart" in str(problem)


def test_folders_side_by_side_are_apart(tmp_path: Path) -> None:
    text = "staging: {directory: data}\nstores:\n  - {use: file, with: {directory: data-images}}\n"
    assert configure_stores(load(text, tmp_path), PluginRegistry.installed())
