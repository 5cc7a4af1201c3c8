"""The table of deadlines covers every hook, and names keys of the site file."""

from __future__ import annotations

import pytest

from imageport.deadlines import DEADLINES
from imageport.errors import ImageportError
from imageport.limits import Limits
from imageport.plugins.hooks import HOOKS


@pytest.mark.parametrize("name", DEADLINES)
def test_each_deadline_has_a_key_of_the_site_file_and_a_hint_with_it(name: str) -> None:
    deadline = DEADLINES[name]
    assert deadline.key in Limits.model_fields
    assert f"limits.{deadline.key} " in deadline.hint
    assert issubclass(deadline.error, ImageportError)
    assert deadline.seconds(Limits.model_validate({deadline.key: 3})) == pytest.approx(3 * deadline.factor)


def test_the_table_has_every_hook() -> None:
    assert {*HOOKS, "setup", "close", "publish", "discard"} <= set(DEADLINES)
