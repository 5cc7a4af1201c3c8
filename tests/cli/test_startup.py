"""Modules that the commands import: every one of them costs each call of the command its time."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

#: Prints the modules that a command has imported, one a line, on standard error.
_TRACED = """
import sys
sys.argv = ["imageport", *sys.argv[1:]]
from imageport.cli.app import main
try:
    code = main()
except SystemExit as end:
    code = end.code
print(*sys.modules, sep="\\n", file=sys.stderr)
sys.exit(code)
"""

_HEAVY = {
    "cryptography",
    "isal",
    "lhafile",
    "oslo_utils",
    "py7zr",
    "psycopg",
    "rich",
    "sqlalchemy",
    "urllib3",
}


def _imported(folder: Path, *arguments: str) -> set[str]:
    """Return the names of all modules that the command with *arguments* imports."""
    return set(_run(folder, *arguments).stderr.split())


def _run(folder: Path, *arguments: str, module_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    if module_path is not None:
        environment["PYTHONPATH"] = str(module_path)
    return subprocess.run(
        [sys.executable, "-c", _TRACED, *arguments],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("question", ["--version", "--help"])
def test_simple_questions_are_answered_without_pydantic_and_without_plugins(
    tmp_path: Path, question: str
) -> None:
    imported = _imported(tmp_path, question)
    assert imported & (_HEAVY | {"pydantic", "pluggy", "ruamel.yaml"}) == set()
    assert not any(name.startswith("imageport_builtin") for name in imported)


def test_the_version_is_printed_without_building_a_command(tmp_path: Path) -> None:
    commands = {name for name in _imported(tmp_path, "--version") if name.startswith("imageport.cli.")}
    assert commands == {"imageport.cli.app", "imageport.cli.commands"}


def test_commands_are_found_without_the_metadata_of_other_distributions(tmp_path: Path) -> None:
    assert not {"importlib.metadata", "email", "zipfile"} & _imported(tmp_path, "--help")


def test_plugins_are_listed_without_importing_one(tmp_path: Path) -> None:
    module = tmp_path / "modules" / "acme_broken.py"
    metadata = tmp_path / "modules" / "acme_broken-1.0.dist-info"
    metadata.mkdir(parents=True)
    module.write_text("raise LookupError('acme was here')\n")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[imageport.plugins]\nbroken = acme_broken:Broken\n")
    for _ in range(2):
        done = _run(tmp_path, "plugins", "list", module_path=module.parent)
        assert "broken" in done.stdout
        assert "acme was here" in done.stdout
        assert "file                   ok" in done.stdout
        imported = set(done.stderr.split())
        assert not any(name.startswith(("imageport_builtin", "acme_broken")) for name in imported)
        assert imported & (_HEAVY | {"ruamel.yaml"}) == set()


def test_images_are_listed_without_anything_of_imports_and_of_other_databases(tmp_path: Path) -> None:
    _imported(tmp_path, "images", "list")  # makes the catalog
    imported = _imported(tmp_path, "images", "list")
    assert imported & (_HEAVY | {"ruamel.yaml", "alembic", "pluggy"}) == set()
    unused = ("imageport.importing.", "imageport_builtin", "imageport.plugins.", "imageport.app")
    assert {name for name in imported if name.startswith(unused)} == {
        "imageport.app",
        "imageport.app.fields",
        "imageport.app.instance",
        "imageport.app.resources",
        "imageport.app.session",
        "imageport.plugins.entry_points",
    }


def test_a_disk_is_imported_without_what_only_other_images_and_databases_need(tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(b"boot me".ljust(1 << 20, b"\0"))
    (tmp_path / "p.yaml").write_text("name: all\nsource: {use: glance-direct}\n")
    imported = _imported(tmp_path, "run", "p.yaml", "disk.raw")
    assert "oslo_utils.imageutils.format_inspector" not in imported, "it leaves no trace, see inspectors.py"
    assert {"oslo_utils", "cryptography"} <= imported
    unused = {"alembic", "isal", "lhafile", "oslo_utils.strutils", "psycopg", "py7zr", "rich", "urllib3"}
    assert imported & (unused | {"sqlalchemy"}) == set()
    plugins = {found.name: found.module for found in entry_points(group="imageport.plugins")}
    used = {name for name, module in plugins.items() if module in imported}
    assert used == {"file", "glance-direct", "log"}


def test_a_plan_is_made_without_the_catalog_and_without_the_network(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "name: all\n"
        "source: {use: web-download, uri: 'https://example.org/disk.qcow2.xz'}\n"
        "steps: [{use: checksum, with: {expected: 'sha256:" + 64 * "a" + "'}}, {use: image_decompression}]\n"
    )
    imported = _imported(tmp_path, "plan", "p.yaml")
    assert "ruamel.yaml" in imported
    assert imported & _HEAVY == {"cryptography"}, "how fast the digests are is measured"


def test_a_catalog_is_made_and_opened_without_what_upgrades_it(tmp_path: Path) -> None:
    for _ in range(2):
        imported = _imported(tmp_path, "images", "list")
        assert imported & {"alembic", "sqlalchemy"} == set()
        assert "imageport.catalog.sqlite" in imported


def test_a_module_is_imported_for_the_public_names_that_are_asked_for(tmp_path: Path) -> None:
    code = "import sys, imageport; imageport.ImageportError; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "imageport.errors" in found
    assert {"imageport.context", "imageport.plugin", "pydantic"}.isdisjoint(found)


def test_a_wrong_command_is_reported_with_the_nearest_right_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-m", "imageport", "valdate"], cwd=tmp_path, check=False)
    assert "No such command 'valdate'. Did you mean 'validate'?" in capfd.readouterr().err
