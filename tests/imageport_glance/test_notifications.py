from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.cli.command_line import CommandLine
from tests.imageport_builtin.observer_bench import RECORD, context, event

from imageport import Event, Location, SourceRejected, SourceUnavailable
from imageport.testing.http_server import HttpServer, Request, content, status
from imageport_glance.notifications import Notifications, NotificationsConfig


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notifications.jsonl"


def _sent(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _observer(path: Path, **options: Any) -> Notifications:
    return Notifications(NotificationsConfig(path=path, publisher_id="image.here", **options))


def test_an_envelope_has_type_priority_publisher_time_and_payload(path: Path, tmp_path: Path) -> None:
    _observer(path).on_progress(event("image.prepare", store="a", record=RECORD), context(tmp_path))
    (sent,) = _sent(path)
    payload = sent.pop("payload")
    assert uuid.UUID(sent.pop("message_id"))
    assert sent == {
        "event_type": "image.prepare",
        "priority": "INFO",
        "publisher_id": "image.here",
        "timestamp": "2023-11-14 22:13:20",
    }
    assert set(payload) == {
        "id", "name", "status", "created_at", "updated_at", "min_disk", "min_ram", "protected", "checksum",
        "owner", "disk_format", "container_format", "size", "virtual_size", "is_public", "visibility",
        "properties", "tags", "deleted", "deleted_at",
        "backend", "os_glance_importing_to_stores", "os_glance_failed_import",
    }  # fmt: skip
    assert payload["backend"] == "a"
    assert payload["os_glance_importing_to_stores"] == ["a", "b"]
    assert payload["os_glance_failed_import"] == []


def test_stores_are_named_on_prepare_and_upload_only(path: Path, tmp_path: Path) -> None:
    for kind in ("image.update", "image.activate"):
        _observer(path).on_progress(event(kind, record=RECORD), context(tmp_path))
    for sent in _sent(path):
        assert not {"backend", "os_glance_importing_to_stores", "locations"} & set(sent["payload"])


def test_times_are_written_as_glance_writes_them(path: Path, tmp_path: Path) -> None:
    record = RECORD.evolve(created_at=datetime(2024, 5, 6, 7, 8, 9, 123, tzinfo=UTC))
    _observer(path).on_progress(event("image.update", record=record), context(tmp_path))
    (sent,) = _sent(path)
    assert sent["payload"]["created_at"] == "2024-05-06T07:08:09Z"
    assert sent["payload"]["updated_at"] is None


@pytest.mark.parametrize(("visibility", "public"), [("public", True), ("shared", False)])
def test_is_public_is_true_for_images_that_all_users_see(
    path: Path, tmp_path: Path, visibility: str, public: bool
) -> None:
    record = RECORD.evolve(visibility=visibility)
    _observer(path).on_progress(event("image.update", record=record), context(tmp_path))
    assert _sent(path)[0]["payload"]["is_public"] is public


def test_a_deleted_image_is_reported_with_the_time(path: Path, tmp_path: Path) -> None:
    observer = _observer(path)
    for kind in ("image.create", "image.delete"):
        observer.on_progress(event(kind, record=RECORD), context(tmp_path))
    created, deleted = (sent["payload"] for sent in _sent(path))
    assert (created["deleted"], created["deleted_at"]) == (False, None)
    assert (deleted["deleted"], deleted["deleted_at"]) == (True, "2023-11-14T22:13:20Z")


def test_lists_of_stores_are_split_and_empty_ones_are_empty(path: Path, tmp_path: Path) -> None:
    properties = {"os_glance_importing_to_stores": "", "os_glance_failed_import": "b,c"}
    record = RECORD.evolve(properties=properties)
    _observer(path).on_progress(event("image.upload", store="a", record=record), context(tmp_path))
    payload = _sent(path)[0]["payload"]
    assert payload["os_glance_importing_to_stores"] == []
    assert payload["os_glance_failed_import"] == ["b", "c"]
    assert payload["properties"] == properties


def test_no_location_is_ever_reported(path: Path, tmp_path: Path) -> None:
    record = RECORD.evolve(locations=(Location(url="rbd://secret/place", store="a"),))
    for kind in ("image.prepare", "image.upload", "image.update", "image.activate", "image.delete"):
        _observer(path).on_progress(event(kind, store="a", record=record), context(tmp_path))
    assert len(_sent(path)) == 5
    assert "secret" not in path.read_text()


def test_a_task_is_reported_with_status_owner_and_times(path: Path, tmp_path: Path) -> None:
    observer = _observer(path)
    for seconds, kind in enumerate(("task.create", "task.processing", "task.success")):
        observer.on_progress(event(kind, at=1_700_000_000.0 + seconds), context(tmp_path))
    *_, sent = _sent(path)
    assert sent["payload"] == {
        "id": "t1", "type": "api_image_import", "status": "success", "owner": "tester", "image_id": "3f4a",
        "created_at": "2023-11-14T22:13:20Z", "updated_at": "2023-11-14T22:13:22Z",
        "input": None, "result": None, "message": None, "deleted": False, "deleted_at": None,
    }  # fmt: skip


def test_a_failed_task_has_a_cause_and_is_not_an_error_for_glance(path: Path, tmp_path: Path) -> None:
    failed = event("task.failure", store="b", step="convert", error="disk full")
    _observer(path).on_progress(failed, context(tmp_path))
    (sent,) = _sent(path)
    assert sent["priority"] == "INFO"
    assert sent["payload"]["status"] == "failure"
    assert {name: sent["payload"][name] for name in ("image_id", "backend", "step", "reason")} == {
        "image_id": "3f4a", "backend": "b", "step": "convert", "reason": "disk full",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "sent"), [("success", ["task.run"]), ("failure", [])])
