from __future__ import annotations

import pytest

from imageport_glance.from_glance.policies import convert_rule

RULES = {"context_is_admin": "role:admin", "default": "", "mine": "project_id:%(project_id)s"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", "@"),
        ("@", "@"),
        ("!", "!"),
        ("role:admin", "role:admin"),
        ("rule:context_is_admin or role:ops", "role:admin or role:ops"),
        ("is_admin:True", "role:admin"),
        ("role:member and (rule:mine or 'public':%(visibility)s)",
         "role:member and owner or role:member and visibility:public"),
        ("(role:a or role:b) and (role:c or role:d)",
         "role:a and role:c or role:a and role:d or role:b and role:c or role:b and role:d"),
        ("((tenant:%(owner)s))", "owner"),
        ("role:a OR role:a", "role:a"),
        ("rule:default", "@"),
    ],
)  # fmt: skip
def test_a_rule_is_written_without_brackets(text: str, meant: str) -> None:
    assert convert_rule(text, RULES) == meant


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("not role:admin", "'not' cannot be expressed"),
        ("http://example.org/policy", "cannot be expressed"),
        ("project_id:%(member_id)s", "cannot be expressed"),
        ("rule:unknown", "there is no rule 'unknown'"),
        ("role:a or", "not complete"),
        ("(role:a", "a bracket is not closed"),
        ("role:a role:b", "'role:b' is not understood where it stands"),
        ("role:a)", "is not understood where it stands"),
        ("(" * 1000 + "role:a" + ")" * 1000, "nested too deeply"),
    ],
    ids=["not", "http", "member", "unknown", "open end", "bracket", "no link", "closed", "deep"],
)
def test_a_rule_that_cannot_be_expressed_is_reported(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        convert_rule(text, RULES)
    assert complaint in str(raised.value)


def test_rules_that_refer_to_each_other_end() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        convert_rule("rule:a", {"a": "rule:b", "b": "rule:a"})


def test_rules_that_multiply_are_refused_at_once() -> None:
    rules = {"r0": "role:x or role:y"}
    for number in range(1, 4):
        rules[f"r{number}"] = (
            f"(rule:r{number - 1} or role:n{number}) and (rule:r{number - 1} or role:m{number})"
        )
    with pytest.raises(ValueError, match="more than 32 alternatives"):
        convert_rule("rule:r3", rules)
