"""An import into three stores, killed with signal 9 at 50 random moments."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from imageport.catalog import Catalog
from imageport.values import ImageRecord

SCRIPT = Path(__file__).with_name("forked_commands.py")
STORES = ("s1", "s2", "s3")
ROUNDS = 25

SITE = """
catalog: sqlite:///{folder}/catalog.db
staging: {{directory: {folder}/staging}}
"""
PIPELINE = """
name: three-stores
source: {{use: glance-direct}}
steps: [{{use: image_decompression}}]
stores:
  - {{use: file, id: s1, with: {{directory: {folder}/s1}}}}
  - {{use: file, id: s2, with: {{directory: {folder}/s2}}}}
  - {{use: file, id: s3, with: {{directory: {folder}/s3}}}}
all_stores_must_succeed: {must}
staging: {staging}
"""


@dataclass
class Victim:
    """A site whose commands run in forked processes that can be killed."""

    folder: Path
    commands: subprocess.Popen[str]
    catalog: Catalog

    def start(self, *arguments: str) -> int:
        """Start a command and return the id of its process."""
        assert self.commands.stdin is not None
        assert self.commands.stdout is not None
        line = ["--config", str(self.folder / "imageport.yaml"), *arguments]
        self.commands.stdin.write(json.dumps(line) + "\n")
        self.commands.stdin.flush()
        return int(self.commands.stdout.readline())

    def status(self) -> int:
        """Wait for the command and return its exit status."""
        assert self.commands.stdout is not None
        return int(self.commands.stdout.readline())

    def visible(self) -> dict[str, Path]:
        """Return the files in the stores."""
        return {
            f"{store}/{path.name}": path
            for store in STORES
            if (self.folder / store).exists()
            for path in (self.folder / store).iterdir()
        }


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    (tmp_path / "imageport.yaml").write_text(SITE.format(folder=tmp_path))
    commands = subprocess.Popen(
        [sys.executable, SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "LOGNAME": "tester"},
    )
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    with commands:
        yield Victim(tmp_path, commands, catalog)
        assert commands.stdin is not None
        commands.stdin.close()
    catalog.close()


@pytest.mark.parametrize(("must", "staging"), [(True, "auto"), (False, "file")])
def test_killed_at_any_moment_nothing_partial_is_seen_and_gc_leaves_nothing(
    victim: Victim, must: bool, staging: str
) -> None:
    content = os.urandom(12 << 20)
    expected = hashlib.sha256(content).hexdigest()
    disk = victim.folder / "disk.raw"
    disk.write_bytes(content)
    pipeline = victim.folder / "pipeline.yaml"
    pipeline.write_text(PIPELINE.format(folder=victim.folder, must=str(must).lower(), staging=staging))

    def begin() -> tuple[str, int]:
        record = ImageRecord(id=str(uuid.uuid4()), owner="tester", disk_format="raw", container_format="bare")
        image = victim.catalog.create_image(record).id
        return image, victim.start("run", str(pipeline), str(disk), "--image", image, "--quiet")

    started = time.monotonic()
    image, _ = begin()
    assert victim.status() == 0
    lifetime = time.monotonic() - started
    assert victim.catalog.get_image(image).status == "active"

    moments = random.Random(must)
    killed = 0
    while killed < ROUNDS:
        image, process = begin()
        time.sleep(moments.uniform(0, lifetime))
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        killed += victim.status() == -signal.SIGKILL

        # Whatever can be seen, before anybody has cleaned up, is whole.
        for path in victim.visible().values():
            assert path.stat().st_size == len(content), path
        for location in victim.catalog.get_image(image).locations:
            digest = hashlib.sha256(Path(location.url.removeprefix("file://")).read_bytes())
            assert digest.hexdigest() == expected

        victim.start("gc")
        assert victim.status() == 0
        record = victim.catalog.get_image(image)
        assert not victim.catalog.is_locked(image)
        assert record.status in {"queued", "active"}
        assert record.properties.get("os_glance_importing_to_stores", "") == ""
        assert list((victim.folder / "staging").rglob("*")) == []
        kept = {f"{location.store}/{image}" for location in record.locations}
        assert bool(kept) is (record.status == "active")
        assert {name for name in victim.visible() if image in name} == kept
        assert all(task.finished for task in victim.catalog.list_tasks(image_id=image))
