"""A catalog with very many images and tasks, made in one go, and commands that search it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.bench.flows import IMAGEPORT
from tests.bench.measuring import Cost, measure

from imageport.catalog import Catalog
from imageport.catalog.schema import open_database

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)

REPOSITORY = Path(__file__).parents[2]
CROWD = 100_000
LISTED = "images list, 100,000 images"
FILTERED = "images list --property, 100,000 images"
TASKS = "tasks list, 100,000 tasks"
STRANGER = "tasks list of a user who sees few, 100,000 tasks"
MISTYPED = "images show of a mistyped name, 100,000 images"

_SEARCHES: Mapping[str, Sequence[str]] = {
    LISTED: ["images", "list"],
    FILTERED: ["images", "list", "--property", "os_version=77"],
    TASKS: ["tasks", "list"],
    STRANGER: ["tasks", "list", "--user", "owner-3"],
    MISTYPED: ["images", "show", "imaeg-000777"],
}

SEARCHED = tuple(_SEARCHES)


def search(folder: Path, count: int, rounds: int) -> Mapping[str, Cost]:
    """Return what each search costs in a catalog of *count* images: the median of so many *rounds*, after one more."""
    # In a separate process, whose memory does not count as that of the commands.
    filling = [sys.executable, "-m", "tests.bench.crowd", f"sqlite:///{folder}/catalog.db", str(count)]
    subprocess.run(filling, cwd=REPOSITORY, check=True)
    (folder / "imageport.yaml").write_text("catalog: sqlite:///catalog.db\nstaging: {directory: staging}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "IMAGEPORT_USER": "bench",
    }
    found: dict[str, Cost] = {}
    for title, arguments in _SEARCHES.items():
        code = 2 if title == MISTYPED else 0
        costs = [
            measure([IMAGEPORT, *arguments], folder, environment=environment, code=code)
            for _ in range(rounds + 1)
        ][1:]
        found[title] = sorted(costs, key=lambda cost: cost.seconds)[rounds // 2]
    return found


def fill(url: str, count: int) -> None:
    """Add *count* images, each with a task, a copy, a tag and three properties; half of them belong to ``bench``.

    Image number N has the name ``image-N``, six digits, and was made N seconds after ``BEGIN``. One in a hundred is
    public. The ids are the same in every run.
    """
    Catalog(url).close()
    ids = Random(1)
    with closing(open_database(url)) as database, database.writing() as transaction:
        for number in range(count):
            for table, row in _rows(number, ids):
                transaction.insert(table, row)
        if not database.is_file:
            transaction.row("SELECT setval('image_locations_number_seq', max(number)) FROM image_locations")
            transaction.change("ANALYZE")


def image_id(number: int) -> str:
    """Return the id of the image with this number."""
    return str(uuid.UUID(int=Random(f"image-{number}").getrandbits(128), version=4))


def _rows(number: int, ids: Random) -> Iterator[tuple[str, dict[str, Any]]]:
    made = BEGIN + timedelta(seconds=number)
    image, task = image_id(number), str(uuid.UUID(int=ids.getrandbits(128), version=4))
    owner = "bench" if number % 2 else f"owner-{number % 97}"
    yield "images", {
        "id": image, "name": f"image-{number:06}", "status": "active", "disk_format": "raw", "container_format": "bare",
        "size": 1 << 20, "owner": owner, "visibility": "public" if number % 100 == 0 else "shared", "protected": False,
        "min_disk": 0, "min_ram": 0, "fence": 1, "created_at": made, "updated_at": made,
    }  # fmt: skip
    yield "image_tags", {"image_id": image, "tag": f"tag-{number % 1000}"}
    for name, value in (("os_distro", "debian"), ("os_version", str(number % 500)), ("build", f"b{number}")):
        yield "image_properties", {"image_id": image, "name": name, "value": value}
    yield "image_locations", {
        "number": number + 1, "image_id": image, "store": "fast", "url": f"file:///fast/{image}", "metadata": {},
        "status": "active", "task_id": task,
    }  # fmt: skip
    yield "tasks", {
        "id": task, "image_id": image, "type": "import", "status": "success" if number % 50 else "failure",
        "message": "", "owner": owner, "input": {"source": f"https://example.org/{number}.raw"}, "progress": {},
        "holder": "host:1:1-x.1", "attempt": 1, "fence": 1, "cancel_requested": False,
        "snapshot": {"fields": {}, "properties": {}}, "touched": {"fields": [], "properties": []}, "created_at": made,
        "updated_at": made, "expires_at": datetime(2999, 1, 1, tzinfo=UTC), "lease_expires_at": made,
    }  # fmt: skip


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
