"""A case, through a real Glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.glance.cases import Case, Outcome
from tests.glance.inputs import Inputs
from tests.servers.glance import STORES, TOKENS, GlanceServer

from imageport.testing.command import sha512
from imageport.testing.http_server import HttpServer

#: What every image has beside its properties.
_BASE = frozenset(
    {
        "checksum", "container_format", "created_at", "disk_format", "file", "id", "min_disk", "min_ram", "name",
        "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "schema", "self", "size", "status",
        "stores", "tags", "updated_at", "virtual_size", "visibility",
    }
)  # fmt: skip

_FIELDS = (
    "status", "disk_format", "container_format", "size", "virtual_size", "checksum", "os_hash_value",
)  # fmt: skip


def through_glance(case: Case, glance: GlanceServer, inputs: Inputs, web: HttpServer) -> Outcome:
    """Make the import of *case* through the API of *glance* and return what came of it."""
    image = inputs[case.image]
    token = TOKENS[case.role]
    image_id = glance.create(
        token, name=case.title, disk_format=case.disk_format, container_format=case.container_format
    )
    method = {"name": case.method}
    if case.method == "glance-direct":
        glance.stage(image_id, image, token)
    else:
        method["uri"] = web.publish(f"/{case.image}", image.read_bytes())
    request: dict[str, Any] = {
        "method": method, "stores": case.stores, "all_stores_must_succeed": case.must,
    }  # fmt: skip
    with broken([glance.folder / store for store in case.broken]):
        task = glance.import_image(image_id, request, token)
        if case.copy_to:
            copying = request | {"method": {"name": "copy-image"}, "stores": case.copy_to}
            task = glance.import_image(image_id, copying, token)
    copies = {store: sha512(path) for store in STORES if (path := glance.folder / store / image_id).is_file()}
    return outcome(task, glance.show(image_id, token), copies)


def outcome(task: str, record: Mapping[str, Any], copies: Mapping[str, str]) -> Outcome:
    """Return what is compared, of a *record* of Glance."""
    return {
        "task": task,
        **{name: record[name] for name in _FIELDS},
        "stores": sorted(filter(None, record.get("stores", "").split(","))),
        "importing": sorted(filter(None, record.get("os_glance_importing_to_stores", "").split(","))),
        "failed": sorted(filter(None, record.get("os_glance_failed_import", "").split(","))),
        "lock": "held" if "os_glance_import_task" in record else "free",
        "properties": {
            name: value
            for name, value in record.items()
            if name not in _BASE and not name.startswith("os_glance")
        },
        "copies": dict(copies),
    }


@contextmanager
def broken(folders: Sequence[Path]) -> Iterator[None]:
    """Let nothing be written below *folders*: a file is in the place of each."""
    with ExitStack() as stack:
        for folder in folders:
            aside = folder.with_name(f"{folder.name}.aside")
            folder.rename(aside)
            folder.touch()
            stack.callback(_restore, aside, folder)
        yield


def _restore(aside: Path, folder: Path) -> None:
    folder.unlink()
    aside.rename(folder)
