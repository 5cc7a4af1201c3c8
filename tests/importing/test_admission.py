"""Values that no database can keep are refused before anything starts, and the name comes from the address."""

from __future__ import annotations

from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import Caller
from imageport.errors import ExitCode
from imageport.importing.admission import ImportRequest


@pytest.mark.parametrize("text", ["a\0b", "a\udcffb"])
@pytest.mark.parametrize(
    ("what", "fields"),
    [
        ("name", lambda text: {"name": text}),
        ("property", lambda text: {"properties": {text: "value"}}),
        ("property", lambda text: {"properties": {"key": text}}),
        ("user", lambda text: {"caller": Caller(user=text)}),
        ("project", lambda text: {"caller": Caller(user="u", project=text)}),
        ("role", lambda text: {"caller": Caller(user="u", roles=frozenset({text}))}),
    ],
)
def test_arguments_that_are_not_text_are_refused_before_the_import_starts(
    desk: Desk, what: str, fields: Any, text: str
) -> None:
    method = Bytes(b"content")
    request = ImportRequest(**{"caller": Caller(user="tester"), **fields(text)})
    report = desk.run(method, Shelf("one"), request=request)
    assert report.exit_code == ExitCode.USAGE
    assert report.error is not None
    assert report.error.message == f"{what} {text!a} is not text"
    assert not method.read
    assert not desk.catalog.list_images()
