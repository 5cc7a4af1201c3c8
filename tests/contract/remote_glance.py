"""Another cloud: a Keystone that names the Glance of region North, and an image that this Glance has."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.contract.site import step

from imageport.testing.http_server import Behaviour, HttpServer, content

REMOTE_ID = "71c675ab-d94f-49cd-a114-e12490b328d9"
REMOTE_IMAGE = f"/v2/images/{REMOTE_ID}"
SIGN_IN = "/identity/v3/auth/tokens"


def publish_remote(server: HttpServer, body: bytes, **changes: Any) -> dict[str, Any]:
    """Have *server* offer an image of *body*, described with *changes*, and return the method that fetches it."""
    described = {
        "id": REMOTE_ID,
        "name": "remote name",
        "status": "active",
        "visibility": "public",
        "disk_format": "raw",
        "container_format": "bare",
        "size": len(body),
        "checksum": hashlib.md5(body).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(body).hexdigest(),
        "min_disk": 5,
        "min_ram": 64,
        "protected": True,
        "tags": ["remote"],
        "hw_disk_bus": "virtio",
        "trait:HW_CPU_X86_VMX": "required",
        "os_distro": "debian",
        "os_version": "12",
        "os_glance_failed_import": "s9",
    }
    server.answer(REMOTE_IMAGE, document({**described, **changes}))
    server.answer(f"{REMOTE_IMAGE}/file", content(body))
    endpoint = {"interface": "public", "region": "North", "url": server.url()}
    services = [{"type": "image", "endpoints": [endpoint]}]
    server.answer(SIGN_IN, document({"token": {"catalog": services}}, **{"X-Subject-Token": "a-token"}))
    return fetch_remote(server)


def fetch_remote(server: HttpServer, *, region: str = "North") -> dict[str, Any]:
    """Return the method that fetches the image of *region*."""
    return step(
        "glance-download",
        glance_image_id=REMOTE_ID,
        glance_region=region,
        auth_url=server.url("/identity"),
        username="demo",
        password="demo-password",
        project_name="demo",
    )


def document(value: Any, **headers: str) -> Behaviour:
    """Answer with *value* as JSON."""
    return content(json.dumps(value).encode(), headers={"Content-Type": "application/json", **headers})
