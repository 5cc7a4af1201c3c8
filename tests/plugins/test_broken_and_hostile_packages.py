from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.plugins.conftest import Desk


@pytest.fixture
def beset(desk: Callable[..., Desk], hostile_packages: Path, first_plugin: Path) -> Desk:
    """A folder where broken and hostile packages are installed beside a good one."""
    return desk(hostile_packages, first_plugin)


def test_they_do_not_disturb_a_pipeline_that_does_not_use_them(beset: Desk) -> None:
    pipeline = beset.pipeline("stamp", "no_op")
    done = beset.imageport("validate", pipeline)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{pipeline}: ok\n", "")
    done = beset.imageport("run", pipeline, "disk.raw", "--quiet")
    report = beset.run(pipeline)
    assert report["status"] == "success"
    assert "acme" not in json.dumps(report)


def test_they_are_listed_with_what_is_wrong_with_them(beset: Desk) -> None:
    done = beset.imageport("plugins", "list", "--json")
    assert done.exit_code == 0
    plugins = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert plugins["stamp"]["status"] == "ok"
    assert plugins["broken"]["status"] == "broken"
    assert plugins["broken"]["summary"] == (
        "plugin 'broken' of acme-broken 6.6 cannot be imported: "
        "ModuleNotFoundError: No module named 'acme_not_installed'"
    )
    assert plugins["twin"]["status"] == "conflict"
    assert sorted(plugins["twin"]["summary"].partition(" by ")[2].split(" and ")) == [
        "acme-twin-one 6.6",
        "acme-twin-two 6.6",
    ]
    for name in ("misfit", "unheard_of", "unmarked"):
        assert plugins[name]["status"] == "broken"
        assert plugins[name]["summary"].startswith(f"plugin '{name}' of acme-hostile 6.6 {UNUSABLE[name]}")
    assert plugins["no_class"]["status"] == plugins["no_plugin"]["status"] == "broken"


def test_they_are_left_out_of_the_schema(beset: Desk) -> None:
    done = beset.imageport("schema")
    schema = json.loads(done.stdout)
    assert '"stamp"' in done.stdout
    assert '"broken"' not in done.stdout
    assert '"twin"' not in done.stdout
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


UNUSABLE = {
    "broken": "cannot be imported: ModuleNotFoundError: No module named 'acme_not_installed'",
    "absent": "cannot be imported: ModuleNotFoundError: No module named 'acme_absent'",
    "exits": "cannot be imported: SystemExit: 0",
    "twin": "is supplied by acme-twin-",
    "no_class": "is not a class but function",
    "no_plugin": "does not derive from imageport.Plugin",
    "misfit": "has a hook 'transform' with an unknown argument 'money' (there are: image, ctx)",
    "unheard_of": "has an unknown hook 'transmogrify' (there are: validate_source, stage, transform",
    "unmarked": "has a method 'transform' that is never called: mark it with @hookimpl",
    "crash_at_birth": "cannot be made: LookupError: acme was here",
}


def test_what_cannot_be_used_is_reported_by_validate_for_each_pipeline(beset: Desk) -> None:
    pipelines = [beset.pipeline(plugin) for plugin in UNUSABLE]
    done = beset.imageport("validate", *pipelines, beset.pipeline("stamp"))
    assert done.exit_code == 2
    *refused, fine = done.stdout.splitlines()
    assert fine == "stamp.yaml: ok"
    for pipeline, expected, line in zip(pipelines, UNUSABLE.values(), refused, strict=True):
        assert line.startswith(f"{pipeline}:1:")
        assert expected in line
        assert "acme-" in line


def test_a_mistake_in_the_hooks_is_reported_where_the_plugin_is_used(beset: Desk) -> None:
    (beset.folder / "mine.yaml").write_text(
        "name: mine\n"
        "source: {use: glance-direct}\n"
        "steps:\n"
        "  - use: stamp\n"
        "  - use: misfit\n"
        "stores: [{use: file, with: {directory: ./plain}}]\n"
    )
    done = beset.imageport("validate", "mine.yaml")
    assert done.stdout == (
        "mine.yaml:5:5: steps.1.use: plugin 'misfit' of acme-hostile 6.6 has a hook 'transform' with an unknown "
        "argument 'money' (there are: image, ctx): update or uninstall acme-hostile\n"
    )


