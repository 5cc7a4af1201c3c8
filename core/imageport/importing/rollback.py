"""The consequence of a failure: another attempt, or the roll-back, which leaves nothing visible or behind."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from imageport.data import ImageData
from imageport.errors import ImageportError, ImportFailed, LockLost, SourceUnavailable, VerificationFailed
from imageport.events import ImageEvent, TaskEvent
from imageport.importing.commit import Commit
from imageport.importing.context_factory import HostContext
from imageport.importing.copies import CopyState
from imageport.importing.lease_keeper import interrupted
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import Targets
from imageport.redaction import redact
from imageport.stores.remedies import reason, system_hint
from imageport.values import Location

log = logging.getLogger("imageport")

#: The limit of attempts, whatever a method declares.
MAX_ATTEMPTS: Final = 20

#: Raised in the thread of an import by the program that runs it: that goes on with its own end after the roll-back.
ENDS_PROGRAM = (KeyboardInterrupt, SystemExit)


def roll_back(commit: Commit, error: ImageportError, targets: Targets, ctx: HostContext) -> None:
    """Undo the work of *commit*, because of *error*; no other error in here keeps the rest from being undone.

    Discards the copies that are hidden, hides those that are published, removes their bytes, and puts the record back.
    An image that users have stays. So does, without the lease, all that another import may use by now.
    """
    env, lease, report = commit.env, commit.lease, commit.report
    discard = partial(commit.copies.discard, patience=env.site.limits.store_patience)
    commit.attempt("copies that wait", partial(discard, seconds_left=commit.seconds_left))
    failed = [copy for copy in commit.copies if copy.failed]
    for copy in failed:
        commit.attempt("the list of failed stores", partial(commit.report_failed, copy, ctx))
    has_lease = not isinstance(error, LockLost)
    if has_lease and not commit.active:
        commit.attempt("published copies", partial(_unpublish, commit))
    if has_lease and not env.plan.copies:
        commit.attempt("staged data", partial(env.staging.remove, lease.image_id))
    commit.attempt("copies", partial(commit.remove_copies, ctx))
    commit.keeper.stop()
    labels = [copy.label for copy in failed] or [*targets.refused]
    if not labels and not env.plan.copies:
        labels = [store.label for store in targets]
    message = redact(": ".join(filter(None, (error.where(), error.message))), env.plan.secrets)
    commit.attempt("the record", partial(_fail, commit, error, message, labels))
    report.rolled_back = commit.clean and not report.orphans and not commit.active
    ctx.send(ImageEvent(kind="image.update", record=commit.record))
    ctx.send(TaskEvent(kind="task.failure", step=error.step, store=error.store, error=message))


def lost_lease(commit: Commit) -> LockLost | None:
    """Return why this import may not write any more, even if another error followed from that."""
    try:
        commit.current()
        commit.lease.require()
    except LockLost as error:
        return error
    except Exception:
        log.warning("cannot look at the lock of the image", exc_info=True)
    return None


def explained(error: BaseException) -> ImageportError:
    """Return *error* if it explains itself, or else one that reports a defect of Imageport."""
    if isinstance(error, ImageportError):
        return error
    if isinstance(error, ENDS_PROGRAM):
        return interrupted()
    if isinstance(error, OSError):
        place = error.filename if isinstance(error.filename, str) else "this machine"
        failed = ImportFailed(f"cannot use {place}: {reason(error)}", hint=system_hint(error, place))
    else:
        failed = ImportFailed(
            f"internal error: {type(error).__name__}: {error}",
            hint="this is a defect of Imageport: please report it with the log",
        )
    failed.__cause__ = error
    return failed


def _unpublish(commit: Commit) -> None:
    """Hide the published copies, unless the image became active and the answer of the catalog was lost."""
    commit.active = not commit.lease.unpublish()
    if not commit.active:
        for copy in commit.copies:
            if copy.state is CopyState.PUBLISHED:
                copy.move(CopyState.DISCARDED)


def _fail(commit: Commit, error: ImageportError, message: str, failed: Sequence[str]) -> None:
    cause = {
        "code": error.code,
        "step": error.step,
        "store": error.store,
        "hint": redact(error.hint, commit.env.plan.secrets),
    }
    commit.record = commit.lease.fail(message=message, failed_stores=failed, cause=cause)


class RetryPolicy:
    """Decides whether a failed import begins again, before a copy is published.

    Another attempt is worth while when the bytes broke off, or did not have the digest they should, and the method can
    read them anew: another copy of a stored image, or as often as it declares. A refusal of a server, and an image with
    wrong content, stay as they are. ``ctx`` is the context of the next attempt, without the copies that were broken;
    ``store`` is the store whose copy is read, None when there is none.
    """

    def __init__(self, method: BoundStep, ctx: HostContext) -> None:
        self._method = method
        self._read_replica = ctx.read_replica
        self._opened: Location | None = None
        self.ctx = replace(ctx, read_replica=self._open)
        self.attempts = 1

    def _open(self, location: Location) -> ImageData:
        self._opened = location
        return self._read_replica(location)

    @property
    def store(self) -> str | None:
        """The store whose copy was opened last, None when none was."""
        return None if self._opened is None else self._opened.store

    def should_retry(self, error: ImageportError, *, begun: bool) -> bool:
        """Return whether to begin again after *error*; *begun* is true when the method had opened its source."""
        by_method = error.step == self._method.label or (
            error.store is not None and error.store == self.store
        )
        again = (by_method and self._skip_current()) or (
            begun
            and self.attempts < min(self._method.plugin.max_attempts, MAX_ATTEMPTS)
            and (
                isinstance(error, VerificationFailed) or (by_method and isinstance(error, SourceUnavailable))
            )
            and error.retry
        )
        self.attempts += again
        return again

    def _skip_current(self) -> bool:
        """Take the copy that was opened last from the list; False when there is nothing else to read.

        When none was opened, it is the staged data that was read; damaged data does not stay there.
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
