from __future__ import annotations

from tests.contract.scenarios import LAST, written


def test_every_scenario_has_exactly_one_test() -> None:
    assert [scenario.number for scenario in written()] == list(range(1, LAST + 1))


def test_every_test_describes_its_scenario() -> None:
    assert [scenario.test for scenario in written() if not scenario.text.endswith(".")] == []
