from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from imageport import Caller
from imageport.access.protection import OPERATIONS, PropertyProtections, Protections
from imageport.configuration.site_file import load_site
from imageport.errors import PipelineInvalid
from imageport.values import ImageRecord

RECORD = ImageRecord(id="1", owner="ada")

FILE = """
# The first section that fits decides.
[^x_owner_.*]
create = Admin, member
read = admin,member
update = admin
delete =

[x_]
create = @
read = @
update = !
delete = admin, !

[DEFAULT]
create = stranger
"""


def protections(text: str, tmp_path: Path, **settings: object) -> Protections:
    file = tmp_path / "property-protections.conf"
    file.write_text(dedent(text))
    return Protections(PropertyProtections.model_validate({"file": file, **settings}))


def allowed(rules: Protections, name: str, *roles: str) -> list[str]:
    caller = Caller(user="ada", roles=frozenset(roles))
    return [operation for operation in OPERATIONS if rules.allow(operation, name, caller, RECORD)]


@pytest.mark.parametrize(
    ("name", "roles", "may"),
    [
        ("x_owner_a", ["member"], ["create", "read"]),
        ("x_owner_a", ["ADMIN"], ["create", "read", "update"]),
        ("x_owner_a", ["guest"], []),
        ("a_x_owner_a", ["guest"], ["create", "read"]),
        ("a_x_b", ["admin"], ["create", "read"]),
        ("a_x_b", ["!", "@"], ["create", "read"]),
        ("other", ["admin"], []),
    ],
)
def test_the_first_section_that_is_found_in_the_name_decides(
    tmp_path: Path, name: str, roles: list[str], may: list[str]
) -> None:
    assert allowed(protections(FILE, tmp_path), name, *roles) == may


def test_only_names_that_begin_so_are_reserved(tmp_path: Path) -> None:
    rules = protections(FILE, tmp_path)
    assert allowed(rules, "os_glance_failed_import", "guest") == ["read"]
    assert allowed(rules, "my_os_glance_x", "admin") == []
    assert allowed(Protections(None), "os_glance_failed_import", "admin") == ["read"]


def test_without_a_file_every_property_is_free() -> None:
    assert allowed(Protections(None), "anything") == list(OPERATIONS)


def test_a_file_of_policies_names_rules(tmp_path: Path) -> None:
    text = "[.*]\ncreate = creator\nread = @\nupdate = mine\ndelete = !\n"
    rules = protections(
        text, tmp_path, format="policies", rules={"creator": "role:admin or role:builder", "mine": "owner"}
    )
    assert allowed(rules, "a", "builder") == ["create", "read", "update"]
    assert allowed(rules, "a", "creator", "mine") == ["read", "update"]


def test_a_role_is_not_a_rule_of_the_same_name(tmp_path: Path) -> None:
    text = "[.*]\ncreate = builder\nread = builder\nupdate = builder\ndelete = builder\n"
    assert allowed(protections(text, tmp_path, rules={"builder": "@"}), "a", "member") == []


@pytest.mark.parametrize(
    ("text", "settings", "mistakes"),
    [
        ("", {}, ["1:1: no [section]: no caller could use any property; write one, such as [.*]"]),
        ("create = @\n", {}, ["1:1: a line before the first [section]"]),
        ("[.*]\ncreate\n", {}, ["2:1: this line does not have the form 'create = ROLES'"]),
        ("[a]\n[b]\n[a]\n", {}, ["3:1: there is a section [a] already"]),
        ("[a]\ncreate = @\ncreate = !\n", {}, ["3:1: [a] has 'create' already"]),
        (
            "[a]\ncreate=@\nread=@\nupdate=@\n\n[b(]\ncreate=@\nread=admin, @, !\nupdate=@\nDelete=@\n",
            {},
            [
                "1:1: [a] lacks 'delete': write 'delete = !' for no caller",
                "6:1: [b(] is not a regular expression: missing ), unterminated subpattern at position 1",
                "8:1: 'read' has both '@' (all callers) and '!' (none)",
            ],
        ),
        (
            "[a]\ncreate = maker\nread = @\nupdate = a, b\ndelete = @\n",
            {"format": "policies", "rules": {"makers": "@"}},
            [
                "2:1: property_protections.rules has no rule 'maker' (did you mean 'makers'?)",
                "4:1: property_protections.rules has no rule 'a, b' (there are: makers)",
            ],
        ),
    ],
)
def test_all_mistakes_are_reported_with_their_lines(
    tmp_path: Path, text: str, settings: dict[str, object], mistakes: list[str]
) -> None:
    with pytest.raises(PipelineInvalid) as caught:
        protections(text, tmp_path, **settings)
    file = tmp_path / "property-protections.conf"
    assert str(caught.value).splitlines() == [f"{file}:{mistake}" for mistake in mistakes]


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "this is not UTF-8 text"),
        (b"#" * (1 << 20) + b"\n", "the file is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_stops_every_command(
    tmp_path: Path, content: bytes | None, mistake: str
) -> None:
    if content is not None:
        (tmp_path / "p.conf").write_bytes(content)
    (tmp_path / "imageport.yaml").write_text("property_protections: {file: p.conf}\n")
    with pytest.raises(PipelineInvalid) as caught:
        load_site(None, environ={"HOME": "/home/kim"}, cwd=tmp_path)
    assert str(caught.value) == f"{tmp_path}/p.conf:1:1: {mistake}"
