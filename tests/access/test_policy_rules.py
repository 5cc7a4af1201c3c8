from __future__ import annotations

import pytest
from pydantic import ValidationError

from imageport import Caller
from imageport.access.policy import Policy, allows
from imageport.values import ImageRecord

MINE = ImageRecord(id="1", owner="web", visibility="private")
PUBLIC = ImageRecord(id="2", owner="ops", visibility="public")


@pytest.mark.parametrize(
    ("rule", "mine", "public"),
    [
        ("@", True, True),
        ("!", False, False),
        ("owner", True, False),
        ("visibility:public", False, True),
        ("visibility:shared", False, False),
        ("role:member", True, True),
        ("role:MEMBER", True, True),
        ("role:admin", False, False),
        ("role:admin or role:member and owner", True, False),
        ("owner and role:admin or visibility:public", False, True),
        ("owner and role:member and visibility:private", True, False),
        ("  owner   or\tvisibility:public ", True, True),
        ("! or @", True, True),
        ("! and @", False, False),
    ],
)
def test_and_binds_tighter_than_or(rule: str, mine: bool, public: bool) -> None:
    caller = Caller(user="ada", project="web", roles=frozenset({"Member"}))
    assert (allows(rule, caller, MINE), allows(rule, caller, PUBLIC)) == (mine, public)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        ("", "'' is not complete"),
        ("owner or", "'owner or' is not complete"),
        ("admin", "'admin' is not understood"),
        ("role:", "'role:' is not understood"),
        ("(owner)", "'(owner)' is not understood"),
        ("not owner and @", "'not' is not understood"),
        ("owner xor @", "'xor' is not understood"),
        ("visibility:secret", "'visibility:secret' is not understood"),
        ("role:a role:b role:c", "'role:b' is not understood"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_when_the_site_file_is_read(rule: str, wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"without brackets") as caught:
        Policy(copy_image=rule)
    assert wrong in str(caught.value)


def test_a_project_owns_what_its_users_make_and_not_what_they_own_themselves() -> None:
    own = ImageRecord(id="3", owner="ada")
    assert allows("owner", Caller(user="ada"), own)
    assert not allows("owner", Caller(user="ada", project="web"), own)
    assert allows("owner", Caller(user="bob", project="web"), MINE)


def test_an_image_without_owner_is_nobodys() -> None:
    assert not allows("owner", Caller(user="ada"), ImageRecord(id="4"))
