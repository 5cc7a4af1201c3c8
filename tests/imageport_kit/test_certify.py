"""``imageport plugins certify`` gives a verdict about each clause, whatever the plugin does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.plugin_folder import PluginFolder

from imageport.testing import RunImageport

GOOD = """
    from imageport import Image, NoConfig, Plugin, hookimpl

    class Good(Plugin[NoConfig]):
        '''Leave the image as it is.'''

        @hookimpl
        def transform(self, image: Image) -> Image:
            return image.with_properties(seen="yes")
"""

JARGON = ("pytest", "assert", "Traceback", "fixture ", "xfail", "errors.pydantic")


def certify(run: RunImageport, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = run.inside("plugins", "certify", *arguments, "--json")
    return done.exit_code, done.json


@pytest.fixture
def options(site_folder: Path) -> Path:
    file = site_folder / "options.yaml"
    file.write_text("directory: images\n")
    return file


def test_a_store_that_keeps_the_contract_is_certified(run_imageport: RunImageport, options: Path) -> None:
    code, found = certify(run_imageport, "file", "--options", options.name)
    assert code == 0
    assert found["certified"] is True
    assert found["distribution"].startswith("imageport ")
    verdicts = {clause["clause"]: clause for clause in found["clauses"]}
    assert verdicts["a discarded copy leaves nothing"]["verdict"] == "passed"
    assert verdicts["every declared format is taken"]["capability"] == "formats"
    frozen = verdicts["a write to a frozen server fails"]
    assert (frozen["verdict"], frozen["reason"]) == (
        "not tried",
        "there is no server to freeze (--server-pid, or the fixture 'server')",
    )
    assert not any(clause["hint"] for clause in found["clauses"] if clause["verdict"] != "failed")


def test_the_text_has_a_line_for_each_clause_and_a_summary(
    run_imageport: RunImageport, plugin_folder: PluginFolder
) -> None:
    plugin_folder.install("acme-good", {"good": "acme_good:Good"}, {"acme_good": GOOD})
    done = run_imageport.inside("plugins", "certify", "good")
    assert done.exit_code == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "good, of acme-good 1.0"
    assert "  ok      the class and its options are documented" in lines
    assert lines[-1].startswith("good keeps the contract: ")
    assert done.stderr == ""
    assert not [word for word in JARGON if word in done.stdout]


def test_a_clause_that_is_broken_comes_with_reason_and_hint(
    run_imageport: RunImageport, plugin_folder: PluginFolder
) -> None:
    source = GOOD.replace("return image", "print('hello'); return image")
    plugin_folder.install("acme-loud", {"loud": "acme_loud:Good"}, {"acme_loud": source})
    code, found = certify(run_imageport, "loud")
    assert (code, found["certified"]) == (1, False)
    failed = [clause for clause in found["clauses"] if clause["verdict"] == "failed"]
    assert [clause["clause"] for clause in failed] == ["standard output stays free"]
    assert failed[0]["reason"] == "the step printed 'hello\\n'"
    assert failed[0]["hint"].startswith("Send messages to ctx.log")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such"], "unknown plugin 'no_such'"),
        (["file"], "the options of 'file' are wrong: directory: Field required"),
        (["file", "--options", "missing.yaml"], "missing.yaml:1:1: no such file"),
        (["file", "--options", "list.yaml"], "list.yaml:1:1: must be a mapping"),
    ],
    ids=["unknown name", "missing options", "missing file", "no mapping"],
)
def test_a_wrong_call_is_refused(
    run_imageport: RunImageport, site_folder: Path, arguments: list[str], message: str
) -> None:
    (site_folder / "list.yaml").write_text("- directory\n")
    done = run_imageport.inside("plugins", "certify", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_the_message_without_pytest_names_the_extra(
    run_imageport: RunImageport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageport.testing.certifying.find_spec", lambda name: None)
    done = run_imageport.inside("plugins", "certify", "no_op")
    assert done.exit_code == 2
    assert "pip install 'imageport[testing]'" in done.stderr


def test_a_plugin_that_cannot_be_imported_has_one_verdict(
    run_imageport: RunImageport, plugin_folder: PluginFolder
) -> None:
    plugin_folder.install("acme-bad", {"bad": "acme_bad:Bad"}, {"acme_bad": "raise SystemExit(3)"})
    code, found = certify(run_imageport, "bad")
    assert code == 1
    [clause] = found["clauses"]
    assert clause["reason"] == "plugin 'bad' of acme-bad 1.0 cannot be imported: SystemExit: 3"


def test_a_plugin_that_ends_the_process_has_a_verdict_about_the_clause(
    run_imageport: RunImageport, plugin_folder: PluginFolder
) -> None:
    source = GOOD.replace("return image", "__import__('os')._exit(0); return image")
    plugin_folder.install("acme-gone", {"gone": "acme_gone:Good"}, {"acme_gone": source})
    code, found = certify(run_imageport, "gone")
    assert code == 1
    verdicts = {clause["clause"]: clause for clause in found["clauses"]}
    assert verdicts["an image passes"]["reason"] == "the plugin ended the process, or did not return"
    assert verdicts["the class and its options are documented"]["verdict"] == "passed"
    assert found["clauses"][-1]["reason"] == "the plugin has ended the process 3 times"
