"""A download that breaks off or has another digest is repeated as often as its method declares, and published once."""

from __future__ import annotations

import gc

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import (
    Chunks,
    ImageData,
    ImageportError,
    SourceUnavailable,
    TransformFailed,
    VerificationFailed,
    hookimpl,
)
from imageport.dataplane import lend_buffer
from imageport.dataplane.buffers import POOL
from imageport.importing.rollback import MAX_ATTEMPTS

CONTENT = [b"first piece".ljust(600, b"\0"), b"second piece"]


class Flaky(Bytes):
    """Break off the first times."""

    def __init__(self, *errors: ImageportError, max_attempts: int) -> None:
        super().__init__(*CONTENT)
        self.errors = list(errors)
        self.max_attempts = max_attempts
        self.staged = 0

    @hookimpl
    def stage(self) -> ImageData:
        self.staged += 1
        self.error = self.errors.pop(0) if self.errors else None
        return ImageData.from_chunks(self._chunks)


def broken(*, retry: bool = True) -> SourceUnavailable:
    return SourceUnavailable("it broke off", retry=retry)


@pytest.mark.parametrize("error", [broken(), VerificationFailed("another digest", retry=True)])
@pytest.mark.parametrize("spool_first", [False, True])
def test_the_whole_journey_begins_again(desk: Desk, error: ImageportError, spool_first: bool) -> None:
    method, shelf = Flaky(error, max_attempts=2), Shelf("shelf")
    report = desk.run(method, shelf, spool_first=spool_first)
    assert report.error is None
    assert method.staged == 2
    assert list(shelf.visible.values()) == [b"".join(CONTENT)]
    assert shelf.pending == {}
    assert desk.leftovers() == []


@pytest.mark.parametrize(
    "error",
    [
        broken(retry=False),
        VerificationFailed("not what was declared"),
        TransformFailed("cannot do that"),
        ZeroDivisionError("oops"),
    ],
    ids=["final", "format", "step", "crash"],
)
def test_what_another_try_would_not_change_is_not_tried_again(desk: Desk, error: Exception) -> None:
    method = Flaky(error, max_attempts=5)  # type: ignore[arg-type]
    report = desk.run(method, Shelf("shelf"))
    assert report.error is not None
    assert "tries" not in report.error.message
    assert method.staged == 1


def test_a_method_without_max_attempts_is_called_once(desk: Desk) -> None:
    method = Flaky(broken(), max_attempts=Bytes(b"").max_attempts)
    assert desk.run(method, Shelf("shelf")).error is not None
    assert method.staged == 1


def test_attempts_end_even_if_the_method_declares_more(desk: Desk) -> None:
    method, shelf = Flaky(*(broken() for _ in range(1000)), max_attempts=1000), Shelf("shelf")
    report = desk.run(method, shelf)
    assert method.staged == MAX_ATTEMPTS
    assert report.error is not None
    assert f"(after {MAX_ATTEMPTS} tries)" in report.error.message
    assert shelf.visible == shelf.pending == {}
    assert report.rolled_back
    assert desk.leftovers() == []


def test_each_try_frees_the_buffers_of_the_one_before(desk: Desk) -> None:
    in_use: list[int] = []

    class Pooled(Flaky):
        @hookimpl
        def stage(self) -> ImageData:
            in_use.append(len(POOL._lent))
            return super().stage()

        def _chunks(self) -> Chunks:  # type: ignore[override]
            for _ in range(3):
                yield lend_buffer().toreadonly()
            raise broken()

    gc.disable()
    try:
        desk.run(Pooled(max_attempts=8), Shelf("one"), Shelf("two"))
    finally:
        gc.enable()
    assert len(in_use) == 8
    assert max(in_use) <= in_use[0] + 1, in_use
