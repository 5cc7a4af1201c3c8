"""A real Glance with three file stores, and as much of its API as the tests need."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.servers.keystone import PASSWORD, PROJECT, USER, KeystoneServer
from tests.servers.wsgi import Service

STORES = ("s1", "s2", "s3")
#: What ``in_glance/token_filter.py`` understands; Keystone gives those who have a role the lesser ones as well.
TOKENS = {"member": "tester:project:member,reader", "admin": "tester:project:admin,member,reader"}
MEMBER = TOKENS["member"]
#: Seconds that one import may take.
PATIENCE = 60

_PASTE = """\
[composite:glance-api]
paste.composite_factory = glance.api:root_app_factory
/: api
[composite:glance-api-keystone]
paste.composite_factory = glance.api:root_app_factory
/: api
[composite:api]
paste.composite_factory = glance.api:pipeline_factory
default = tokens context rootapp
keystone = versionnegotiation authtoken context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:tokens]
paste.filter_factory = token_filter:filter_factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
"""


class GlanceServer(Service):
    """Glance in *folder*, with import *plugins*, and *sections* on top of its configuration."""

    def __init__(
        self,
        folder: Path,
        *,
        plugins: Sequence[str] = (),
        sections: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        filters = Path(__file__).parent / "in_glance"
        environment = {"OS_GLANCE_CONFIG_DIR": str(folder), "PYTHONPATH": str(filters)}
        super().__init__(folder, "glance.wsgi.api:application", environment)
        for store in (*STORES, "staging", "tasks"):
            (folder / store).mkdir(parents=True)
        (folder / "paste.ini").write_text(_PASTE)
        configuration = folder / "glance-api.conf"
        configuration.write_text(_ini({**self._sections(plugins), **sections}))
        self.manage("glance-manage", "--config-file", configuration, "db_sync")
        with closing(sqlite3.connect(folder / "glance.db")) as database:
            # Reading while something is written.
            database.execute("PRAGMA journal_mode=WAL")

    def _sections(self, plugins: Sequence[str]) -> dict[str, Mapping[str, str]]:
        folder = self.folder
        return {
            "DEFAULT": {
                "enabled_backends": ", ".join(f"{store}:file" for store in STORES),
                "enabled_import_methods": "[glance-direct,web-download,copy-image,glance-download]",
                "worker_self_reference_url": self.url,
                "log_file": f"{folder}/glance.log",
            },
            "database": {"connection": f"sqlite:///{folder}/glance.db?timeout=60"},
            "glance_store": {"default_backend": STORES[0]},
            **{store: {"filesystem_store_datadir": f"{folder}/{store}"} for store in STORES},
            "os_glance_staging_store": {"filesystem_store_datadir": f"{folder}/staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": f"{folder}/tasks"},
            "paste_deploy": {"config_file": f"{folder}/paste.ini"},
            "oslo_concurrency": {"lock_path": f"{folder}/locks"},
            "taskflow_executor": {"engine_mode": "serial"},
            "image_import_opts": {"image_import_plugins": f"[{','.join(plugins)}]"},
            "image_conversion": {"output_format": "raw"},
            "inject_metadata_properties": {"inject": "p1:v1,p2:a:b"},
            # Servers of the tests are on loopback, on ports of the kernel's choice.
            "import_filtering_opts": {"allowed_ports": "[]", "allowed_hosts": "[127.0.0.1]"},
        }

    def create(self, token: str = MEMBER, **fields: Any) -> str:
        """Make an image and return its id."""
        created = self.call("POST", "/v2/images", fields, token=token)
        image_id: str = created["id"]
        return image_id

    def stage(self, image_id: str, data: Path, token: str = MEMBER) -> None:
        """Stage the bytes of a file."""
        self.call("PUT", f"/v2/images/{image_id}/stage", data, token=token)

    def upload(self, image_id: str, data: Path, token: str = MEMBER) -> None:
        """Upload the bytes of a file directly, without import."""
        self.call("PUT", f"/v2/images/{image_id}/file", data, token=token)

    def import_image(self, image_id: str, request: Mapping[str, Any], token: str = MEMBER) -> str:
        """Import, and return how the task ended, or ``refused`` when none was made."""
        try:
            self.call("POST", f"/v2/images/{image_id}/import", request, token=token)
        except urllib.error.HTTPError as error:
            error.close()
            return "refused"
        self._wait_for_the_lock(image_id, token)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = str(self._tasks(image_id, token)[-1]["status"])
            if status in ("success", "failure"):
                return status
            time.sleep(0.5)
        return "processing"

    def show(self, image_id: str, token: str = MEMBER) -> dict[str, Any]:
        """Return the record of an image."""
        found: dict[str, Any] = self.call("GET", f"/v2/images/{image_id}", token=token)
        return found

    def _tasks(self, image_id: str, token: str) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = self.call("GET", f"/v2/images/{image_id}/tasks", token=token)["tasks"]
        return sorted(tasks, key=lambda task: str(task["created_at"]))

    def _wait_for_the_lock(self, image_id: str, token: str) -> None:
        """Return when the lock is free; where a failure leaks it, after a while.

        Looking at the tasks would write to the database each time, and an import that finds SQLite locked dies unheard.
        """
        for _ in range(40):
            if "os_glance_import_task" not in self.show(image_id, token):
                return
            time.sleep(0.1)

    def call(self, method: str, path: str, body: object = None, *, token: str) -> Any:
        """Send one request and return its answer, read as JSON when there is any."""
        if isinstance(body, Path):
            kind, data = "application/octet-stream", body.read_bytes()
        else:
            kind, data = "application/json", json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else data,
            method=method,
            headers={"Content-Type": kind, "X-Auth-Token": token},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def with_keystone(keystone: KeystoneServer, folder: Path) -> dict[str, dict[str, str]]:
    """Return the sections of a Glance that asks *keystone* who comes."""
    sign_in = {"username": USER, "password": PASSWORD, "project_name": PROJECT}
    domains = {"user_domain_id": "default", "project_domain_id": "default"}
    asking = {
        "auth_type": "password",
        "auth_url": keystone.auth_url,
        "www_authenticate_uri": keystone.auth_url,
    }
    return {
        "paste_deploy": {"config_file": f"{folder}/paste.ini", "flavor": "keystone"},
        "keystone_authtoken": {**asking, **sign_in, **domains},
    }


def _ini(sections: Mapping[str, Mapping[str, str]]) -> str:
    return "\n".join(
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in options.items())])
        for name, options in sections.items()
    )
