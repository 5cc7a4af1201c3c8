from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from tests.imageport_builtin.observer_bench import RECORD, event

from imageport_builtin.jsonl import JsonLines, JsonLinesConfig, append_line


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_appended_as_lines_and_the_report_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "events.jsonl"
    for sent in (
        event("image.update", record=RECORD),
        event("progress", lane="a", done=0, total=5),
        event("report", detail={"type": "report", "status": "success"}),
    ):
        JsonLines(JsonLinesConfig(path=path)).on_progress(sent)
    update, progress, report = _lines(path)
    assert update["record"] == json.loads(json.dumps(RECORD.as_dict()))
    assert progress == {
        "type": "progress", "at": "2023-11-14T22:13:20.000+00:00", "task_id": "t1", "image_id": "3f4a",
        "lane": "a", "done": 0, "total": 5,
    }  # fmt: skip
    assert report == {"type": "report", "status": "success"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_was_rotated_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    observer = JsonLines(JsonLinesConfig(path=path))
    observer.on_progress(event("task.create"))
    path.rename(tmp_path / "events.jsonl.1")
    observer.on_progress(event("task.success"))
    assert [line["type"] for line in _lines(path)] == ["task.success"]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        JsonLines(JsonLinesConfig(path=tmp_path / "file" / "events.jsonl")).on_progress(event("task.create"))


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="space"):
        append_line(Path("/dev/full"), {"type": "task.create"})


def _write_many(path: Path) -> None:
    for number in range(100):
        append_line(path, {"pid": os.getpid(), "number": number, "filling": "x" * 20_000})


def test_lines_of_several_processes_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_many, args=(path,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(_lines(path)) == 200


@pytest.mark.parametrize(
    ("path", "severity"),
    [("file", "ok"), ("new", "ok"), ("new/below", "ok"), ("folder", "error"), ("file/below", "error")],
)
def test_the_doctor_learns_whether_the_file_can_be_written(tmp_path: Path, path: str, severity: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    [finding] = JsonLines(JsonLinesConfig(path=tmp_path / path)).diagnose()
    assert finding.severity == severity
    assert str(tmp_path / path) in finding.message
    assert bool(finding.hint) == (severity == "error")
    assert not (tmp_path / "new").exists()
