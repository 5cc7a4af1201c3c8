"""One pass feeds all consumers; what fails drops out alone, or ends everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from imageport.dataplane.buffers import CHUNK_SIZE, Chunks
from imageport.dataplane.channel import CAPACITY
from imageport.dataplane.fanout import Consumer, fan_out
from imageport.errors import StoreFailed


def _keep(chunks: Chunks) -> bytes:
    return b"".join(chunks)


def _fail_at_once(chunks: Chunks) -> bytes:
    raise StoreFailed("the disk is on fire")


def _fail_after_a_piece(chunks: Chunks) -> bytes:
    next(chunks)
    raise StoreFailed("the disk is on fire")


def _pieces(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 251]) * CHUNK_SIZE


def _run(chunks: Iterator[bytes], *consumers: Consumer[bytes]) -> int:
    return fan_out(chunks, consumers, report=lambda done, waits: None)


def test_all_consumers_get_every_byte() -> None:
    consumers = [Consumer(f"store {number}", _keep, optional=True) for number in range(3)]
    assert _run(_pieces(20), *consumers) == 20 * CHUNK_SIZE
    assert all(consumer.outcome() == b"".join(_pieces(20)) for consumer in consumers)


def test_the_source_is_read_once() -> None:
    read = []

    def pieces() -> Iterator[bytes]:
        for piece in _pieces(5):
            read.append(len(piece))
            yield piece

    _run(pieces(), Consumer("a", _keep, optional=True), Consumer("b", _keep, optional=True))
    assert sum(read) == 5 * CHUNK_SIZE


@pytest.mark.parametrize("broken", [_fail_at_once, _fail_after_a_piece])
def test_an_optional_consumer_drops_out_alone(broken: Callable[[Chunks], bytes]) -> None:
    good = Consumer("good", _keep, optional=True)
    bad = Consumer("bad", broken, optional=True)
    assert _run(_pieces(30), good, bad) == 30 * CHUNK_SIZE
    assert good.outcome() == b"".join(_pieces(30))
    assert bad.failed
    with pytest.raises(StoreFailed, match="on fire"):
        bad.outcome()


def test_a_needed_consumer_ends_the_pass_and_the_others_are_not_blamed() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for piece in _pieces(10_000):
            taken += 1
            yield piece

    good = Consumer("good", _keep)
    bad = Consumer("bad", _fail_after_a_piece)
    with pytest.raises(StoreFailed, match="on fire"):
        _run(pieces(), good, bad)
    assert taken < 100
    assert bad.failed
    assert not good.failed
    assert good.error is not None


def test_when_every_store_has_failed_the_rest_is_not_read() -> None:
    with pytest.raises(StoreFailed):
        _run(
            _pieces(10_000),
            Consumer("a", _fail_after_a_piece, optional=True),
            Consumer("b", _fail_after_a_piece, optional=True),
            Consumer("digest", _keep),
        )


def test_an_error_of_the_source_reaches_all_consumers_and_blames_none() -> None:
    def pieces() -> Iterator[bytes]:
        yield from _pieces(3)
        raise ValueError("the cable was cut")

    consumers = [Consumer("a", _keep, optional=True), Consumer("b", _keep)]
    with pytest.raises(ValueError, match="cable"):
        _run(pieces(), *consumers)
    assert not any(consumer.running or consumer.failed for consumer in consumers)
    assert all("cable" in str(consumer.error) for consumer in consumers)


def test_a_slow_consumer_holds_the_reader_back() -> None:
    go = threading.Event()
    ahead: list[int] = []

    def slow(chunks: Chunks) -> bytes:
        go.wait(30)
        return _keep(chunks)

    def pieces() -> Iterator[bytes]:
        for number in range(50):
            ahead.append(number)
            if number == CAPACITY // CHUNK_SIZE:
                # From here on the reader must wait for the slow one; let that one go a little later.
                threading.Timer(0.05, go.set).start()
            assert go.is_set() or number <= CAPACITY // CHUNK_SIZE + 1
            yield bytes(CHUNK_SIZE)

    consumer = Consumer("slow", slow, optional=True)
    assert _run(pieces(), consumer) == 50 * CHUNK_SIZE
    assert len(consumer.outcome()) == 50 * CHUNK_SIZE
    assert consumer.channel.blocked > 0
