"""``imageport plugins search`` reads an index, which is checked as everything from outside is."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.imageport_kit.rendering import REPOSITORY

from imageport.testing import HttpServer, RunImageport
from imageport.testing.pipelines import SITE
from imageport_kit.search import INDEX

ENTRY = {"name": "scan", "package": "acme-scan", "summary": "Scan for viruses.", "roles": ["step"]}


def use(folder: Path, index: str) -> None:
    """Write a site file that names *index*."""
    site = {**SITE, "plugins": {"index": index}}
    (folder / "imageport.yaml").write_text(json.dumps(site))


def test_the_bundled_index_has_the_plugins_of_this_repository_and_no_others() -> None:
    expected = {}
    files = [REPOSITORY / "pyproject.toml", *REPOSITORY.glob("contrib/*/pyproject.toml")]
    for file in files:
        project = tomllib.loads(file.read_text())["project"]
        for name, value in project["entry-points"].get("imageport.plugins", {}).items():
            module, _, class_name = value.partition(":")
            path = f"{module.replace('.', '/')}"
            found = [*file.parent.glob(f"**/{path}.py"), *file.parent.glob(f"**/{path}/__init__.py")]
            source = next(path for path in found if not {".venv", ".packages"} & set(path.parts))
            classes = [
                node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.ClassDef)
            ]
            (plugin,) = (node for node in classes if node.name == class_name)
            summary = (ast.get_docstring(plugin) or "").partition("\n")[0]
            expected[name, project["name"]] = summary
    listed = json.loads(INDEX.read_text())["plugins"]
    assert {(row["name"], row["package"]): row["summary"] for row in listed} == expected


def test_a_word_is_found_in_names_summaries_and_roles(run_imageport: RunImageport) -> None:
    rows = run_imageport.inside("plugins", "search", "DECOMPRESS", "--json").json
    assert [row["name"] for row in rows] == ["image_decompression"]
    observers = run_imageport.inside("plugins", "search", "observer", "--json").json
    assert {"jsonl", "log", "notifications", "terminal"} <= {row["name"] for row in observers}
    assert (
        "no plugin in the index has 'no such'" in run_imageport.inside("plugins", "search", "no such").stdout
    )


def test_a_site_has_an_index_in_a_file_or_behind_a_url(
    site_folder: Path, run_imageport: RunImageport, http_server: HttpServer
) -> None:
    index = json.dumps({"format": 1, "plugins": [{**ENTRY, "later": "key"}], "later": 1}).encode()
    (site_folder / "index.json").write_bytes(index)
    for place in (str(site_folder / "index.json"), http_server.publish("/index.json", index)):
        use(site_folder, place)
        found = run_imageport.inside("plugins", "search", "virus")
        assert found.exit_code == 0, found.stderr
        assert "acme-scan" in found.stdout


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file: Input should be"),
        (b"[1, 2]", "the file: Input should be"),
        (b"\xff\xfe", "it is neither JSON nor YAML"),
        (b"a: [", "it is neither JSON nor YAML"),
        (b"[" * 100_000, "it is neither JSON nor YAML"),
        (b"x" * ((1 << 20) + 1), "has more than 1048576 bytes"),
        (json.dumps({"format": 2, "plugins": []}).encode(), "format: Input should be 1"),
        (
            json.dumps({"format": 1, "plugins": [{**ENTRY, "name": ""}]}).encode(),
            "plugins.0.name: String should",
        ),
        (
            json.dumps({"format": 1, "plugins": [{**ENTRY, "summary": "x" * 301}]}).encode(),
            "plugins.0.summary",
        ),
        (
            json.dumps({"format": 1, "plugins": [ENTRY] * 5001}).encode(),
            "plugins: List should have at most 5000",
        ),
    ],
)
def test_an_index_with_a_mistake_is_refused(
    site_folder: Path, run_imageport: RunImageport, content: bytes, reason: str
) -> None:
    (site_folder / "index.json").write_bytes(content)
    use(site_folder, str(site_folder / "index.json"))
    done = run_imageport.inside("plugins", "search", "scan")
    assert done.exit_code == 2, done.stdout
    assert reason in done.stderr
    assert "hint: " in done.stderr


def test_an_index_that_is_missing_or_may_not_be_fetched_is_reported(
    site_folder: Path, run_imageport: RunImageport
) -> None:
    places: dict[str, Any] = {
        "/no/such/index": (2, "No such file or directory"),
        "http://10.0.0.1/index": (3, "10.0.0.1"),
    }
    for place, (code, reason) in places.items():
        use(site_folder, place)
        done = run_imageport.inside("plugins", "search", "scan")
        assert done.exit_code == code
        assert reason in done.stderr
