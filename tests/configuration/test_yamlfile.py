from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageport.configuration.yamlfile import MAX_FILE_SIZE, YamlFile
from imageport.configuration.yamlparsing import MAX_VALUES
from imageport.errors import PipelineInvalid


def refusal(text: str) -> str:
    with pytest.raises(PipelineInvalid) as caught:
        YamlFile.parse(text, "p.yaml")
    return str(caught.value)


def refusal_of_file(path: str | Path) -> str:
    with pytest.raises(PipelineInvalid) as caught:
        YamlFile.load(path)
    return str(caught.value)


def test_values_are_plain_and_typed() -> None:
    file = YamlFile.parse("a: {b: [1, 2.5, true, ~, 'x', yes, 0x10]}\n")
    assert file.data == {"a": {"b": [1, 2.5, True, None, "x", "yes", 16]}}
    assert type(file.data) is dict
    assert type(file.data["a"]["b"]) is list
    *plain, hexadecimal = file.data["a"]["b"]
    assert [type(item) for item in plain] == [int, float, bool, type(None), str, str]
    assert isinstance(hexadecimal, int)


@pytest.mark.parametrize("text", ["0755", "1_000", "0x10", "24.10", "1e3", "+5", "007.50", "12", "2.5"])
def test_a_number_has_its_text_in_the_file_as_str(text: str) -> None:
    assert str(YamlFile.parse(f"a: {text}\n").data["a"]) == text


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "1e999", "9223372036854775808", "9" * 400])
def test_a_number_is_finite_and_has_at_most_64_bits(number: str) -> None:
    with pytest.raises(
        PipelineInvalid, match=r"<string>:1:4: a: .* is not a finite number of at most 64 bits"
    ):
        YamlFile.parse(f"a: {number}\n")


@pytest.mark.parametrize("text", ['a: "b\\0c"', '"b\\0c": a', 'a: [x, "\\x00"]', 'a: "\\u0000"'])
def test_a_null_character_is_refused_at_its_position(text: str) -> None:
    with pytest.raises(PipelineInvalid, match=r"<string>:1:\d+: .*a null character is not allowed"):
        YamlFile.parse(text)


def test_dates_and_keys_stay_as_they_were_written() -> None:
    assert YamlFile.parse("2024: 2024-01-01\ntrue: !!str 12\n").data == {"2024": "2024-01-01", "true": "12"}


def test_a_file_may_declare_that_it_is_yaml_1_2() -> None:
    assert YamlFile.parse("%YAML 1.2\n---\na: 1:59\n").data == {"a": "1:59"}


def test_positions_of_keys_and_items_count_from_one() -> None:
    file = YamlFile.parse("a: 1\nb:\n  - x\n  - {c: 1, d: 2}\n")
    assert file.position(()) == (1, 1)
    assert file.position(("b",)) == (2, 1)
    assert file.position(("b", 0)) == (3, 5)
    assert file.position(["b", 1, "d"]) == (4, 12)


def test_the_position_of_something_missing_is_that_of_its_parent() -> None:
    file = YamlFile.parse("a:\n  - b: {c: 1}\n")
    assert file.position(("a", 0, "b", "missing", "deeper")) == (2, 5)
    assert file.position(("nothing",)) == (1, 1)


def test_a_problem_names_file_line_column_and_key() -> None:
    file = YamlFile.parse("steps:\n  - with: {format: x}\n", "p.yaml")
    problem = file.problem(("steps", 0, "with", "format"), "is wrong")
    assert str(problem) == "p.yaml:2:12: steps.0.with.format: is wrong"


def test_control_characters_in_a_problem_are_escaped() -> None:
    file = YamlFile.parse('"a\\e[2J\\n": 1\n', "p.yaml")
    assert str(file.problem(("a\x1b[2J\n",), "got 'x\ry'")) == r"p.yaml:1:1: a\x1b[2J\n: got 'x\ry'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: the file is empty"),
        ("# nothing\n", "1:1: the file is empty"),
        ("- a\n", "1:1: must be a mapping (lines of the form 'key: value')"),
        ("word", "1:1: must be a mapping (lines of the form 'key: value')"),
        (
            "a: 1\nb: [1, 2\n",
            "3:1: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
        ),
        (
            "a: 1\n\tb: 2\n",
            "2:1: not valid YAML: while scanning for the next token, "
            "found character '\\t' that cannot start any token",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "2:1: not valid YAML: expected a single document in the stream, but found another document",
        ),
        ("a: 1\nb: x\0\n", "2:5: not valid YAML: control character"),
        ("a: *b\n", "1:4: not valid YAML: found undefined alias 'b'"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "4:3: b.c: duplicate key: it is already in line 3"),
        ("a: !python/object:os.system x\n", "1:4: a: YAML tags (!python/object:os.system) are not supported"),
        ("a: !!set {x, y}\n", "1:4: a: YAML tags (tag:yaml.org,2002:set) are not supported"),
        ('a: "\\ud800"\n', "1:4: a: half of a surrogate pair is not a character"),
        ("a: !!int x\n", "1:4: a: 'x' is not of type int"),
        ("a: !!float ''\n", "1:4: a: '' is not of type float"),
        ("a: !!bool x\n", "1:4: a: 'x' is not of type bool"),
        ('a: "\\U00110000"\n', "1:1: not valid YAML: chr() arg not in range(0x110000)"),
        (
            "%YAML 1.3\n---\na: 1\n",
            "1:1: not valid YAML: version minor part can only be 2 or 1, got (1, 3)",
        ),
        ("%YAML 1.1\n---\na: 1:59:59\n", "1:1: only YAML 1.2 is supported: remove the %YAML line"),
        ("a:\n  [1]: 2\n", "2:3: a: a key must be text"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "3:3: c.<<: merge keys are not supported"),
    ],
)
def test_a_file_that_is_not_a_plain_mapping_is_refused_with_the_position(text: str, message: str) -> None:
    assert refusal(text) == f"p.yaml:{message}"


