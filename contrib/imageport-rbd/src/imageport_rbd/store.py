"""The store that keeps images in a pool of Ceph, ready to be cloned by Cinder and Nova."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from imageport import Context, StoreFailed, hookimpl
from imageport.stores import ExtentStore, Volume, VolumeFacts
from imageport.values import Finding, StoreCapabilities

from imageport_rbd.cluster import connect
from imageport_rbd.options import RbdOptions

#: The hints for errors of Ceph, by their numbers.
HINTS = {
    errno.EBUSY: "another client uses the image; one that was killed keeps it for 30 seconds: "
    "run 'imageport gc' after that",
    errno.EACCES: "give the user the profile rbd for the pool: ceph auth caps",
    errno.EPERM: "give the user the profile rbd for the pool: ceph auth caps",
    errno.EDQUOT: "free space in the pool, or raise its quota: ceph osd pool set-quota",
    errno.ENOSPC: "free space in the cluster, or add OSDs: ceph df",
    errno.ENOTEMPTY: "remove the snapshots that other programs made: rbd snap purge",
    errno.ENOENT: "another process removed the image; import it again",
    errno.EEXIST: "an RBD image of that name is there already: remove or rename it",
    errno.ETIMEDOUT: "look at the state of the cluster with 'ceph -s', then import again",
}


def hint_for(error: OSError) -> str:
    """Return what to do about *error*."""
    return HINTS.get(error.errno or 0, "look at the state of the cluster with 'ceph -s'")


class RbdStore(ExtentStore[RbdOptions]):
    """Keep each image as an RBD image named by its id, with the protected snapshot ``snap``, as Glance does.

    Cinder and Nova make volumes and disks of it in no time, as clones. Only what is not zero is written, many writes
    at a time. Until an image is published it has a hidden name; its snapshot is there and protected before that.
    """

    suffix = "/snap"
    errors = dict.fromkeys((OSError, TimeoutError, ConnectionError), hint_for)

    def __init__(self, config: RbdOptions) -> None:
        super().__init__(config)
        self.capabilities = StoreCapabilities(
            formats=config.formats, unwritten_is_zero=True, keeps_holes=True
        )

    def setup(self, ctx: Context) -> None:
        """Connect to the cluster, with the time-outs of the site."""
        self.cluster = connect(self.config, ctx.client)
        self.in_flight = self.cluster.in_flight

    def close(self) -> None:
        """Close the connection, if there is one."""
        if hasattr(self, "cluster"):
            self.cluster.close()

    def prefix(self) -> str:
        """Return ``rbd://<fsid>/<pool>/``, as in the locations of Glance."""
        return f"rbd://{self.cluster.fsid}/{self.config.pool}/"

    def create(self, name: str, size: int) -> Volume:
        """Create an RBD image."""
        return self.cluster.create(name, size)

    def seal(self, name: str, mark: str) -> None:
        """Mark the image in its metadata, and protect its snapshot."""
        self.cluster.set_mark(name, mark)
        self.cluster.protect_snapshot(name)

    def rename(self, hidden: str, name: str) -> None:
        """Rename the image; clones and snapshots stay as they are."""
        self.cluster.rename(hidden, name)

    def remove(self, name: str) -> None:
        """Remove the image and its snapshot, unless it has clones."""
        if clones := self.cluster.clones(name):
            raise StoreFailed(
                f"the image {self.config.pool}/{name} has clones ({len(clones)}), such as {clones[0]}",
                hint="remove them, or make them independent with 'rbd flatten', then run 'imageport gc'",
            )
        self.cluster.remove(name)

    def facts(self, name: str) -> VolumeFacts | None:
        """Return size, mark and time of an image."""
        return self.cluster.facts(name)

    def open_volume(self, name: str) -> Volume:
        """Open the snapshot of an image."""
        return self.cluster.open_snapshot(name)

    def names(self) -> Iterable[str]:
        """Return the names of all images in the pool."""
        return self.cluster.names()

    @hookimpl
    def diagnose(self, ctx: Context) -> Iterator[Finding]:
        """Yield how much room the pool has; a cluster that does not answer has failed in ``setup``."""
        return self.cluster.findings()
