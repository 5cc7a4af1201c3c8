"""``doctor`` reports what plugins find out about themselves, and no plugin keeps it from its work."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer
from tests.plugin_folder import PluginFolder

from imageport.app import diagnosis
from imageport.app.doctor import examine
from imageport.cli.doctor import doctor
from imageport.values import Finding
from imageport_builtin.file_store import FileStore, FileStoreConfig

PLUGINS = """
    import threading
    from itertools import count
    from imageport import NoConfig, Plugin, hookimpl
    from imageport.values import Finding

    class Observer(Plugin[NoConfig]):
        '''Watch.'''

        @hookimpl
        def on_progress(self, event): ...

    class Careful(Observer):
        @hookimpl
        def diagnose(self):
            print("this does not belong to the answer")
            yield Finding("ok", "the door is closed")
            yield Finding("warning", "the key \\x1b[31m is old", "change it soon")
            yield Finding("error", "the lock is missing", "buy one")

    class Silent(Observer):
        pass

    class Raising(Observer):
        @hookimpl
        def diagnose(self):
            yield Finding("ok", "the door is closed")
            raise SystemExit("and good night")

    class Hanging(Observer):
        @hookimpl
        def diagnose(self):
            threading.Event().wait()

    class Endless(Observer):
        @hookimpl
        def diagnose(self):
            return (Finding("ok", f"door {number}") for number in count())

    class Lying(Observer):
        @hookimpl
        def diagnose(self):
            return ["all is well"]

    class Vague(Observer):
        @hookimpl
        def diagnose(self):
            return [Finding("so-so", "who knows")]
