"""One scratch file serves all readers of the same bytes, whichever of them fail."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.noise import noise

from imageport import LimitExceeded
from imageport.dataplane.shared_file import SharedFile

CONTENT = noise(5_000_000) + bytes(3_000_000) + noise(1_000_001)


def _pieces(seed: int) -> list[bytes]:
    """Return the content in pieces of any length."""
    dice = random.Random(seed)
    pieces, start = [], 0
    while start < len(CONTENT):
        end = start + dice.randrange(1, 1 << 20)
        pieces.append(CONTENT[start:end])
        start = end
    return pieces


def _broken(pieces: list[bytes]) -> Iterator[bytes]:
    yield from pieces
    raise ConnectionError("the data ended early")


@pytest.fixture
def new_path(tmp_path: Path) -> Callable[[], Path]:
    numbers = iter(range(100))
    return lambda: tmp_path / f"{next(numbers)}.spool"


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_readers_side_by_side_get_one_file(new_path: Callable[[], Path], readers: int) -> None:
    shared = SharedFile()
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda seed=seed: found.append(shared.fill(iter(_pieces(seed)), new_path)))
        for seed in range(readers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [shared.path] * readers
    assert found[0].read_bytes() == CONTENT
    assert list(found[0].parent.iterdir()) == [found[0]]
    assert found[0].stat().st_blocks * 512 < len(CONTENT) - 2_000_000


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_another_reader_goes_on_where_one_fails(new_path: Callable[[], Path], ahead: int) -> None:
    shared = SharedFile()
    second = iter(_pieces(2))
    goes_on = threading.Event()

    def slow() -> Iterator[bytes]:
        yield next(second)
        goes_on.wait(60)
        yield from second

    found: list[Path] = []
    thread = threading.Thread(target=lambda: found.append(shared.fill(slow(), new_path)))
    thread.start()
    with pytest.raises(ConnectionError):
        shared.fill(_broken(_pieces(1)[:ahead]), new_path)
    goes_on.set()
    thread.join()
    assert found[0].read_bytes() == CONTENT


def test_an_incomplete_file_is_removed_with_its_last_reader_and_made_anew(
    new_path: Callable[[], Path], tmp_path: Path
) -> None:
    shared = SharedFile()
    with pytest.raises(ConnectionError):
        shared.fill(_broken(_pieces(1)[:4]), new_path)
    assert list(tmp_path.iterdir()) == []
    assert shared.path is None
    assert shared.fill(iter(_pieces(2)), new_path).read_bytes() == CONTENT


def test_a_file_that_is_there_is_not_written_again(new_path: Callable[[], Path], tmp_path: Path) -> None:
    present = tmp_path / "present"
    present.write_bytes(CONTENT)
    written: list[int] = []
    assert SharedFile(present).fill(iter(_pieces(1)), new_path, progress=written.append) == present
    assert (written, list(tmp_path.iterdir())) == ([], [present])


def test_a_file_is_moved_once_and_never_after_another_store_asked_for_it(
    new_path: Callable[[], Path], tmp_path: Path
) -> None:
    present = tmp_path / "present"
    present.write_bytes(CONTENT)
    shared = SharedFile(present, movable=True)
    assert not shared.take(tmp_path / "another")
    assert shared.take(present)
    assert not shared.take(present)
    # The file has left the work folder: the next store that needs one makes one.
    assert shared.fill(iter(_pieces(1)), new_path) != present
    asked = SharedFile(present, movable=True)
    asked.fill(iter(_pieces(1)), new_path)
    assert not asked.take(present)
    assert not SharedFile(present).take(present)


def test_more_than_fits_is_not_begun(new_path: Callable[[], Path], tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded, match="do not fit"):
        SharedFile().fill(iter(_pieces(1)), new_path, needed=1 << 60)
    assert list(tmp_path.iterdir()) == []
