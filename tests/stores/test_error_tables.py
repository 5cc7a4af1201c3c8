"""The errors of a store become failures of the store, by a table."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport import StoreFailed
from imageport.stores import Errors, retry
from imageport.stores.remedies import remedy_for
from imageport.testing import MemoryStore
from imageport.testing.benches import bench
from imageport.testing.memory_store import MemoryCopy
from imageport.testing.streams import Stream


class LibraryError(Exception):
    """An error of the library."""


class NoSuchBucket(LibraryError):
    """A bucket is missing."""


class ServerBusy(LibraryError):
    """A server has too much to do."""


class Unlisted(Exception):
    """An error that is in no table."""


class Bucket(MemoryStore):
    """Raise an error when the first bytes come."""

    errors: ClassVar[Errors] = {
        NoSuchBucket: "make the bucket",
        ServerBusy: retry("wait"),
        LibraryError: lambda error: f"the code is {error.args[0]}",
        PermissionError: "correct the rights of the key",
        UnicodeError: lambda _error: StoreFailed("the text is wrong", hint="correct it"),
        ZeroDivisionError: lambda error: error.missing,
        LookupError: retry,
        "json.decoder.JSONDecodeError": "the server does not speak JSON",
    }
    raised: ClassVar[BaseException]

    def write(self, copy: MemoryCopy, chunk: Any) -> None:
        raise self.raised


class SmallBucket(Bucket):
    """Extend the table of the base."""

    errors: ClassVar[Errors] = {NoSuchBucket: "make the small bucket"}


def failure(tmp_path: Path, error: BaseException, kind: type[Bucket] = Bucket) -> StoreFailed:
    kind.raised = error
    with bench(kind, {}, tmp_path, is_store=True) as store, pytest.raises(StoreFailed) as caught:
        store.write(Stream(b"bytes").data())
    assert caught.value.__cause__ is error
    assert kind.hidden == []
    return caught.value


@pytest.mark.parametrize(
    ("error", "message", "hint", "again"),
    [
        (NoSuchBucket("404"), "404", "make the bucket", False),
        (ServerBusy("503"), "503", "wait", True),
        (LibraryError("502"), "502", "the code is 502", False),
        (KeyError("part"), "'part'", StoreFailed.advice, True),
        (LibraryError(), "LibraryError", StoreFailed.advice, False),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "Permission denied",
            "correct the rights of the key",
            False,
        ),
        (ZeroDivisionError("by zero"), "by zero", StoreFailed.advice, False),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "No space left on device",
            "free space for",
            False,
        ),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded", "free space for", False),
        (
            ConnectionResetError(errno.ECONNRESET, "Connection reset"),
            "Connection reset",
            "check that the server",
            True,
        ),
        (TimeoutError("timed out"), "timed out", "check that the server", True),
    ],
    ids=lambda value: repr(value) if isinstance(value, Exception) else "",
)
def test_each_error_of_the_table_has_its_remedy(
    tmp_path: Path, error: Exception, message: str, hint: str, again: bool
) -> None:
    failed = failure(tmp_path, error)
    assert failed.message == f"cannot use memory://default/8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01: {message}"
    assert failed.hint.startswith(hint)
    assert failed.retry is again
    assert failed.exit_code == 6


def test_a_function_of_the_table_may_make_the_whole_failure(tmp_path: Path) -> None:
    failed = failure(tmp_path, UnicodeError("no text"))
    assert (failed.message, failed.hint) == ("the text is wrong", "correct it")


def test_a_store_extends_the_table_of_its_base(tmp_path: Path) -> None:
    assert failure(tmp_path, NoSuchBucket("404"), SmallBucket).hint == "make the small bucket"
    assert failure(tmp_path, ServerBusy("503"), SmallBucket).hint == "wait"
    assert failure(tmp_path, NoSuchBucket("404")).hint == "make the bucket"
    assert remedy_for(OSError(), SmallBucket.errors) is not None


def test_an_error_of_no_table_is_a_defect_of_the_store(tmp_path: Path) -> None:
    Bucket.raised = Unlisted("?")
    with (
        bench(Bucket, {}, tmp_path, is_store=True) as store,
        pytest.raises(Exception, match="Unlisted in store_write"),
    ):
        store.write(Stream(b"bytes").data())
    assert Bucket.hidden == []


def test_a_class_may_be_named_instead_of_imported(tmp_path: Path) -> None:
    error = failure(tmp_path, json.JSONDecodeError("no value", "", 0))
    assert error.hint == "the server does not speak JSON"
