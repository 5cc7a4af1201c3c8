"""Decide whether a failed import begins again, before anything was published."""

from __future__ import annotations

from typing import Final

from imageport.errors import ImageportError, SourceUnavailable, VerificationFailed
from imageport.importing.context_factory import HostContext
from imageport.importing.replicas import Replicas
from imageport.plugins.binding import BoundStep

#: However often a method says that it can be asked, there is an end.
MOST_TRIES: Final = 20


class Tries:
    """Counts how often the bytes were asked for; ``ctx`` is the context of the next try.

    What makes another try worth while is that the bytes broke off, or did not have the digest they should, and that
    the method can bring them anew: another copy of a stored image, or as often as its ``max_attempts``. What a server
    refuses, and an image that is not what it should be, stay what they are.
    """

    def __init__(self, method: BoundStep, ctx: HostContext) -> None:
        self._method = method
        self._replicas = Replicas(ctx)
        self.made = 1

    @property
    def ctx(self) -> HostContext:
        """The context for the method."""
        return self._replicas.ctx

    @property
    def store(self) -> str | None:
        """The store whose copy is read; None when there is none."""
        return self._replicas.store

    def another(self, error: ImageportError, *, begun: bool) -> bool:
        """Say whether to begin again after *error*; *begun* tells whether the method had opened its source."""
        by_method = error.step == self._method.label
        again = (by_method and self._replicas.skip_current()) or (
            begun
            and self.made < min(self._method.plugin.max_attempts, MOST_TRIES)
            and (
                isinstance(error, VerificationFailed) or (by_method and isinstance(error, SourceUnavailable))
            )
            and error.retry
        )
        self.made += again
        return again
