"""Forecast the resources of an import and its slowest part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from imageport.configuration.site import Site
from imageport.dataplane.digests import new_hasher
from imageport.dataplane.spool import free_space, space_taken
from imageport.errors import ImageportError
from imageport.importing.plan import Plan
from imageport.limits import Limits
from imageport.plugins.binding import BoundStep

#: Bytes at the beginning of a file that steps are asked about.
_HEAD = 64 << 10

#: Seconds of the processor for which each digest is tried out, and bytes that it gets at once.
_TRIAL = 0.005
_PIECE = bytes(256 << 10)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Scratch data: the label of the step that needs it (None: all of the import), its content, and bytes if known.

    ``certain`` is false where it depends on the bytes whether anything is written.
    """

    step: str | None
    what: str
    size: int | None
    certain: bool


@dataclass(frozen=True, kw_only=True)
class _Data:
    """Known facts of the image between two stages."""

    what: str
    size: int | None = None
    virtual_size: int | None = None
    head: bytes | None = None
    is_scratch: bool = False


def forecast(plan: Plan, site: Site) -> dict[str, Any]:
    """Return scratch data and the expected bottleneck of *plan* as plain values, for ``imageport plan``.

    Digests are measured for a few milliseconds. Raises the errors of plugins.
    """
    needs = list(_needs(plan, site.limits.max_parallel_stores))
    sizes = [need.size for need in needs]
    at_most = None if None in sizes else sum(size or 0 for size in sizes)
    free = free_space(_existing(site.staging.directory))
    return {
        "scratch": {
            "directory": str(site.staging.directory),
            "needs": [asdict(need) for need in needs],
            "at_most": at_most,
            "free": free,
            "fits": None if at_most is None or free is None else at_most <= free,
        },
        "bottleneck": _bottleneck(site.digests),
    }


def deadlines(limits: Limits) -> dict[str, Any]:
    """Return the tree of deadlines: a part ends before the one that contains it.

    All numbers are seconds, but for ``minimum_rate`` in bytes a second; None means without a deadline.
    """
    return {
        "import": {
            "in_all": limits.import_deadline,
            "download": {
                "each_try": limits.download_deadline,
                "connecting": limits.connect_timeout,
                "silence": limits.read_timeout,
                "minimum_rate": limits.minimum_rate,
            },
            "conversion": {"each": limits.conversion_deadline},
            "store": {"standstill": limits.store_patience},
        }
    }


def _needs(plan: Plan, max_parallel_stores: int) -> Iterator[Need]:
    """Return the scratch data in the staging directory, in the order of the stages."""
    data = _source(plan)
    if plan.spool_first:
        yield Need(step=None, what=data.what, size=data.size, certain=True)
        data = replace(data, is_scratch=True)
    for step in plan.steps:
        if _leaves_alone(step, data):
            continue
        reads, writes = step.plugin.reads, step.plugin.writes
        certain = reads == "file"
        # Where the pipeline allows streaming only, data that needs a file fails instead.
        if reads != "stream" and not (data.is_scratch or plan.stream_only):
            yield Need(step=step.label, what=data.what, size=data.size, certain=certain)
        made = _Data(what=f"the result of {step.label}", is_scratch=writes in ("file", "disk"))
        if writes == "disk":
            made = replace(made, what="the virtual size of its disk", size=data.virtual_size)
        if made.is_scratch and not (plan.stream_only and not certain):
            yield Need(step=step.label, what=made.what, size=made.size, certain=certain)
        data = made
    stores = sum("store_write" in store.answers for store in plan.stores)
    waiting = 0 < max_parallel_stores < stores
    if not data.is_scratch and (waiting or (stores > 1 and not plan.all_stores_must_succeed)):
        yield Need(
            step=None, what=f"{data.what}, for stores that come later", size=data.size, certain=waiting
        )


def _source(plan: Plan) -> _Data:
    uri = plan.source.uri
    what = "the stored image" if plan.copies else "the source"
    if uri is None or "://" in uri:
        return _Data(what=what)
    path = Path(uri)
    try:
        if not path.is_file():
            return _Data(what=what)
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return _Data(what=what, size=space_taken(path), virtual_size=_virtual_size(path), head=head)
    except OSError:
        # Its mistakes are reported when it is imported.
        return _Data(what=what)


def _virtual_size(path: Path) -> int | None:
    from imageport.dataplane.inspection import inspect_file

    try:
        return inspect_file(path).virtual_size
    except ImageportError:
        return None


def _leaves_alone(step: BoundStep, data: _Data) -> bool:
    if "transform" not in step.answers or step.plugin.writes == "nothing":
        return True
    return data.head is not None and step.leaves_unchanged(data.head)


def _bottleneck(digests: Iterable[str]) -> dict[str, Any]:
    """Return how fast the digests can be; the speed of sources and stores is not known beforehand."""
    rates = {name: _rate(name) for name in digests}
    processors = len(os.sched_getaffinity(0))
    # Each digest has one thread; all of them share the processors.
    seconds = [1 / rate for rate in rates.values()]
    return {
        "digests": {name: round(rate) for name, rate in rates.items()},
        "processors": processors,
        "rate": round(1 / max(*seconds, sum(seconds) / processors)),
    }


def _rate(name: str) -> float:
    """Return the bytes that the digest takes in a second, measured now."""
    digest = new_hasher(name)
    digest.update(_PIECE)
    done = 0
    # Time of the processor: other work of the machine will be over by then.
    started = time.thread_time()
    while (spent := time.thread_time() - started) < _TRIAL:
        digest.update(_PIECE)
        done += len(_PIECE)
    return done / spent


def _existing(folder: Path) -> Path:
    """Return *folder*, or the nearest above it that is there already."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
