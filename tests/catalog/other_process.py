"""Works on a catalog as another process would: reads orders from stdin, answers each with one line."""

from __future__ import annotations

import sys

from imageport.catalog import Catalog, Lease
from imageport.errors import Conflict
from imageport.values import Location


def begin(catalog: Catalog, image_id: str) -> Lease:
    """Begin an import."""
    lease = catalog.begin_import(
        image_id,
        starts_from={"queued"},
        request={},
        owner="bob",
        targets=["fast", "archive"],
        lease_seconds=3600,
        brings_formats=True,
    )
    lease.start()
    return lease


def obey(catalog: Catalog, order: str, image_id: str) -> str:
    """Carry out one order and return what came of it."""
    if order == "begin":
        try:
            return begin(catalog, image_id).task_id
        except Conflict as error:
            return f"conflict: {error.message}"
    if order == "publish":
        lease = begin(catalog, image_id)
        for store in ("fast", "archive"):
            lease.announce(Location(url=f"file:///{store}/{image_id}", store=store))
        lease.publish(Location(url=f"file:///fast/{image_id}", store="fast"))
        return lease.task_id
    if order == "claim":
        [hidden] = catalog.hidden_copies()
        return str(catalog.claim_removal(hidden.task_id, hidden.location))
    task = catalog.dead_import(image_id)
    return task.id if task else "none"


def main() -> None:
    """Open the catalog on request, then answer requests until stdin ends."""
    sys.stdin.readline()
    catalog = Catalog(sys.argv[1])
    print("open", flush=True)
    for line in sys.stdin:
        print(obey(catalog, *line.split()), flush=True)
    catalog.close()


main()
