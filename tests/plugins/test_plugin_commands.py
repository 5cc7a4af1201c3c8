"""``plugins list``, ``show`` and ``doctor``: the origin of plugins, and which of them can be used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugin_folder import PluginFolder

from imageport.plugins import descriptions
from imageport.testing import RunImageport

if TYPE_CHECKING:
    from tests.plugins.conftest import Desk

MODULE = """
    from imageport import NoConfig, Plugin, hookimpl

    class Lab(Plugin[NoConfig]):
        '''Keep images in the lab.'''

        stability = "deprecated"

        @hookimpl
        def transform(self, image): ...

    class Needy(Lab):
        '''Need a program.'''

        stability = "stable"
        binaries = ("acme-no-such-program",)

    class Bare(Plugin[NoConfig]):
        '''Do nothing.'''
"""


def install(folder: PluginFolder) -> None:
    plugins = {"lab": "acme_lab:Lab", "needy": "acme_lab:Needy", "bare": "acme_lab:Bare"}
    metadata = folder.install("acme-lab", plugins, {"acme_lab": MODULE}, version="2.1", contract="1.0")
    (metadata / "RECORD").write_text("")
    with (metadata / "METADATA").open("a") as file:
        file.write("License-Expression: MIT\n")


def test_the_list_imports_no_plugin_into_its_process(
    run_imageport: RunImageport, plugin_folder: PluginFolder
) -> None:
    install(plugin_folder)
    before = set(sys.modules)
    rows = {row["name"]: row for row in run_imageport.inside("plugins", "list", "--json").json}
    assert not {name for name in set(sys.modules) - before if name.startswith(("acme_", "imageport_"))}
    assert rows["lab"] == {
        "name": "lab",
        "distribution": "acme-lab 2.1",
        "status": "ok",
        "roles": ["step"],
        "hooks": ["transform"],
        "stability": "deprecated",
        "contract": ["1.0"],
        "summary": "Keep images in the lab.",
        "version": "2.1",
        "installed": "wheel",
        "source": None,
        "folder": str(plugin_folder.folder),
        "licence": "MIT",
    }
    assert rows["file"]["roles"] == ["store"]
    assert rows["terminal"]["roles"] == ["observer"]
    assert rows["web-download"]["roles"] == ["source"]


def test_a_plugin_is_shown_with_its_origin(run_imageport: RunImageport, plugin_folder: PluginFolder) -> None:
    install(plugin_folder)
    lines = run_imageport.inside("plugins", "show", "lab").stdout.splitlines()
    facts = {line.split("  ")[0]: line.split("  ")[-1] for line in lines if "  " in line}
    assert facts["distribution"].strip() == "acme-lab 2.1"
    assert facts["installed"].strip() == "wheel, from a package index"
    assert facts["licence"].strip() == "MIT"
    assert facts["contract"].strip() == "1.0"


def test_the_capabilities_of_a_store_are_shown(run_imageport: RunImageport) -> None:
    described = run_imageport.inside("plugins", "show", "file", "--json").json
    assert described["capabilities"].keys() >= {"formats", "needs_size", "alignment", "largest", "wants_file"}
    assert run_imageport.inside("plugins", "show", "checksum", "--json").json["capabilities"] is None


def test_the_doctor_reports_each_plugin(run_imageport: RunImageport, plugin_folder: PluginFolder) -> None:
    install(plugin_folder)
    done = run_imageport.inside("plugins", "doctor", "lab", "needy", "bare", "--json")
    assert done.exit_code == 1
    found = {row["subject"]: (row["severity"], row["message"], row["hint"]) for row in done.json}
    assert found == {
        "plugin lab": ("warning", "acme-lab 2.1: transform (deprecated)", "replace it in the pipelines"),
        "plugin needy": (
            "error",
            "needs a program that is not on the PATH: acme-no-such-program",
            "install it; 'imageport plugins show needy' names its package",
        ),
        "plugin bare": ("warning", "acme-lab 2.1 lacks a hook", "report it to acme-lab"),
    }


def test_the_doctor_is_content_with_the_plugins_of_imageport(run_imageport: RunImageport) -> None:
    done = run_imageport.inside("plugins", "doctor", "file", "checksum")
    assert done.exit_code == 0
    assert [line[:6] for line in done.stdout.splitlines()] == ["ok    ", "ok    "]


def test_the_doctor_names_what_is_broken_and_hostile(
    desk: Callable[..., Desk], hostile_packages: Path, villain: Path
) -> None:
    beset = desk(hostile_packages, villain)
    names = (
        "broken",
        "twin",
        "misfit",
        "exits",
        "exits-at-import",
        "interrupts-at-import",
        "breaks-others",
        "file",
    )
    done = beset.imageport("plugins", "doctor", *names)
    assert done.exit_code == 1
    wrong = {line.split()[2].rstrip(":") for line in done.stdout.splitlines() if line.startswith("WRONG")}
    assert wrong == {*names} - {"file", "breaks-others"}
    assert "Traceback" not in done.stderr


def test_the_doctor_ends_an_import_that_never_ends(
    run_imageport: RunImageport, plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "PATIENCE", 2)
    source = "import threading; threading.Event().wait()"
    plugin_folder.install("acme-slow", {"slow": "acme_slow:Slow"}, {"acme_slow": source})
    done = run_imageport.inside("plugins", "doctor", "slow")
    assert done.exit_code == 1
    assert "plugin 'slow' of acme-slow 1.0 cannot be imported: it takes longer than 2 s" in done.stdout


def test_an_unknown_name_is_refused(run_imageport: RunImageport) -> None:
    done = run_imageport.inside("plugins", "doctor", "no-such")
    assert done.exit_code == 2
    assert "unknown plugin 'no-such'" in done.stderr


def test_the_answers_are_json(run_imageport: RunImageport) -> None:
    rows = json.loads(run_imageport.inside("plugins", "doctor", "no_op", "--json").stdout)
    assert rows == [
        {
            "subject": "plugin no_op",
            "ok": True,
            "severity": "ok",
            "message": rows[0]["message"],
            "hint": rows[0]["hint"],
        }
    ]
