from __future__ import annotations

from collections import Counter

from tests.contract.scenarios import LAST, WITHOUT_TEST, written

#: To be emptied, and then deleted.
NOT_YET_WRITTEN = frozenset({*range(1, 22), *range(71, 74), 76, *range(98, 103)})


def test_every_scenario_has_exactly_one_test() -> None:
    tests = Counter(scenario.number for scenario in written())
    assert [number for number, count in tests.items() if count > 1] == []
    assert set(range(1, LAST + 1)) - set(tests) - WITHOUT_TEST - NOT_YET_WRITTEN == set()
    assert set(tests) <= set(range(1, LAST + 1)) - WITHOUT_TEST


def test_every_test_says_what_its_scenario_is() -> None:
    assert [scenario.test for scenario in written() if not scenario.text.endswith(".")] == []
