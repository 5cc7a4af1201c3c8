from __future__ import annotations

from tests.contract.scenarios import PAGE, page, written


def test_the_page_of_the_contract_lists_exactly_its_tests_and_all_of_them_passed() -> None:
    again = "pytest tests/contract --contract-page docs/reference/import-contract.md"
    assert PAGE.read_text() == page({scenario.test: "passed" for scenario in written()}), again
