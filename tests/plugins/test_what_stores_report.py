"""The answers of store_stat and store_list are checked, one by one as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from imageport import Location, NoConfig, Plugin, StoreFailed, hookimpl
from imageport.errors import StepCrashed
from imageport.plugins import binding
from imageport.plugins.binding import BoundStep
from imageport.testing.contexts import make_host
from imageport.values import StoredCopy

HERE = Location(url="acme://shelf/1")


class Acme(Plugin[NoConfig]):
    """Answer what the test wants."""

    def __init__(self, answer: Any) -> None:
        super().__init__(NoConfig())
        self.answer = answer

    @hookimpl
    def store_stat(self, location: Location) -> StoredCopy | None:
        return self.answer() if callable(self.answer) else self.answer  # type: ignore[no-any-return]

    @hookimpl
    def store_list(self) -> Iterable[StoredCopy]:
        return self.answer() if callable(self.answer) else self.answer  # type: ignore[no-any-return]


def store(answer: Any) -> BoundStep:
    return BoundStep.bind("shelf", "acme 1.0", Acme(answer), is_store=True)


def wrong(**fields: Any) -> StoredCopy:
    return StoredCopy(**{"location": HERE, **fields})


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("there", "store_stat returned str where StoredCopy is expected"),
        (HERE, "store_stat returned Location where StoredCopy is expected"),
        (lambda: wrong(location="acme://1"), "ValueError in store_stat: a stored copy has a Location"),
        (lambda: wrong(size=-1), "ValueError in store_stat: a stored copy has a Location"),
        (lambda: wrong(size="7"), "TypeError in store_stat: "),
        (lambda: wrong(digests={"md5": b"x"}), "ValueError in store_stat: a stored copy has a Location"),
    ],
)
def test_a_wrong_answer_is_a_defect_of_the_store(tmp_path: Path, answer: Any, message: str) -> None:
    with pytest.raises(StepCrashed) as caught:
        store(answer).store_stat(HERE, make_host(tmp_path))
    assert caught.value.message.startswith(message)
    assert caught.value.where() == "store 'shelf' (acme 1.0)"


def test_a_copy_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert store(None).store_stat(HERE, make_host(tmp_path)) is None
    assert list(store(None).store_list(make_host(tmp_path))) == []


def test_copies_are_taken_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless() -> Iterator[StoredCopy]:
        return (StoredCopy(location=HERE, size=size) for size in count())

    listed = store(endless).store_list(make_host(tmp_path))
    assert [copy.size for copy in islice(listed, 3)] == [0, 1, 2]
    monkeypatch.setattr(binding, "_MAX_COPIES", 5)
    with pytest.raises(StoreFailed, match="lists copies without end") as caught:
        list(store(endless).store_list(make_host(tmp_path)))
    assert caught.value.store == "shelf"


def test_an_error_in_the_middle_of_a_list_names_the_store(tmp_path: Path) -> None:
    def broken() -> Iterator[StoredCopy]:
        yield StoredCopy(location=HERE)
        raise TimeoutError("timed out")

    listed = store(broken).store_list(make_host(tmp_path))
    assert next(listed).location == HERE
    with pytest.raises(StoreFailed, match="cannot use store 'shelf': timed out") as caught:
        next(listed)
    assert caught.value.retry


def test_a_wrong_copy_in_a_list_is_a_defect_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StepCrashed, match="store_list returned str where StoredCopy is expected"):
        list(store(["acme://shelf/1"]).store_list(make_host(tmp_path)))
