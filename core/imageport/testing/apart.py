"""Work in a process forked from this one, whose memory is measured, or which is killed in the middle."""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from imageport.errors import ImageportError
from imageport.testing.clauses import BrokenClause

#: Work in the other process; it gets a function that reports a value to this one.
Work = Callable[[Callable[[Any], None]], object]


def peak_growth(work: Callable[[], object], patience: float) -> int:
    """Return by how many bytes the resident memory of a process grows at most while it does *work*.

    Raises ``BrokenClause`` with the error of *work*, or when it takes longer than *patience* seconds.
    """

    def measured(report: Callable[[Any], None]) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far, see proc(5)
        before = _peak()
        work()
        report(_peak() - before)

    return int(_reported(measured, patience))


def killed(work: Work, patience: float) -> Any:
    """Return what *work* reports first, in a process that is killed (SIGKILL) at that moment."""

    def held(report: Callable[[Any], None]) -> None:
        def report_and_wait(value: Any) -> None:
            report(value)
            while True:
                signal.pause()

        work(report_and_wait)

    return _reported(held, patience)


def _reported(work: Work, patience: float) -> Any:
    reading, writing = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        # The child uses no thread of this process, and no lock of its libraries that another thread may have.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _be_child(work, writing)
    writing.close()
    try:
        if not reading.poll(patience):
            raise BrokenClause(f"a process with the plugin did not get on within {patience:g} s")
        answer, failure = reading.recv()
    except EOFError as error:
        raise BrokenClause("the plugin ended the process") from error
    finally:
        reading.close()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if failure is not None:
        raise BrokenClause(failure)
    return answer


def _be_child(work: Work, writing: Connection) -> NoReturn:
    try:
        work(lambda value: writing.send((value, None)))
        writing.send((None, "the work ended early"))
    except BaseException as error:  # noqa: BLE001 - the other process reports it
        name = "" if isinstance(error, ImageportError) else f"{type(error).__name__}: "
        writing.send((None, f"{name}{error}"))
    finally:
        os._exit(0)


def _peak() -> int:
    """Return the peak of the resident memory of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    raise RuntimeError("/proc/self/status has no VmHWM")
