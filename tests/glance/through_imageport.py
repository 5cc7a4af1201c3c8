"""A case, through Imageport."""

from __future__ import annotations

import json
from typing import Any

from tests.glance.cases import Case, Outcome
from tests.glance.inputs import Inputs
from tests.glance.through_glance import broken, outcome
from tests.servers.glance import STORES

from imageport.testing.command import Finished, RunImageport, sha512
from imageport.testing.http_server import HttpServer

_SITE = {
    "catalog": "sqlite:///catalog.db",
    "staging": {"directory": "staging"},
    "network": {"allow_networks": ["127.0.0.0/8"]},
    "stores": [{"use": "file", "id": store, "with": {"directory": store}} for store in STORES],
    "default_store": STORES[0],
}
_OPTIONS = {"inject_image_metadata": {"inject": {"p1": "v1", "p2": "a:b"}}}


def through_imageport(case: Case, imageport: RunImageport, inputs: Inputs, web: HttpServer) -> Outcome:
    """Make the import of *case* with the command and return what came of it."""
    folder = imageport.folder
    caller = ("--user", "tester", "--project", "project", "--role", case.role)
    (folder / "imageport.yaml").write_text(json.dumps(_SITE))
    steps = [{"use": plugin, "with": _OPTIONS.get(plugin, {})} for plugin in case.plugins]
    (folder / "import.yaml").write_text(
        json.dumps({"name": "import", "source": {"use": case.method}, "steps": steps})
    )
    (folder / "copy.yaml").write_text(json.dumps({"name": "copy", "source": {"use": "copy-image"}}))
    for store in STORES:
        (folder / store).mkdir()

    image = inputs[case.image]
    formats = ("--disk-format", case.disk_format, "--container-format", case.container_format)
    created = imageport("images", "create", "--name", case.title, *formats, "--json", *caller)
    assert created.exit_code == 0, created.stderr
    image_id = created.json["id"]
    source: tuple[str, ...] = ()
    if case.method == "glance-direct":
        staged = imageport("images", "stage", image_id, image, *caller)
        assert staged.exit_code == 0, staged.stderr
    else:
        source = (web.publish(f"/{case.image}", image.read_bytes()),)
    must = "--must-succeed" if case.must else "--allow-failure"

    def run(pipeline: str, stores: tuple[str, ...]) -> Finished:
        chosen = [argument for store in stores for argument in ("--store", store)]
        return imageport("run", pipeline, *source, "--image", image_id, must, "--json", *chosen, *caller)

    with broken([folder / store for store in case.broken]):
        done = run("import.yaml", case.stores)
        if case.copy_to:
            source = ()
            done = run("copy.yaml", case.copy_to)
    record = imageport("images", "show", image_id, "--json", *caller).json
    copies = {
        store: sha512(path) for store in STORES for path in (folder / store).rglob("*") if path.is_file()
    }
    return outcome(_task(done), _as_glance_shows(record), copies)


def _task(done: Finished) -> str:
    """Return how the task ended, or ``refused`` when there was none."""
    if not done.stdout or done.report["task_id"] is None:
        return "refused"
    return "success" if done.exit_code == 0 else "failure"


def _as_glance_shows(record: dict[str, Any]) -> dict[str, Any]:
    """Return *record* with its properties beside its fields, and its stores as text."""
    flat = {name: value for name, value in record.items() if name not in ("properties", "locations")}
    stores = ",".join(location["store"] for location in record["locations"])
    return {**flat, "stores": stores, **record["properties"]}
