"""Modules that the commands import: every one of them costs each call of the command its time."""

from __future__ import annotations

import subprocess
import sys
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
    done = subprocess.run(
        [sys.executable, "-c", _TRACED, *arguments],
        cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(done.stderr.split())


@pytest.mark.parametrize("question", ["--version", "--help"])
def test_simple_questions_are_answered_without_pydantic_and_without_plugins(
    tmp_path: Path, question: str
) -> None:
    imported = _imported(tmp_path, question)
    assert imported & (_HEAVY | {"pydantic", "pluggy", "ruamel.yaml"}) == set()
    assert not any(name.startswith("imageport_builtin") for name in imported)


def test_the_version_is_told_without_building_a_command(tmp_path: Path) -> None:
    commands = {name for name in _imported(tmp_path, "--version") if name.startswith("imageport.cli.")}
    assert commands == {"imageport.cli.app", "imageport.cli.commands", "imageport.cli.session"}


def test_plugins_are_listed_without_what_they_work_with(tmp_path: Path) -> None:
    imported = _imported(tmp_path, "plugins", "list")
    assert "imageport_builtin.image_decompression" in imported, (
        "every plugin is imported to see if it is broken"
    )
    assert imported & (_HEAVY | {"ruamel.yaml", "imageport_builtin.unpacking.formats"}) == set()


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
        assert "sqlalchemy" in imported
        assert "alembic" not in imported


def test_a_module_is_imported_for_the_public_names_that_are_asked_for(tmp_path: Path) -> None:
    code = "import sys, imageport; imageport.ImageportError; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "imageport.errors" in found
    assert {"imageport.context", "imageport.plugin", "pydantic"}.isdisjoint(found)


def test_a_wrong_command_is_told_with_the_nearest_right_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-m", "imageport", "valdate"], cwd=tmp_path, check=False)
    assert "No such command 'valdate'. Did you mean 'validate'?" in capfd.readouterr().err
