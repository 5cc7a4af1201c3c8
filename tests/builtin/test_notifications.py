from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.builtin.observer_bench import RECORD, context, event
from tests.cli.command_line import CommandLine
from tests.http_server import HttpServer, content, status

from imageport import SourceRejected, SourceUnavailable
from imageport_builtin.notifications import Notifications, NotificationsConfig


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notifications.jsonl"


def _told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _observer(path: Path, **options: Any) -> Notifications:
    return Notifications(NotificationsConfig(path=path, publisher_id="image.here", **options))


def test_an_envelope_has_type_priority_publisher_time_and_payload(path: Path, tmp_path: Path) -> None:
    _observer(path).on_progress(event("image.prepare", store="a", record=RECORD), context(tmp_path))
    (told,) = _told(path)
    payload = told.pop("payload")
    assert told == {
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
    for told in _told(path):
        assert not {"backend", "os_glance_importing_to_stores", "locations"} & set(told["payload"])


def test_a_failure_has_priority_error_and_a_structured_payload(path: Path, tmp_path: Path) -> None:
    _observer(path).on_progress(
        event("image.upload", store="b", error="disk full", record=RECORD), context(tmp_path)
    )
    (told,) = _told(path)
    assert told["priority"] == "ERROR"
    assert told["payload"] == {"image_id": "3f4a", "backend": "b", "step": None, "reason": "disk full"}


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
        observer.on_progress(event(kind, store="a", record=RECORD), context(tmp_path))
    assert [told["event_type"] for told in _told(path)] == left


def test_events_that_glance_does_not_know_are_not_sent(path: Path, tmp_path: Path) -> None:
    for kind in ("progress", "step.start", "check"):
        _observer(path).on_progress(event(kind), context(tmp_path))
    assert not path.exists()


@pytest.mark.parametrize("options", [{}, {"path": "x", "url": "https://example.org/"}])
def test_one_target_has_to_be_given(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="give either path or url"):
        NotificationsConfig.model_validate(options)


def test_a_webhook_gets_each_envelope(tmp_path: Path) -> None:
    with HttpServer() as server:
        server.answer("/hook", content(b""))
        observer = Notifications(NotificationsConfig(url=server.url("/hook")))
        observer.on_progress(event("task.create"), context(tmp_path, networks=["127.0.0.0/8"]))
        (request,) = server.requests
    assert request.method == "POST"
    assert json.loads(request.body)["payload"]["status"] == "pending"


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
            told["event_type"],
            told["priority"],
            told["payload"].get("status"),
            told["payload"].get("backend"),
            told["payload"].get("os_glance_importing_to_stores"),
            told["payload"].get("os_glance_failed_import"),
        )
        for told in _told(path)
    ]


def _observe(cli: CommandLine, path: Path) -> None:
    with (cli.folder / "p.yaml").open("a") as pipeline:
        pipeline.write(f"observers: [{{use: notifications, with: {{path: {path}}}}}]\n")


def test_an_import_into_two_stores_is_told_from_beginning_to_end(path: Path, tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    _observe(cli, path)
    cli.inside("run", "p.yaml", str(cli.image), "-q")
    assert _sequence(path) == [
        ("task.create", "INFO", "pending", None, None, None),
        ("task.processing", "INFO", "processing", None, None, None),
        ("image.update", "INFO", "importing", None, None, None),
        ("image.prepare", "INFO", "importing", "one", ["one", "two"], []),
        ("image.prepare", "INFO", "importing", "two", ["one", "two"], []),
        ("image.upload", "INFO", "importing", "one", ["two"], []),
        ("image.upload", "INFO", "active", "two", [], []),
        ("image.activate", "INFO", "active", None, None, None),
        ("image.update", "INFO", "active", None, None, None),
        ("task.success", "INFO", "success", None, None, None),
        ("task.run", "INFO", "success", None, None, None),
    ]


def test_a_store_that_fails_is_told_with_its_reason(path: Path, tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    _observe(cli, path)
    (cli.folder / "two").write_text("in the way")
    cli.inside("run", "p.yaml", str(cli.image), "-q", code=6)
    failed, update, task = _told(path)[-3:]
    assert (failed["event_type"], failed["priority"]) == ("image.upload", "ERROR")
    assert failed["payload"]["backend"] == "two"
    assert str(cli.folder / "two") in failed["payload"]["reason"]
    assert (update["event_type"], update["payload"]["status"]) == ("image.update", "queued")
    assert (task["event_type"], task["priority"], task["payload"]["backend"]) == (
        "task.failure",
        "ERROR",
        "two",
    )
