"""Roll back an import that failed, as the mirror of its commit; nothing stays visible or behind."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import partial

from imageport.errors import ImageportError, ImportFailed, LockLost
from imageport.events import ImageEvent, TaskEvent
from imageport.importing.commit import Commit
from imageport.importing.context_factory import HostContext
from imageport.importing.copies import CopyState
from imageport.importing.lease_keeper import interrupted
from imageport.plugins.binding import BoundStep
from imageport.redaction import redact

log = logging.getLogger("imageport")

#: Raised in the thread of an import by the program that runs it: that goes on with its own end after the roll-back.
ENDS_PROGRAM = (KeyboardInterrupt, SystemExit)


def roll_back(
    commit: Commit, error: ImageportError, targets: Collection[BoundStep], ctx: HostContext
) -> None:
    """Undo the work of *commit*, because of *error*; no other error in here keeps the rest from being undone.

    Discards the copies that are hidden, hides those that are published, removes their bytes, and puts the record back.
    An image that users have stays. So does, without the lease, all that another import may use by now.
    """
    env, lease, report = commit.env, commit.lease, commit.report
    commit.attempt("copies that wait", commit.copies.discard)
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
    labels = [copy.label for copy in failed]
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
