from __future__ import annotations

from typing import Any

from tests.contract.site import Site, step

BODY = bytes(range(256)) * 100

#: Event, status of the image in it, backend, stores that are being imported to, stores that failed.
Row = tuple[str, str | None, str | None, list[str] | None, list[str] | None]


def sent(site: Site) -> list[dict[str, Any]]:
    """Return what was notified since the import began."""
    notifications = site.notifications()
    kinds = [one["event_type"] for one in notifications]
    return notifications[kinds.index("task.create") :] if "task.create" in kinds else notifications


def row(notification: dict[str, Any]) -> Row:
    payload = notification["payload"]
    kind = notification["event_type"]
    return (
        kind,
        payload.get("status") if kind.startswith("image.") else None,
        payload.get("backend"),
        payload.get("os_glance_importing_to_stores"),
        payload.get("os_glance_failed_import"),
    )


def test_103_an_import_is_reported_from_beginning_to_end(site: Site) -> None:
    """Staged data into s1 and s2, all well: exactly the events of Glance in their order, each with the status and the
    lists of that moment; upload names the store as well, and nothing names a location."""
    image = site.create()
    site.stage(image, BODY)
    site.run(image=image, stores=["s1", "s2"])
    assert list(map(row, sent(site))) == [
        ("task.create", None, None, None, None),
        ("task.processing", None, None, None, None),
        ("image.update", "importing", None, None, None),
        ("image.prepare", "importing", "s1", ["s1", "s2"], []),
        ("image.upload", "importing", "s1", ["s1", "s2"], []),
        ("image.update", "importing", None, None, None),
        ("image.prepare", "importing", "s2", ["s2"], []),
        ("image.upload", "active", "s2", ["s2"], []),
        ("image.activate", "active", None, None, None),
        ("image.update", "active", None, None, None),
        ("image.update", "active", None, None, None),
        ("task.success", None, None, None, None),
        ("task.run", None, None, None, None),
    ]
    assert {one["priority"] for one in sent(site)} == {"INFO"}
    staged = [row(one)[:2] for one in site.notifications()[:3]]
    assert staged == [
        ("image.create", "queued"),
        ("image.update", "uploading"),
        ("image.update", "uploading"),
    ]
    assert site.location("s1", image) not in (site.folder / "notifications.jsonl").read_text()


def test_104_a_failing_store_is_reported_among_those_that_go_on(site: Site) -> None:
    """Not all stores must succeed, s2 of three is broken: the upload into s2 is an ERROR that names image, store, step
    and reason; the others are INFO, and s2 is in the list of failed stores from then on."""
    image = site.create()
    site.trouble("s2", "middle")
    site.stage(image, BODY)
    site.run(image=image, all_stores=True, must=False)
    errors = [one for one in sent(site) if one["priority"] == "ERROR"]
    (error,) = errors
    assert error["event_type"] == "image.upload"
    assert error["payload"] == {
        "image_id": image,
        "backend": "s2",
        "step": None,
        "reason": "s2 broke: middle",
    }
    rows = [row(one) for one in sent(site)]
    assert rows[3:] == [
        ("image.prepare", "importing", "s1", ["s1", "s2", "s3"], []),
        ("image.upload", "active", "s1", ["s1", "s2", "s3"], []),
        ("image.activate", "active", None, None, None),
        ("image.update", "active", None, None, None),
        ("image.prepare", "active", "s2", ["s2", "s3"], []),
        ("image.upload", None, "s2", None, None),
        ("image.update", "active", None, None, None),
        ("image.prepare", "active", "s3", ["s3"], ["s2"]),
        ("image.upload", "active", "s3", ["s3"], ["s2"]),
        ("image.update", "active", None, None, None),
        ("image.update", "active", None, None, None),
        ("task.success", None, None, None, None),
        ("task.run", None, None, None, None),
    ]


def test_105_types_of_notifications_can_be_left_out(site: Site) -> None:
    """With image.prepare disabled only that is missing; with image disabled nothing about images is sent, and all
    about tasks is."""
    kinds = []
    for number, disabled in enumerate(([], ["image.prepare"], ["image"])):
        path = f"events-{number}.jsonl"
        site.configure(observers=[step("notifications", path=path, disabled_notifications=disabled)])
        site.run(BODY, image=site.create(), stores=["s1", "s2"])
        kinds.append([one["event_type"] for one in site.notifications(path)])
    everything, without_prepare, without_images = kinds
    assert "image.prepare" in everything
    assert without_prepare == [kind for kind in everything if kind != "image.prepare"]
    assert without_images == [kind for kind in everything if kind.startswith("task.")]