def test_all_mistakes_are_reported_at_once_in_order() -> None:
    assert refusal("b: !x 1\na: 1\na: 2\nc: !y 2\n").splitlines() == [
        "p.yaml:1:4: b: YAML tags (!x) are not supported",
        "p.yaml:3:1: a: duplicate key: it is already in line 2",
        "p.yaml:4:4: c: YAML tags (!y) are not supported",
    ]


def test_a_number_too_long_for_python_is_a_mistake() -> None:
    assert refusal(f"a: {'9' * 5000}") == f"p.yaml:1:4: a: '{'9' * 40}' is not of type int"


def test_aliases_stand_for_what_they_name() -> None:
    assert YamlFile.parse("a: &x {k: 1}\nb: [*x, *x]\n").data == {"a": {"k": 1}, "b": [{"k": 1}, {"k": 1}]}


def test_an_anchor_may_be_named_again() -> None:
    assert YamlFile.parse("a: &x 1\nb: &x 2\nc: *x\n").data == {"a": 1, "b": 2, "c": 2}


def test_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    message = f"p.yaml:1:1: more than {MAX_VALUES} values (aliases count as expanded)"
    assert refusal("\n".join(lines)) == message


def test_an_alias_inside_what_it_names_is_refused() -> None:
    assert refusal("a: &x [*x]\n") == "p.yaml:1:4: nested more than 50 levels deep"


@pytest.mark.parametrize("text", ["a: " + "[" * 60 + "]" * 60, "a: " + "[" * 100_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(text).endswith("nested more than 50 levels deep")


def test_a_file_is_known_by_the_name_the_user_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").write_text("a: 1\n")
    monkeypatch.chdir(tmp_path)
    assert YamlFile.load("./p.yaml").path == "./p.yaml"
    assert YamlFile.load(Path("p.yaml")).data == {"a": 1}


def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    missing = tmp_path / "missing.yaml"
    assert refusal_of_file(missing) == f"{missing}:1:1: no such file: check the spelling and the folder"
    assert refusal_of_file(tmp_path) == f"{tmp_path}:1:1: this is not a regular file"
    assert refusal_of_file(tmp_path / "pipe") == f"{tmp_path}/pipe:1:1: this is not a regular file"
    assert refusal_of_file("a\0b") == r"a\x00b:1:1: no such file: check the spelling and the folder"
    assert refusal_of_file("/proc/self/mem") == "/proc/self/mem:1:1: cannot be read: Input/output error"


def test_content_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes("name: ä\nother: ".encode() + b"\xff\xfe\n")
    assert refusal_of_file(path) == f"{path}:2:8: this is not UTF-8 text"


def test_a_file_that_is_too_large_is_refused_without_parsing(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert refusal_of_file(path) == f"{path}:1:1: the file is larger than {MAX_FILE_SIZE} bytes"


FRAGMENTS = [
    "%YAML 1.1\n---\n",
    "!!int ",
    "!!float ",
    "!!bool ",
    "a: ",
    "- ",
    "? ",
    "\n",
    "  ",
    "&x ",
    "*x",
    '"',
]
FRAGMENTS += [
    "\\U0011FFFF",
    "\\xff",
    "0x",
    "1:2",
    "{",
    "}",
    "[",
    "]",
    ",",
    "|",
    ">",
    "...\n",
    "# ",
    "<<: ",
    "'",
]


@given(st.lists(st.sampled_from(FRAGMENTS)).map("".join))
def test_any_pieces_of_yaml_give_a_mapping_or_pipeline_invalid(text: str) -> None:
    try:
        assert isinstance(YamlFile.parse(text).data, dict)
    except PipelineInvalid as error:
        assert error.problems


@given(st.text() | st.text(alphabet="ab:-?[]{}&*!|>'\"%#@`, \n\t<=~0x.eE+_\\"))
def test_any_text_gives_a_mapping_or_pipeline_invalid(text: str) -> None:
    try:
        assert isinstance(YamlFile.parse(text).data, dict)
    except PipelineInvalid as error:
        assert error.problems
        assert "\n" not in str(error.problems[0])


# A key of YAML has at most 1024 characters, escaped.
PLAIN = st.text(st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=100)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(PLAIN, VALUES, max_size=3))
def test_json_is_read_as_json_reads_it(data: object) -> None:
    assert YamlFile.parse(json.dumps(data)).data == data