"""
NAMES = ("careful", "silent", "raising", "hanging", "endless", "lying", "vague")

Examine = Callable[..., dict[str, list[diagnosis.Diagnosis]]]


@pytest.fixture
def examined(
    tmp_path: Path, plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Examine]:
    """Return a function that writes a site file and returns what ``doctor`` finds, by subject."""
    plugin_folder.install("acme", {name: f"acme:{name.title()}" for name in NAMES}, {"acme": PLUGINS})

    def examine_site(
        *, observers: str = "[]", stores: str = "[]", patience: float = 30
    ) -> dict[str, list[diagnosis.Diagnosis]]:
        file = tmp_path / "imageport.yaml"
        file.write_text(
            "catalog: sqlite:///catalog.db\nstaging: {directory: staging}\n"
            f"limits: {{diagnose_patience: {patience}}}\nobservers: {observers}\nstores: {stores}\n"
        )
        found: dict[str, list[diagnosis.Diagnosis]] = {}
        for one in examine(str(file)):
            found.setdefault(one.subject, []).append(one)
        return found

    yield examine_site


def test_the_findings_of_a_plugin_are_reported_under_its_label(examined: Examine) -> None:
    found = examined(observers="[{use: careful, id: porter}, {use: silent}]")
    assert [(one.severity, one.ok, one.message, one.hint) for one in found["observer porter"]] == [
        ("ok", True, "the door is closed", ""),
        ("warning", True, "the key \\x1b[31m is old", "change it soon"),
        ("error", False, "the lock is missing", "buy one"),
    ]
    assert [(one.severity, one.message) for one in found["observer silent"]] == [("ok", "silent of acme 1.0")]


def test_the_output_of_a_plugin_is_kept_out_of_that_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def examine(pipeline: None) -> Iterator[diagnosis.Diagnosis]:
        print("noise")
        yield diagnosis.Diagnosis("python", "ok", "3")

    doctor(cast(typer.Context, SimpleNamespace(obj=SimpleNamespace(examine=examine))))
    output = capsys.readouterr()
    assert "python: 3" in output.out
    assert (output.err, "noise" in output.out) == ("noise\n", False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raising", "SystemExit in diagnose: and good night"),
        ("lying", "diagnose returned str where Finding is expected"),
        ("vague", "ValueError in diagnose: a finding cannot have the severity 'so-so'"),
    ],
)
def test_a_plugin_that_fails_is_a_finding_and_the_others_are_asked(
    examined: Examine, name: str, message: str
) -> None:
    found = examined(observers=f"[{{use: {name}}}, {{use: silent}}]")
    [failed] = found[f"observer {name}"]
    assert (failed.ok, failed.message) == (False, message)
    assert "defect of acme 1.0" in failed.hint
    assert found["observer silent"][0].ok
    assert "catalog" in found


def test_a_plugin_that_gives_no_answer_is_left_behind(examined: Examine) -> None:
    found = examined(observers="[{use: hanging}]", patience=0.1)
    [failed] = found["observer hanging"]
    assert (failed.ok, failed.message) == (False, "hanging of acme 1.0 does not answer within 0.1 s")
    assert "catalog" in found
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("imageport"))


def test_the_stores_and_observers_of_a_pipeline_are_asked_too(examined: Examine, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("in the way")
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        "name: p\nsource: {use: glance-direct}\nobservers: [{use: careful, id: porter}]\n"
        f"stores: [{{use: file, id: mine, with: {{directory: {tmp_path}/blocked}}}}]\n"
    )
    examined()
    found: dict[str, list[bool]] = {}
    for one in examine(str(tmp_path / "imageport.yaml"), pipeline):
        found.setdefault(one.subject, []).append(one.ok)
    assert (found["store mine"], found["observer porter"]) == ([False], [True, True, False])
    pipeline.write_text("name: p\nsource: {use: no-such-method}\n")
    assert not all(
        one.ok for one in examine(str(tmp_path / "imageport.yaml"), pipeline) if one.subject == "pipeline"
    )


def test_findings_without_end_are_cut_off(examined: Examine) -> None:
    assert len(examined(observers="[{use: endless}]")["observer endless"]) == 100


@pytest.mark.parametrize(
    ("directory", "severity", "message"),
    [
        ("there", "ok", "{folder}/there, 3.0 GiB free"),
        ("new/folder", "ok", "{folder}/new/folder, 3.0 GiB free; the first import makes the folder"),
        ("file", "error", "{folder}/file cannot be written"),
        ("file/below", "error", "{folder}/file/below cannot be written"),
    ],
)
def test_a_store_of_files_reports_its_folder(
    examined: Examine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    directory: str,
    severity: str,
    message: str,
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    _free(monkeypatch, 3 << 30)
    [found] = examined(stores=f"[{{use: file, with: {{directory: {directory}}}}}]")["store file"]
    assert (found.severity, found.message) == (severity, message.format(folder=tmp_path))
    assert bool(found.hint) == (severity != "ok")


def test_a_store_of_files_warns_of_little_room(
    examined: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    _free(monkeypatch, 3 << 20)
    [found] = examined(stores="[{use: file, with: {directory: there}}]")["store file"]
    assert (found.severity, found.ok, found.hint) == ("warning", True, "free space for further images")


def test_a_store_of_files_changes_nothing_when_it_is_asked(examined: Examine, tmp_path: Path) -> None:
    examined(stores="[{use: file, with: {directory: new}}]")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("fields", [("bad", "text", ""), ("ok", None, ""), ("ok", "text", None)])
def test_a_finding_has_a_severity_and_texts(fields: tuple[str, str, str]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Finding(*fields)  # type: ignore[arg-type]


def _free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage(os.sep)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=free))


def test_a_folder_at_which_no_program_can_look_is_a_finding(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    (tmp_path / "site.yaml").write_text(
        f"catalog: 'sqlite:///catalog.db'\nstaging: {{directory: {folder}}}\n"
    )
    [staging] = [one for one in examine(str(tmp_path / "site.yaml")) if one.subject == "staging"]
    [store] = FileStore(FileStoreConfig(directory=folder)).diagnose()
    for found in (staging, store):
        assert (found.severity, found.message) == ("error", f"{folder} cannot be used: File name too long")
        assert found.hint
