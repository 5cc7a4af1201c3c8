"""Programs that follow an import see no event that a step has made up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine
from tests.plugin_folder import PluginFolder

FORGE = """
    from contextlib import suppress

    from imageport import NoConfig, Plugin, TransformFailed, hookimpl


    class Forge(Plugin[NoConfig]):
        '''Send events that are none of a step's, and fail.'''

        @hookimpl
        def transform(self, image, ctx):
            record = image.record.evolve(status="active")
            for kind in ("image.activate", "image.upload", "task.success", "report"):
                with suppress(AttributeError):
                    ctx.report(kind, record=record, store="one")
            ctx.check("forged", passed=True, signer="acme")
            raise TransformFailed("nothing was imported")
"""

PIPELINE = """
name: p
source: {use: glance-direct}
steps:
  - use: acme-forge
stores:
  - {use: file, id: one, with: {directory: one}}
observers:
  - {use: jsonl, with: {path: events.jsonl}}
  - {use: notifications, with: {path: notifications.jsonl}}
"""


@pytest.fixture
def command(plugin_folder: PluginFolder, tmp_path: Path) -> CommandLine:
    plugin_folder.install("acme-forge", {"acme-forge": "acme_forge:Forge"}, {"acme_forge": FORGE})
    made = CommandLine(tmp_path)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return made


def test_a_step_forges_no_event_in_json_lines_files_and_notifications(command: CommandLine) -> None:
    lines = command.inside("run", "p.yaml", command.image, "--json", code=1).lines
    known = ["image.create", "task.create", "task.processing", "image.update", "image.update", "task.failure"]
    life = [line["type"] for line in lines if line["type"].startswith(("image.", "task."))]
    assert life == known
    assert [(line["step"], line["message"]) for line in lines if line["type"] == "check"] == [
        ("acme-forge", "forged")
    ]
    assert (lines[-1]["type"], lines[-1]["status"]) == ("report", "failure")
    kept = [json.loads(line) for line in (command.folder / "events.jsonl").read_text().splitlines()]
    assert [line["type"] for line in kept] == [line["type"] for line in lines]
    sent = (command.folder / "notifications.jsonl").read_text().splitlines()
    assert [json.loads(line)["event_type"] for line in sent] == known
    assert command.files("one") == []


def test_the_lines_of_an_import_have_the_fields_of_their_kinds(command: CommandLine) -> None:
    (command.folder / "p.yaml").write_text(PIPELINE.replace("acme-forge", "no_op"))
    lines = command.inside("run", "p.yaml", command.image, "--json").lines
    fields: dict[str, set[str]] = {}
    for line in lines:
        fields.setdefault(line["type"], set()).update(line)
    common = {"type", "at", "task_id", "image_id"}
    del fields["report"]
    # Where nothing has slowed the data down, this is left out.
    fields["progress"].discard("waits")
    assert fields == {
        "image.create": {"type", "at", "image_id", "record"},
        "task.create": common,
        "task.processing": common,
        "image.update": common | {"record"},
        "step.start": common | {"step", "message"},
        "step.end": common | {"step", "message"},
        "progress": common | {"lane", "store", "done", "total"},
        "image.prepare": common | {"store", "record"},
        "image.upload": common | {"store", "record"},
        "image.activate": common | {"record"},
        "task.success": common,
    }
    order = ["at", "task_id", "image_id", "step", "store", "lane", "done", "total", "waits", "message"]
    order = ["type", *order, "verdict", "digest", "signer", "error", "record"]
    for line in lines[:-1]:
        assert sorted(line, key=order.index) == list(line)
