"""Errors of the system that leave a hook are failures of what the hook used, and show no secret."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
from pydantic import SecretStr

from imageport import (
    Context,
    Image,
    ImageData,
    ImageportError,
    Location,
    PendingCopy,
    Plugin,
    PluginConfig,
    Source,
    StoreFailed,
    hookimpl,
)
from imageport.plugins.binding import BoundStep
from imageport.testing.benches import RECORD
from imageport.testing.contexts import make_host
from imageport.values import StagedCopy

SECRET = "correct horse"
HERE = Location(url="acme://shelf/1")


class LibraryError(Exception):
    """An error of a client library."""


class AcmeConfig(PluginConfig):
    """Options."""

    password: SecretStr = SecretStr(SECRET)
    keys: dict[str, list[SecretStr]] = {"more": [SecretStr("battery staple")]}


class Acme(Plugin[AcmeConfig]):
    """Use no base, and raise one error everywhere."""

    errors: ClassVar[Any] = {LibraryError: "look at the library"}
    error: BaseException

    def _fail(self) -> NoReturn:
        raise self.error

    @hookimpl
    def stage(self) -> ImageData:
        return ImageData.from_chunks(self._fail)

    @hookimpl
    def transform(self) -> Image:
        self._fail()

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        ctx.announce(HERE)
        total = sum(map(len, image.data.chunks()))
        return StagedCopy(HERE, total, self._fail, self._fail)

    @hookimpl
    def store_read(self) -> ImageData:
        self._fail()

    @hookimpl
    def store_delete(self) -> None:
        self._fail()


def step(error: BaseException, *, is_store: bool) -> BoundStep:
    plugin = Acme(AcmeConfig())
    plugin.error = error
    return BoundStep.bind("shelf", "acme 1.0", plugin, is_store=is_store)


def image() -> Image:
    return Image(RECORD, ImageData.from_chunks(lambda: iter([b"x"])))


def calls_of_a_store(tmp_path: Path) -> dict[str, Any]:
    ctx = make_host(tmp_path)
    return {
        "publish": lambda store: store.store_write(image(), ctx).publish(),
        "discard": lambda store: store.store_write(image(), ctx).discard(),
        "store_read": lambda store: store.store_read(HERE, ctx),
        "store_delete": lambda store: store.store_delete(HERE, ctx),
    }


def raised(call: Any, error: BaseException, *, is_store: bool) -> ImageportError:
    with pytest.raises(ImageportError) as caught:
        call(step(error, is_store=is_store))
    assert caught.value.__cause__ is error
    assert caught.value.where() == f"{'store' if is_store else 'step'} 'shelf' (acme 1.0)"
    return caught.value


def of_system(number: int, *names: str) -> OSError:
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize("hook", ["publish", "discard", "store_read", "store_delete"])
@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (
            of_system(errno.ENOSPC),
            "cannot use store 'shelf': No space left on device",
            "free space for store 'shelf'",
        ),
        (
            of_system(errno.EDQUOT, "/srv/x"),
            "cannot use /srv/x: Disk quota exceeded",
            "free space for /srv/x",
        ),
        (of_system(errno.EACCES, "/srv/x"), "cannot use /srv/x: Permission denied", "let the user with id"),
        (of_system(errno.EIO), "cannot use store 'shelf': Input/output error", "check the disk"),
        (
            TimeoutError("timed out"),
            "cannot use store 'shelf': timed out",
            "check that the server of the store",
        ),
        (LibraryError("odd"), "cannot use store 'shelf': odd", "look at the library"),
    ],
    ids=repr,
)
def test_a_store_without_a_base_fails_as_one_with_a_base(
    tmp_path: Path, hook: str, error: Exception, message: str, hint: str
) -> None:
    failed = raised(calls_of_a_store(tmp_path)[hook], error, is_store=True)
    assert isinstance(failed, StoreFailed)
    assert failed.exit_code == 6
    assert failed.message == message
    assert failed.hint.startswith(hint)
    assert "defect" not in failed.hint


@pytest.mark.parametrize(
    ("error", "in_transform", "in_stream"),
    [
        (of_system(errno.ENOSPC), "limit-exceeded", "limit-exceeded"),
        (of_system(errno.EDQUOT), "limit-exceeded", "limit-exceeded"),
        (of_system(errno.EIO), "transform-failed", "source-unavailable"),
        (of_system(errno.EACCES), "transform-failed", "source-unavailable"),
        (ConnectionResetError("reset"), "transform-failed", "source-unavailable"),
        (TimeoutError("timed out"), "transform-failed", "source-unavailable"),
        (of_system(errno.EINVAL), "step-crashed", "step-crashed"),
        (of_system(errno.EBADF), "step-crashed", "step-crashed"),
        (ValueError("?"), "step-crashed", "step-crashed"),
    ],
    ids=repr,
)
def test_errors_of_the_machine_are_not_defects_of_a_step(
    tmp_path: Path, error: Exception, in_transform: str, in_stream: str
) -> None:
    ctx = make_host(tmp_path)

    def read(step: BoundStep) -> None:
        data = step.stage(Source(method="m"), RECORD, ctx)
        list(step.guard(data.chunks(), "stage", ctx.limits))

    for call, code in ((lambda step: step.transform(image(), ctx), in_transform), (read, in_stream)):
        failed = raised(call, error, is_store=False)
        assert failed.code == code
        assert ("defect" in failed.hint) == (code == "step-crashed")


@pytest.mark.parametrize("is_store", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"login with {SECRET} failed"),
        StoreFailed(f"login with {SECRET} failed", hint="not with battery staple, nor with correct%20horse"),
        OSError(errno.EACCES, f"login with {SECRET} failed"),
        SystemExit(f"login with {SECRET} failed"),
    ],
    ids=repr,
)
def test_no_error_shows_a_secret_option(tmp_path: Path, error: BaseException, is_store: bool) -> None:
    call = calls_of_a_store(tmp_path)["store_delete"]
    with pytest.raises(ImageportError) as caught:
        call(step(error, is_store=is_store))
    shown = f"{caught.value} {caught.value.hint} {caught.value!r}"
    assert "login with *** failed" in shown
    assert "horse" not in shown
    assert "battery" not in shown