@pytest.mark.parametrize("plugin", ["broken", "twin", "misfit", "unmarked", "crash_at_birth"])
def test_what_cannot_be_used_is_refused_before_anything_is_read(beset: Desk, plugin: str) -> None:
    done = beset.imageport("run", beset.pipeline(plugin), "nowhere.raw")
    assert done.exit_code == 2
    assert UNUSABLE[plugin] in done.stderr
    assert "acme-" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("crash", "LookupError in transform: acme was here"),
        ("crash_source", "LookupError in validate_source: acme was here"),
        ("mutate", "TypeError in transform: 'mappingproxy' object does not support item assignment"),
        ("wrong_step", "transform returned int where Image is expected"),
        ("quit", "SystemExit"),
    ],
)
def test_a_step_that_misbehaves_fails_the_import_under_its_own_name(
    beset: Desk, step: str, expected: str
) -> None:
    report = beset.run(beset.pipeline("stamp", step))
    assert report["status"] == "failure"
    assert expected in report["error"]["message"]
    assert report["error"]["step"] == step
    assert report["error"]["code"] == "step-crashed"
    assert "acme-hostile 6.6" in report["error"]["hint"]
    assert beset.files() == []


def test_a_step_changes_those_fields_of_the_record_that_are_its_own(beset: Desk) -> None:
    report = beset.run(beset.pipeline("overreach"), "--user", "ada")
    assert report["status"] == "success"
    image = report["image"]
    disk = (beset.folder / "disk.raw").read_bytes()
    granted = {"name": "acme", "disk_format": "vmdk", "container_format": "ovf", "virtual_size": 12}
    granted |= {"min_disk": 3, "min_ram": 4, "tags": ["acme"]}
    assert image == image | granted
    assert image["properties"]["acme"] == "was here"
    assert "os_glance_acme" not in image["properties"]
    assert (image["status"], image["owner"], image["visibility"], image["protected"]) == (
        "active",
        "ada",
        "shared",
        False,
    )
    assert (image["size"], image["checksum"]) == (len(disk), hashlib.md5(disk).hexdigest())
    assert image["os_hash_value"] == hashlib.sha512(disk).hexdigest()
    assert [location["store"] for location in image["locations"]] == ["plain"]


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        ("crash_store", "LookupError in store_write: acme was here"),
        ("wrong_store", "store_write returned NoneType where a pending copy is expected"),
        ("lying_store", "where it was to take the whole image"),
        ("silent_store", "the store took bytes of the image before it announced its copy"),
    ],
)
def test_a_store_that_misbehaves_does_not_take_the_others_along(
    beset: Desk, store: str, expected: str
) -> None:
    stores: list[Any] = [{"use": store}, {"use": "file", "id": "plain", "with": {"directory": "./plain"}}]
    pipeline = beset.pipeline(stores=stores)
    report = beset.run(pipeline)
    assert (report["error"]["store"], report["stores"]["plain"]["status"]) == (store, "discarded")
    assert expected in report["error"]["message"]
    assert beset.files() == []
    report = beset.run(pipeline, "--allow-failure")
    assert report["status"] == "success"
    assert report["stores"]["plain"]["status"] == "published"
    assert expected in report["stores"][store]["error"]
    assert report["image"]["properties"]["os_glance_failed_import"] == store


def test_a_method_that_answers_with_something_else_is_named(beset: Desk) -> None:
    report = beset.run(beset.pipeline(source="wrong_source"))
    assert report["error"]["message"] == "stage returned bytes where ImageData is expected"
    assert report["error"]["step"] == "wrong_source"


def test_an_observer_that_raises_is_muted(beset: Desk) -> None:
    pipeline = beset.folder / beset.pipeline()
    pipeline.write_text(
        json.dumps(json.loads(pipeline.read_text()) | {"observers": [{"use": "crash_observer"}]})
    )
    assert beset.run(pipeline.name)["status"] == "success"
    done = beset.imageport("run", pipeline.name, "disk.raw", "--quiet")
    assert done.exit_code == 0
    assert done.stderr.count("LookupError: acme was here") == 3
    assert "it is not called again" in done.stderr


def test_what_plugins_print_does_not_get_between_the_lines_of_json(beset: Desk) -> None:
    beset.run(beset.pipeline())
    done = beset.imageport("run", beset.pipeline("crash"), "disk.raw", "--json")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "report"
    assert "acme_hostile prints in a hook" in done.stderr
