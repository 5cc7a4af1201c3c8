"""Deadlines of the calls into plugins, as one table: ``docs/reference/deadlines.md`` is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from imageport.errors import ImageportError, ImportFailed, LimitExceeded, SourceUnavailable, StoreFailed
from imageport.limits import Limits


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long one kind of call into a plugin may take, and the consequence of a longer one.

    ``key`` is the key under ``limits`` of the site file that has the seconds, of which *factor* times as many pass.
    ``error`` is what the caller gets, ``advice`` the hint about it, and ``outcome`` the consequence, for the docs. The
    command ``fails`` with the exit code of the error unless that is only logged.
    """

    key: str
    error: type[ImageportError]
    outcome: str
    advice: str
    counts: str = "until it returns"
    factor: float = 1.0
    fails: bool = True

    @property
    def hint(self) -> str:
        """The next step after the deadline."""
        return self.advice.format(key=self.key)

    def seconds(self, limits: Limits) -> float:
        """Return the seconds that *limits* permit."""
        return self.factor * float(getattr(limits, self.key))


_SOURCE = "check the source; if it needs that long, raise limits.{key} in the site file"
_STEP = "check the step and the image; if it needs that long, raise limits.{key} in the site file"
_STORE = "check the server of the store; if it needs that long, raise limits.{key} in the site file"
_PLUGIN = "check the servers and paths in its options, or raise limits.{key} in the site file"

_NEXT = "for the next piece"
_LEFT = "the copy stays known, for `imageport gc`"

#: The calls into plugins by name; ``…, its stream`` is each wait for a piece of a stream that a hook returned.
DEADLINES: Final[Mapping[str, Deadline]] = {
    "setup": Deadline("plugin_patience", LimitExceeded, "as if the next hook had failed", _PLUGIN),
    "validate_source": Deadline("plugin_patience", LimitExceeded, "the import is refused", _PLUGIN),
    "stage": Deadline("source_patience", SourceUnavailable, "the import fails", _SOURCE),
    "stage, its stream": Deadline("source_patience", SourceUnavailable, "the import fails", _SOURCE, _NEXT),
    "transform": Deadline(
        "conversion_deadline", LimitExceeded, "the import fails", _STEP,
        "own work, without the time that it waits for its input; a quarter more than the key", 1.25,
    ),
    "transform, its stream": Deadline(
        "conversion_deadline", LimitExceeded, "the import fails", _STEP,
        "own work for the next piece; a quarter more than the key", 1.25,
    ),
    "store_write": Deadline(
        "store_patience", StoreFailed, f"the store has failed; {_LEFT}", _STORE,
        "since it took the last bytes, or since all had come",
    ),
    "publish": Deadline("store_patience", StoreFailed, f"the store has failed; {_LEFT}", _STORE),
    "discard": Deadline("store_patience", StoreFailed, _LEFT, _STORE, "together with all clean-up of the command"),
    "store_read": Deadline("store_patience", StoreFailed, "another copy is read, or the command fails", _STORE),
    "store_read, its stream": Deadline(
        "store_patience", StoreFailed, "another copy is read, or the command fails", _STORE, _NEXT
    ),
    "store_delete": Deadline(
        "store_patience", StoreFailed, _LEFT, _STORE, "together with all clean-up of the command"
    ),
    "store_stat": Deadline("store_patience", StoreFailed, "the copy is reported as not examined", _STORE),
    "store_list": Deadline("store_patience", StoreFailed, "the store is reported as not examined", _STORE),
    "on_progress": Deadline(
        "observer_patience", ImportFailed, "a warning; the import ends without the observer", _PLUGIN,
        "after the end of the import", fails=False,
    ),
    "diagnose": Deadline(
        "diagnose_patience", ImportFailed, "an error in the list of findings", _PLUGIN, fails=False
    ),
    "close": Deadline("plugin_patience", ImportFailed, "a warning", _PLUGIN, fails=False),
}  # fmt: skip


def error_after(name: str, limits: Limits, kind: type[ImageportError] | None = None) -> ImageportError:
    """Return the error of a call that has passed the deadline *name*, of another *kind* than in the table if given."""
    deadline = DEADLINES[name]
    hook, _, stream = name.partition(", ")
    seconds = f"{deadline.seconds(limits):g} s"
    return (kind or deadline.error)(
        f"{stream} has brought nothing for {seconds}" if stream else f"{hook} did not end within {seconds}",
        hint=deadline.hint,
    )