def test_the_end_of_a_run_is_reported_when_it_went_well(
    path: Path, tmp_path: Path, status: str, sent: list[str]
) -> None:
    observer = _observer(path)
    observer.on_progress(event("task.create"), context(tmp_path))
    observer.on_progress(event("report", detail={"status": status}), context(tmp_path))
    assert [one["event_type"] for one in _sent(path)][1:] == sent


def test_a_failure_has_priority_error_and_a_structured_payload(path: Path, tmp_path: Path) -> None:
    _observer(path).on_progress(
        event("image.upload", store="b", error="disk full", record=RECORD), context(tmp_path)
    )
    (sent,) = _sent(path)
    assert sent["priority"] == "ERROR"
    assert sent["payload"] == {"image_id": "3f4a", "backend": "b", "step": None, "reason": "disk full"}


@pytest.mark.parametrize(
    ("disabled", "left"),
    [
        (["image.prepare"], ["task.create", "image.upload"]),
        (["image"], ["task.create"]),
        (["imag"], ["task.create", "image.prepare", "image.upload"]),
    ],
)
def test_types_are_left_out_by_exact_name_or_first_part(
    path: Path, tmp_path: Path, disabled: list[str], left: list[str]
) -> None:
    observer = _observer(path, disabled_notifications=disabled)
    for kind in ("task.create", "image.prepare", "image.upload"):
        observer.on_progress(event(kind, store="a"), context(tmp_path))
    assert [sent["event_type"] for sent in _sent(path)] == left


def test_events_that_glance_does_not_know_are_not_sent(path: Path, tmp_path: Path) -> None:
    for kind in ("progress", "step.start", "check"):
        _observer(path).on_progress(event(kind), context(tmp_path))
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ({}, "give one of path, url and log"),
        ({"path": "x", "url": "https://example.org/"}, "give one of path, url and log"),
        ({"path": "x", "log": True}, "give one of path, url and log"),
        ({"path": "x", "format": "glance"}, "format is only used together with url"),
    ],
)
def test_one_target_has_to_be_given(options: dict[str, object], mistake: str) -> None:
    with pytest.raises(ValidationError, match=mistake):
        NotificationsConfig.model_validate(options)


def _posted(tmp_path: Path, *events: Event, **options: Any) -> list[Request]:
    with HttpServer() as server:
        server.answer("/hook", content(b""))
        observer = Notifications(NotificationsConfig(url=server.url("/hook"), **options))
        for one in events:
            observer.on_progress(one, context(tmp_path, networks=["127.0.0.0/8"]))
        return server.requests


def test_a_webhook_gets_the_envelope_of_glance_where_that_is_wanted(tmp_path: Path) -> None:
    (request,) = _posted(tmp_path, event("task.create"), format="glance")
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body)["payload"]["status"] == "pending"


