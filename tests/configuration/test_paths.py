from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from imageport.configuration.paths import resolve_paths


class Options(BaseModel):
    folder: Path = Path("data")
    place: str | Path | None = None
    name: str | None = None


@pytest.mark.parametrize(
    "url", ["https://example.org/SHA256SUMS", "file:///srv/SHA256SUMS", "HTTP://example.org/", "ftp://x/y"]
)
def test_an_option_that_may_be_a_url_or_a_path_keeps_its_url(url: str) -> None:
    assert resolve_paths({"place": url}, Options, Path("/work"))["place"] == url


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("SHA256SUMS", "/work/SHA256SUMS"),
        ("./a:b", "/work/a:b"),
        ("/srv/SUMS", "/srv/SUMS"),
        ("~/SUMS", "/home/kim/SUMS"),
    ],
)
def test_an_option_that_may_be_a_url_or_a_path_has_its_path_made_absolute(
    given: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/kim")
    assert resolve_paths({"place": given, "name": given}, Options, Path("/work")) == {
        "folder": "/work/data",
        "place": path,
        "name": given,
    }
