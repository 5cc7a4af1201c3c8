"""A pool of a Ceph cluster: what the store uses of it, and the choice between the two drivers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Protocol

from imageport import StoreFailed
from imageport.stores import Volume, VolumeFacts
from imageport.values import ClientSettings, Finding

from imageport_rbd.options import RbdOptions

#: The snapshot that Glance, Cinder and Nova expect.
SNAPSHOT = "snap"

#: The key of the mark in the metadata of an image.
MARK = "imageport.mark"

#: Free bytes below which a pool is reported: most images are larger.
LITTLE_ROOM = 1 << 30


class Cluster(Protocol):
    """A connection to a pool. Every method raises ``OSError`` with the number of the error of Ceph."""

    #: The id of the cluster.
    fsid: str
    #: Reads and writes of one image at the same time.
    in_flight: int

    def create(self, name: str, size: int) -> Volume:
        """Create an image and open it to be written."""
        ...

    def open_snapshot(self, name: str) -> Volume:
        """Open the snapshot of an image to be read."""
        ...

    def set_mark(self, name: str, mark: str) -> None:
        """Write the mark into the metadata of an image."""
        ...

    def protect_snapshot(self, name: str) -> None:
        """Make the snapshot of an image, and protect it."""
        ...

    def rename(self, hidden: str, name: str) -> None:
        """Rename an image."""
        ...

    def clones(self, name: str) -> Sequence[str]:
        """Return the clones of the snapshot as ``pool/image``; none when image or snapshot are missing."""
        ...

    def remove(self, name: str) -> None:
        """Remove an image with its snapshot; both may be missing."""
        ...

    def facts(self, name: str) -> VolumeFacts | None:
        """Return the facts about an image, None when it is missing."""
        ...

    def names(self) -> Iterable[str]:
        """Return the names of all images."""
        ...

    def findings(self) -> Iterator[Finding]:
        """Yield how much room the pool has."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


def connect(options: RbdOptions, client: ClientSettings) -> Cluster:
    """Connect by the driver of *options*. Raises ``StoreFailed``."""
    if not options.conf.is_file():
        raise StoreFailed(
            f"the configuration of the Ceph cluster, {options.conf}, is missing",
            hint="copy it from a monitor of the cluster, or set conf in the options of the store",
        )
    has_bindings = find_spec("rados") is not None and find_spec("rbd") is not None
    if options.driver == "bindings" and not has_bindings:
        raise StoreFailed(
            "the bindings of Ceph, the modules rados and rbd, are missing",
            hint="install python3-rbd for this Python, or set 'driver: command'",
        )
    if has_bindings and options.driver != "command":
        from imageport_rbd.bindings import BindingsCluster  # noqa: PLC0415 - they may be missing

        return BindingsCluster(options, client)
    from imageport_rbd.command import CommandCluster  # noqa: PLC0415

    return CommandCluster(options, client)


def cannot_connect(options: RbdOptions, reason: str) -> StoreFailed:
    """Return the error of a cluster that does not answer, or refuses the user."""
    return StoreFailed(
        f"cannot connect to the Ceph cluster of {options.conf} as client.{options.user}: {reason}",
        hint=f"check monitors and keyring with 'ceph --conf {options.conf} --id {options.user} -s'",
    )


def no_pool(pool: str) -> StoreFailed:
    """Return the error of a missing pool."""
    return StoreFailed(
        f"the Ceph cluster has no pool {pool}",
        hint=f"create it with 'ceph osd pool create {pool}' and 'rbd pool init'",
    )


def room(pool: str, df: str | bytes) -> Finding:
    """Return the finding about *pool* in the answer of ``ceph df detail``, in JSON."""
    stats: dict[str, int] = next((one["stats"] for one in json.loads(df)["pools"] if one["name"] == pool), {})
    if "max_avail" not in stats:
        return Finding("ok", f"the pool {pool} answers; its cluster does not report how much room it has")
    free = stats["max_avail"]
    if quota := stats.get("quota_bytes", 0):
        free = max(0, min(free, quota - stats["stored"]))
    text = f"the pool {pool} has room for {free / (1 << 30):.1f} GiB"
    if free < LITTLE_ROOM:
        return Finding("warning", text, "free space in the pool, or raise its quota", free=free)
    return Finding("ok", text, free=free)
