"""Forecast the resources of an import and its slowest part."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from imageport.configuration.site import Site
from imageport.dataplane.digests import new_hasher
from imageport.dataplane.spool import free_space, space_taken
from imageport.errors import ImageportError, StoreFailed
from imageport.importing.plan import Plan
from imageport.limits import Limits
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import ImageFacts, Targets, capabilities_of
from imageport.values import ImageRecord

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
    """Known facts of the image between two stages: ``size`` are its bytes on disk, ``length`` all of them."""

    what: str
    size: int | None = None
    length: int | None = None
    virtual_size: int | None = None
    head: bytes | None = None
    is_scratch: bool = False


def forecast(plan: Plan, site: Site, targets: Targets | None = None) -> dict[str, Any]:
    """Return scratch data and the expected bottleneck of *plan* as plain values, for ``imageport plan``.

    *targets*, all writable stores unless given, learn the facts of the image: those that cannot take it are ``refused``
    afterwards. Digests are measured for a few milliseconds. Raises the errors of plugins.
    """
    if targets is None:
        targets = plan.targets([store for store in plan.stores if "store_write" in store.answers])
    needs, data = _needs_of_steps(plan)
    with suppress(StoreFailed):
        targets.require(_facts(plan, data))
    needs += _needs_of_stores(plan, data, targets, site.limits.max_parallel_stores)
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


def _needs_of_steps(plan: Plan) -> tuple[list[Need], _Data]:
    """Return the scratch data of the method and the steps, in their order, and the image that they make."""
    data, needs = _source(plan), []
    if plan.spool_first:
        needs.append(Need(step=None, what=data.what, size=data.size, certain=True))
        data = replace(data, is_scratch=True)
    for step in plan.steps:
        if _leaves_alone(step, data):
            continue
        reads, writes = step.plugin.reads, step.plugin.writes
        certain = reads == "file"
        # Where the pipeline allows streaming only, data that needs a file fails instead.
        if reads != "stream" and not (data.is_scratch or plan.stream_only):
            needs.append(Need(step=step.label, what=data.what, size=data.size, certain=certain))
        made = _Data(what=f"the result of {step.label}", is_scratch=writes in ("file", "disk"))
        if writes == "disk":
            made = replace(made, what="the virtual size of its disk", size=data.virtual_size)
        if made.is_scratch and not (plan.stream_only and not certain):
            needs.append(Need(step=step.label, what=made.what, size=made.size, certain=certain))
        data = made
    return needs, data


def _needs_of_stores(plan: Plan, data: _Data, targets: Targets, max_parallel_stores: int) -> Iterator[Need]:
    """Return the scratch data that all stores together need: one file."""
    stores = targets.accepting
    spooling = targets.for_which_to_spool(data.length)
    waiting = 0 < max_parallel_stores < len(stores)
    if data.is_scratch:
        return
    if spooling and not plan.stream_only:
        labels = " and ".join(store.label for store in spooling)
        certain = waiting or any(capabilities_of(store).wants_file for store in spooling)
        yield Need(step=None, what=f"{data.what}, in a file for {labels}", size=data.size, certain=certain)
    elif waiting or (len(stores) > 1 and not plan.all_stores_must_succeed):
        yield Need(
            step=None, what=f"{data.what}, for stores that come later", size=data.size, certain=waiting
        )


def _facts(plan: Plan, data: _Data) -> ImageFacts:
    record = ImageRecord(id="")
    path = local_source(plan)
    known = plan.facts_before(record) if path is None else plan.facts_of_file(path, record)
    return replace(known, size=data.length, taken=None if data.length is None else data.size)


def local_source(plan: Plan) -> Path | None:
    """Return the file that is the source, None when it is none or is not there."""
    uri = plan.source.uri
    if uri is None or "://" in uri:
        return None
    try:
        return path if (path := Path(uri)).is_file() else None
    except OSError:
        return None


def _source(plan: Plan) -> _Data:
    what = "the stored image" if plan.copies else "the source"
    if (path := local_source(plan)) is None:
        return _Data(what=what)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        length = path.stat().st_size
        size, virtual_size = space_taken(path), _virtual_size(path)
    except OSError:
        # Its mistakes are reported when it is imported.
        return _Data(what=what)
    return _Data(what=what, size=size, length=length, virtual_size=virtual_size, head=head)


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
