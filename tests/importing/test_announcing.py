"""A store announces its copy before it takes bytes, and under the url that it returns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import Context, Image, Location, PendingCopy, StoreFailed, hookimpl
from imageport.errors import ImportFailed
from imageport.values import StagedCopy

CONTENT = noise(3_000_000)


class Announcing(Shelf):
    """Announce what, when and how the test wants."""

    def __init__(self, act: Callable[[Context, Location, Image], Location | None]) -> None:
        super().__init__("shelf")
        self.act = act
        self.tokens: list[str] = []

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        self.tokens.append(ctx.copy_token)
        location = Location(url=f"shelf:{self.name}/{image.record.id}")
        returned = self.act(ctx, location, image) or location
        url = returned.url
        self.pending[url] = b"".join(image.data.chunks())

        def publish() -> None:
            self.visible[url] = self.pending.pop(url)

        def discard() -> None:
            del self.pending[url]

        return StagedCopy(returned, len(self.pending[url]), publish, discard)


def never(ctx: Context, location: Location, image: Image) -> None:
    pass


def afterwards(ctx: Context, location: Location, image: Image) -> None:
    next(image.data.chunks())
    ctx.announce(location)


def by_reader(ctx: Context, location: Location, image: Image) -> None:
    image.data.reader().read(1)


def in_a_library(ctx: Context, location: Location, image: Image) -> None:
    try:
        next(image.data.chunks())
    except StoreFailed:
        raise ValueError("the body could not be read") from None


def elsewhere(ctx: Context, location: Location, image: Image) -> Location:
    ctx.announce(Location(url="shelf:shelf/first"))
    return location


def two_places(ctx: Context, location: Location, image: Image) -> None:
    ctx.announce(location)
    ctx.announce(Location(url="shelf:shelf/second"))


def rubbish(ctx: Context, location: Location, image: Image) -> None:
    announce: Any = ctx.announce
    announce("shelf:shelf/first")


BYTES_FIRST = "the store took bytes of the image before it announced its copy"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (never, BYTES_FIRST),
        (afterwards, BYTES_FIRST),
        (by_reader, BYTES_FIRST),
        (in_a_library, BYTES_FIRST),
        (elsewhere, "the store announced shelf:shelf/first and wrote shelf:shelf/"),
        (two_places, "the store announced shelf:shelf/"),
        (rubbish, "the store announced str where Location is expected"),
    ],
)
def test_a_store_that_breaks_a_rule_has_failed_and_leaves_nothing(
    desk: Desk, act: Callable[..., Location | None], message: str
) -> None:
    shelf = Announcing(act)
    report = desk.run(Bytes(CONTENT), shelf)
    assert isinstance(report.error, StoreFailed)
    assert report.error.message.startswith(message)
    assert report.error.hint.startswith("this is a defect of ")
    assert report.error.store == "shelf"
    assert report.error.exit_code == 6
    assert (shelf.visible, shelf.pending) == ({}, {})
    assert desk.leftovers() == []


def test_nothing_is_announced_once_the_copy_was_abandoned(desk: Desk) -> None:
    go_on, ended = threading.Event(), threading.Event()
    refused: list[ImportFailed] = []

    def too_late(ctx: Context, location: Location, image: Image) -> None:
        go_on.wait()
        try:
            ctx.announce(location)
        except ImportFailed as error:
            refused.append(error)
        finally:
            ended.set()

    limits = desk.site.limits.model_copy(update={"store_patience": 0.3})
    desk.site = desk.site.model_copy(update={"limits": limits})
    report = desk.run(Bytes(CONTENT), Announcing(too_late))
    assert isinstance(report.error, StoreFailed)
    go_on.set()
    ended.wait()
    assert [error.message for error in refused] == ["this copy was abandoned"]
    assert desk.catalog.hidden_copies() == []


def test_bytes_may_be_looked_at_before(desk: Desk) -> None:
    def peek_first(ctx: Context, location: Location, image: Image) -> None:
        assert image.data.peek(10) == CONTENT[:10]
        ctx.announce(location)

    report = desk.run(Bytes(CONTENT), shelf := Announcing(peek_first))
    assert report.error is None
    assert [*shelf.visible.values()] == [CONTENT]


def test_another_announcement_replaces_the_metadata_of_the_first(desk: Desk) -> None:
    known: list[Any] = []

    def twice(ctx: Context, location: Location, image: Image) -> None:
        for upload in ("", "42"):
            ctx.announce(Location(url=location.url, metadata={"upload": upload} if upload else {}))
            [kept] = desk.catalog.pending_locations(ctx.task_id)
            known.append(kept.metadata.get("upload"))

    report = desk.run(Bytes(CONTENT), Announcing(twice))
    assert report.error is None
    assert known == [None, "42"]


def test_each_attempt_has_its_own_token(desk: Desk) -> None:
    one, two = (Announcing(lambda ctx, location, image: ctx.announce(location)) for _ in range(2))
    two.name = "other"
    for shelves in ((one, two), (one,)):
        assert desk.run(Bytes(CONTENT), *shelves).error is None
    tokens = [*one.tokens, *two.tokens]
    assert len(set(tokens)) == 3
    assert all(token.isdigit() for token in tokens)
    # A file keeps whole microseconds as its time.
    assert all(int(token) % 1000 == 0 for token in tokens)