def test_a_webhook_gets_cloud_events(tmp_path: Path) -> None:
    (request,) = _posted(tmp_path, event("image.upload", store="a", record=RECORD), publisher_id="image.here")
    assert request.headers["Content-Type"] == "application/cloudevents+json"
    sent = json.loads(request.body)
    data = sent.pop("data")
    assert uuid.UUID(sent.pop("id"))
    assert sent == {
        "specversion": "1.0",
        "source": "image.here",
        "type": "org.openstack.glance.image.upload",
        "subject": "3f4a",
        "time": "2023-11-14T22:13:20.000Z",
        "datacontenttype": "application/json",
        "priority": "INFO",
    }
    assert (data["id"], data["backend"]) == ("3f4a", "a")


def test_cloud_events_have_unique_ids_and_a_source_that_is_a_reference(tmp_path: Path) -> None:
    failed = event("image.upload", store="a", record=RECORD, error="disk full")
    requests = _posted(tmp_path, event("task.create"), failed, publisher_id="image of müller")
    sent = [json.loads(request.body) for request in requests]
    assert len({one["id"] for one in sent}) == 2
    assert {one["source"] for one in sent} == {"image%20of%20m%C3%BCller"}
    assert [one["priority"] for one in sent] == ["INFO", "ERROR"]
    assert sent[1]["data"]["reason"] == "disk full"


def test_the_log_gets_each_envelope(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Notifications(NotificationsConfig(log=True)).on_progress(event("task.create"), context(tmp_path))
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert json.loads(record.getMessage())["event_type"] == "task.create"


def test_a_webhook_that_fails_or_is_not_permitted_is_an_error(tmp_path: Path) -> None:
    with HttpServer() as server:
        server.answer("/hook", status(500))
        observer = Notifications(NotificationsConfig(url=server.url("/hook")))
        with pytest.raises(SourceUnavailable, match="500"):
            observer.on_progress(event("task.create"), context(tmp_path, networks=["127.0.0.0/8"]))
        with pytest.raises(SourceRejected):
            observer.on_progress(event("task.create"), context(tmp_path))


def _sequence(path: Path) -> list[tuple[Any, ...]]:
    return [
        (
            sent["event_type"],
            sent["priority"],
            sent["payload"].get("status"),
            sent["payload"].get("backend"),
            sent["payload"].get("os_glance_importing_to_stores"),
            sent["payload"].get("os_glance_failed_import"),
        )
        for sent in _sent(path)
    ]


def _observe(cli: CommandLine, path: Path) -> None:
    with (cli.folder / "p.yaml").open("a") as pipeline:
        pipeline.write(f"observers: [{{use: notifications, with: {{path: {path}}}}}]\n")


def test_an_import_into_two_stores_is_reported_from_beginning_to_end(path: Path, tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    _observe(cli, path)
    cli.inside("run", "p.yaml", str(cli.image), "-q")
    assert _sequence(path) == [
        ("image.create", "INFO", "queued", None, None, None),
        ("task.create", "INFO", "pending", None, None, None),
        ("task.processing", "INFO", "processing", None, None, None),
        ("image.update", "INFO", "importing", None, None, None),
        ("image.prepare", "INFO", "importing", "one", ["one", "two"], []),
        ("image.upload", "INFO", "importing", "one", ["one", "two"], []),
        ("image.update", "INFO", "importing", None, None, None),
        ("image.prepare", "INFO", "importing", "two", ["two"], []),
        ("image.upload", "INFO", "active", "two", ["two"], []),
        ("image.activate", "INFO", "active", None, None, None),
        ("image.update", "INFO", "active", None, None, None),
        ("image.update", "INFO", "active", None, None, None),
        ("task.success", "INFO", "success", None, None, None),
        ("task.run", "INFO", "success", None, None, None),
    ]


def test_a_store_that_fails_is_reported_with_its_reason(path: Path, tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    _observe(cli, path)
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image = cli.inside("images", "create", "--name", "disk", *formats, "--json").json["id"]
    (cli.folder / "two").mkdir()
    (cli.folder / "two" / image).write_text("in the way")
    cli.inside("run", "p.yaml", str(cli.image), "--image", image, "-q", code=6)
    failed, update, task = _sent(path)[-3:]
    assert (failed["event_type"], failed["priority"]) == ("image.upload", "ERROR")
    assert failed["payload"]["backend"] == "two"
    assert str(cli.folder / "two") in failed["payload"]["reason"]
    assert (update["event_type"], update["payload"]["status"]) == ("image.update", "queued")
    assert (task["event_type"], task["payload"]["backend"]) == ("task.failure", "two")
