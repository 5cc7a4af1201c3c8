from __future__ import annotations

from pathlib import Path

import pytest

from imageport.errors import PipelineInvalid
from imageport_glance.from_glance import values
from imageport_glance.from_glance.oslo_file import parse, read_text
from imageport_glance.from_glance.settings import Settings


def found(text: str) -> dict[str, str]:
    return {f"{setting.section}.{setting.name}": setting.text for setting in parse(text, "x.conf")}


def expanded(text: str, section: str, name: str) -> str:
    settings = Settings(parse(text, "x.conf"))
    leaf = settings.leaf(section, name, values.text)
    assert leaf is not None, settings.problems
    return str(leaf.value)


def refused(text: str, section: str, name: str) -> str:
    settings = Settings(parse(text, "x.conf"))
    assert settings.leaf(section, name, values.text) is None
    (problem,) = settings.problems
    return str(problem)


def test_options_are_read_as_oslo_config_reads_them() -> None:
    text = """\
# a comment
; another
[DEFAULT]
plain = value
colon: of = two
empty =
quoted = " kept "
long = one,
  two,
\tthree

[other]
plain=100%% of %(this)s  # and this
"""
    assert found(text) == {
        "DEFAULT.plain": "value",
        "DEFAULT.colon": "of = two",
        "DEFAULT.empty": "",
        "DEFAULT.quoted": " kept ",
        "DEFAULT.long": "one,\ntwo,\nthree",
        "other.plain": "100%% of %(this)s  # and this",
    }


def test_each_option_knows_its_line() -> None:
    assert [setting.line for setting in parse("[a]\n\nb = 1\n  2\nc = 3\n", "x.conf")] == [3, 5]


def test_the_last_of_several_settings_counts_whatever_the_case_of_the_section() -> None:
    settings = Settings(parse("[Default]\na = 1\n[DEFAULT]\na = 2\n", "x.conf"))
    assert [setting.text for setting in settings] == ["2"]
    assert [setting.text for setting in settings.every("DEFAULT", "a")] == ["1", "2"]


def test_variables_stand_for_other_options() -> None:
    text = "[DEFAULT]\nroot = /srv\nhere = $root/${glance.name}/$$1/\\$2\n[glance]\nname = g-$root\n"
    assert expanded(text, "DEFAULT", "here") == "/srv/g-/srv/$1/$2"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[a]\nb = $nothing", "x.conf:2:1: [a] b: $nothing is set in none of these files"),
        ("[a]\nb = $c\nc = $b", "x.conf:2:1: [a] b: x.conf [a] b is defined by itself"),
    ],
    ids=["unknown", "circle"],
)
def test_a_variable_without_value_is_reported(text: str, complaint: str) -> None:
    assert complaint in refused(text, "a", "b")


def test_variables_that_grow_without_end_are_refused() -> None:
    lines = ["v0 = 0123456789"]
    lines += [f"v{number} = {f'$v{number - 1}' * 10}" for number in range(1, 12)]
    assert "longer than 65536 characters" in refused("[a]\n" + "\n".join(lines), "a", "v11")


def test_variables_that_grow_to_nothing_take_no_time() -> None:
    lines = ["v0 = $$"] + [f"v{number} = {f'$v{number - 1}' * 8}" for number in range(1, 5)]
    assert expanded("[a]\n" + "\n".join(lines), "a", "v4") == "$" * 4096


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("a = 1", 1, "before the first [section]"),
        ("[a]\nwhat is this", 2, "an option is written name = value"),
        ("[a]\n= 1", 2, "an option is written name = value"),
        ("[a\nb = 1", 1, "a section is written [name]"),
        ("[]", 1, "a section is written [name]"),
        ("[a]\n  b = 1", 2, "this line continues nothing"),
        ("[a]\nb = \x1b[2J", 2, "cannot be printed"),
        ("[a]\nb = \x00", 2, "cannot be printed"),
    ],
    ids=["outside", "words", "nameless", "open", "empty", "indented", "escape", "zero"],
)
def test_a_mistake_is_reported_with_its_line(text: str, line: int, complaint: str) -> None:
    with pytest.raises(PipelineInvalid) as raised:
        parse(text, "x.conf")
    assert str(raised.value).startswith(f"x.conf:{line}:1:")
    assert complaint in str(raised.value)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(PipelineInvalid) as raised:
        parse("[a]\none\ntwo\n", "x.conf")
    assert [problem.line for problem in raised.value.problems] == [2, 3]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[a]\nb = \xff\n", ":2:1: this is not UTF-8 text"),
        (b"#" * ((1 << 20) + 1), ":1:1: the file is larger than 1048576 bytes"),
    ],
    ids=["not text", "large"],
)
def test_content_that_is_not_text_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "x.conf").write_bytes(content)
    with pytest.raises(PipelineInvalid, match=complaint):
        read_text(str(tmp_path / "x.conf"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("[a, b]", ["a", "b"]),
        ("a,\nb,", ["a", "b"]),
        ("['a', \"b\"]", ["a", "b"]),
        ("[]", []),
        ("", []),
    ],
)
def test_lists_are_written_in_several_ways(text: str, meant: list[str]) -> None:
    assert values.words(text) == meant


def test_half_a_bracket_is_not_a_list() -> None:
    with pytest.raises(ValueError, match="a list is written"):
        values.words("[a, b")


def test_a_value_of_a_pair_may_hold_colons() -> None:
    assert values.pairs("a:b:c, d:") == {"a": "b:c", "d": ""}


@pytest.mark.parametrize("text", ["a", ":b", "a:1,b", '"":x', "n" * 256 + ":1"])
def test_text_that_is_not_a_pair_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not name:value"):
        values.pairs(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", "0 B"), ("5", "5 B"), ("1500B", "1500 B"), ("4KB", "4 KiB"), ("10GB", "10 GiB"), ("2TB", "2 TiB"),
    ],
)  # fmt: skip
def test_quotas_count_in_powers_of_1024(text: str, size: str) -> None:
    assert values.quota(text) == size
