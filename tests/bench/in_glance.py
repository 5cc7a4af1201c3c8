"""Imports into a real Glance, timed there; runs in the environment where Glance is installed.

``python -m tests.bench.in_glance FOLDER`` answers each line of JSON with another one, until its input ends.
A line names ``plugins``, ``disk_format``, ``stores``, the source (``uri`` for web-download, else ``upload``, a path),
``copy_to`` for more stores, ``count`` and ``at_once`` for several imports, and ``cap``, seconds after which an import
that still runs is given up. The answer has ``seconds``, ``with_upload`` and ``ended``, the number of good imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.servers.glance import MEMBER, TOKENS, GlanceServer

#: Seconds between two looks at an image.
INTERVAL = 0.1


def main(folder: Path) -> None:
    """Answer until standard input ends; a Glance is started for each set of plugins, and one for imports at once."""
    running: dict[str, GlanceServer] = {}
    with ExitStack() as stack:
        for line in sys.stdin:
            request: dict[str, Any] = json.loads(line)
            name = "-".join(["glance", *request["plugins"], "busy" if request["at_once"] else "calm"])
            if name not in running:
                running[name] = stack.enter_context(GlanceServer(folder / name, plugins=request["plugins"]))
                _warm_up(running[name], folder)
            print(json.dumps(_all(running[name], request)), flush=True)


def _warm_up(glance: GlanceServer, folder: Path) -> None:
    """Import something small, so that Glance has loaded what it needs."""
    small = folder / "warm-up.raw"
    small.write_bytes(bytes(1 << 20))
    image = glance.create(name="warm-up", disk_format="raw", container_format="bare")
    _stage(glance, image, small)
    _import(glance, image, {"name": "glance-direct"}, ["s1"], MEMBER, cap=60)


def _all(glance: GlanceServer, request: dict[str, Any]) -> dict[str, float]:
    started = time.monotonic()
    threads = request["count"] if request["at_once"] else 1
    with ThreadPoolExecutor(threads) as pool:
        costs = list(pool.map(lambda _: _one(glance, request), range(request["count"])))
    seconds = time.monotonic() - started
    if request["count"] == 1 and costs[0] is not None:
        seconds, with_upload = costs[0]
    else:
        with_upload = seconds
    ended = sum(cost is not None for cost in costs)
    return {"seconds": seconds, "with_upload": with_upload, "ended": ended}


def _one(glance: GlanceServer, request: dict[str, Any]) -> tuple[float, float] | None:
    """Return the seconds of one import, without and with the upload before it; None when it does not end well."""
    method = {"name": "web-download" if request.get("uri") else "glance-direct"}
    try:
        image = glance.create(name="disk", disk_format=request["disk_format"], container_format="bare")
        uploading = time.monotonic()
        if request.get("uri"):
            method["uri"] = request["uri"]
        else:
            _stage(glance, image, Path(request["upload"]))
        started = time.monotonic()
        _import(glance, image, method, request["stores"], MEMBER, request["cap"])
        if request.get("copy_to"):
            uploading = started = time.monotonic()
            _import(
                glance, image, {"name": "copy-image"}, request["copy_to"], TOKENS["admin"], request["cap"]
            )
        ended = time.monotonic()
        glance.call("DELETE", f"/v2/images/{image}", token=MEMBER)
    except (urllib.error.HTTPError, TimeoutError) as error:
        print(f"Glance: {error}", file=sys.stderr)
        return None
    return ended - started, ended - uploading


def _import(
    glance: GlanceServer, image: str, method: dict[str, str], stores: list[str], token: str, cap: float
) -> None:
    request = {"method": method, "stores": stores, "all_stores_must_succeed": True}
    glance.call("POST", f"/v2/images/{image}/import", request, token=token)
    end = time.monotonic() + cap
    while time.monotonic() < end:
        record = glance.show(image, token)
        if "os_glance_import_task" not in record:
            break
        time.sleep(INTERVAL)
    if record["status"] != "active" or not set(stores) <= set(record["stores"].split(",")):
        raise TimeoutError(f"image {image} is {record['status']} in {record.get('stores')} after {cap:.0f} s")


def _stage(glance: GlanceServer, image: str, path: Path) -> None:
    headers = ["--header", f"X-Auth-Token: {MEMBER}", "--header", "Content-Type: application/octet-stream"]
    command: list[str | Path] = ["curl", "--silent", "--fail", "--upload-file", path, *headers]
    subprocess.run([*command, f"{glance.url}/v2/images/{image}/stage"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
