"""The copies that a copying method may read, one after the other until one is whole."""

from __future__ import annotations

from dataclasses import replace

from imageport.data import ImageData
from imageport.importing.context_factory import HostContext
from imageport.values import Location


class Replicas:
    """Remembers which copy is read; ``ctx`` is the context for the method, without those that were broken."""

    def __init__(self, ctx: HostContext) -> None:
        self._read_replica = ctx.read_replica
        self._opened: Location | None = None
        self.ctx = replace(ctx, read_replica=self._open)

    def _open(self, location: Location) -> ImageData:
        self._opened = location
        return self._read_replica(location)

    @property
    def store(self) -> str | None:
        """The store whose copy was opened last, None when none was."""
        return None if self._opened is None else self._opened.store

    def skip_current(self) -> bool:
        """Take the copy that was opened last from the list; False when there is nothing else to read.

        When none was opened, it is the staged data that was read; what is damaged does not stay there.
        """
        if self._opened is None:
            if self.ctx.staged is None:
                return False
            self.ctx.staged.unlink(missing_ok=True)
            self.ctx = replace(self.ctx, staged=None)
            return bool(self.ctx.replicas)
        position = self.ctx.replicas.index(self._opened) + 1
        self.ctx = replace(self.ctx, replicas=self.ctx.replicas[position:], staged=None)
        self._opened = None
        return bool(self.ctx.replicas)
