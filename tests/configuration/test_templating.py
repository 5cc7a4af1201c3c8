from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageport.configuration.templating import MAX_SECRET_SIZE, DeferredVariables, Variables, expand_tree
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid, Problem
from imageport.redaction import redact

URI = "https://user@images.example:8443/debian/12%2B1/disk%20image.qcow2?token=a/b#part"


def variables(
    source_uri: str | None = URI,
    values: dict[str, str] | None = None,
    defaults: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    folder: Path = Path(),
) -> Variables:
    return Variables(source_uri, values or {}, defaults or {}, environ or {}, folder)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("{source.uri}", URI),
        ("{source.dir}/SHA512SUMS", "https://user@images.example:8443/debian/12%2B1/SHA512SUMS"),
        ("{source.name}", "disk image.qcow2"),
        ("{{source.name}}", "{source.name}"),
        ("{{{source.name}}}", "{disk image.qcow2}"),
        ("a}}b{{c", "a}b{c"),
    ],
)
def test_variables_of_the_source_are_filled_in(text: str, expanded: str) -> None:
    assert variables().expand(text) == expanded


@pytest.mark.parametrize(
    ("uri", "folder", "name"),
    [
        ("/srv/images/a%20b.img", "/srv/images", "a%20b.img"),
        ("images/a?b#c.img", "images", "a?b#c.img"),
        ("a.img", ".", "a.img"),
        ("/a.img", "/", "a.img"),
        ("-", ".", "-"),
        ("https://images.example", "https://images.example", ""),
        ("https://images.example/a.img", "https://images.example", "a.img"),
        ("https://images.example/pool/", "https://images.example/pool", ""),
    ],
)
def test_folder_and_name_come_from_urls_and_paths(uri: str, folder: str, name: str) -> None:
    names = variables(source_uri=uri)
    assert (names.expand("{source.dir}"), names.expand("{source.name}")) == (folder, name)


def test_set_values_come_before_defaults_and_are_taken_as_they_are() -> None:
    names = variables(values={"a": "{env.TOKEN}"}, defaults={"a": "1", "b": "{var.a}2{source.name}"})
    assert names.expand("{var.a} {var.b}") == "{env.TOKEN} {env.TOKEN}2disk image.qcow2"
    assert names.used == {"a", "b"}
    assert not names.secrets


def test_values_of_the_environment_and_of_files_are_secrets(tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("  s3cret\n")
    names = variables(
        environ={"PASSWORD": "hunter2", "EMPTY": ""}, defaults={"both": "{env.PASSWORD}"}, folder=tmp_path
    )
    absolute = f"{{file.{tmp_path}/token.txt}}"
    assert names.expand(f"{{var.both}}:{{file.token.txt}}:{absolute}{{env.EMPTY}}") == "hunter2:s3cret:s3cret"
    assert names.secrets == {"hunter2", "s3cret"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{source.nme}", "unknown variable '{source.nme}' (did you mean 'name'?)"),
        (
            "{var.releese}",
            "no variable 'releese' (did you mean 'release'?): "
            "pass --set releese=VALUE or give a default under 'vars'",
        ),
        ("{var.loop}", "variable 'loop' is defined by itself"),
        ("{env.PASSWRD}", "environment variable 'PASSWRD' is not set (did you mean 'PASSWORD'?)"),
        ("{file.nothing.txt}", "'{file.nothing.txt}': there is no such file"),
        ("a { b", "a single '{': write '{{' for the character itself"),
        ("a } b", "a single '}': write '}}' for the character itself"),
    ],
)
def test_what_cannot_be_filled_in_is_reported(text: str, message: str) -> None:
    names = variables(defaults={"release": "12", "loop": "{var.loop}"}, environ={"PASSWORD": "x"})
    with pytest.raises(ValueError) as caught:
        names.expand(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["{}", "{a,b}", "{sources.dir}", "{var.}", "{env.}", "{file.}", "{var}"])
def test_an_unknown_variable_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        variables().expand(text)
    assert str(caught.value) == (
        f"unknown variable '{text}' (there are {{source.uri}}, {{source.dir}}, {{source.name}}, {{var.NAME}}, "
        "{env.NAME}, {file.PATH}); write '{{' and '}}' for the characters themselves"
    )


def test_a_source_variable_without_a_source_is_reported() -> None:
    with pytest.raises(ValueError) as caught:
        variables(source_uri=None).expand("{source.dir}/x")
    assert str(caught.value) == "'{source.dir}' needs a source: give its address on the command line"


def test_a_secret_file_must_be_a_small_text_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 30)
    for name, message in {
        "pipe": "'{file.pipe}': there is no such file",
        "binary": "'{file.binary}': the file is not UTF-8 text",
        "large": f"'{{file.large}}': the file is larger than {MAX_SECRET_SIZE} bytes",
    }.items():
        with pytest.raises(ValueError) as caught:
            variables(folder=tmp_path).expand(f"{{file.{name}}}")
        assert str(caught.value) == message


def test_variables_that_multiply_each_other_are_stopped() -> None:
    defaults = {f"v{n}": "{{var.v{0}}}{{var.v{0}}}".format(n - 1) for n in range(1, 100)}
    assert variables(defaults=defaults | {"v0": ""}).expand("{var.v99}") == ""
    with pytest.raises(ValueError) as caught:
        variables(defaults=defaults | {"v0": "x"}).expand("{var.v99}")
    assert str(caught.value) == "the file has more than 4194304 characters with its variables filled in"


@pytest.mark.parametrize("text", ["a: {large}\nb: [{uses}]\n", "a: &x '{{{{{large}'\nb: [{aliases}]\n"])
def test_all_texts_of_a_file_share_one_limit_and_passing_it_ends_the_reading(text: str) -> None:
    large = "x" * 10_000
    content = text.format(large=large, uses="'{var.v}', " * 1000, aliases="*x, " * 1000)
    file = YamlFile.parse(content, "p.yaml")
    with pytest.raises(PipelineInvalid) as caught:
        expand_tree(file, file.data, variables(values={"v": large}), [])
    [problem] = caught.value.problems
    assert problem.message == "the file has more than 4194304 characters with its variables filled in"


def lasting(values: dict[str, str], defaults: dict[str, str]) -> DeferredVariables:
    return DeferredVariables(URI, values, defaults, {})


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{source.name}/{env.A}", "disk image.qcow2/{env.A}"),
        ("{file.key}{{env.A}}", "{file.key}{{env.A}}"),
        ("{var.given}", "{{env.B}}"),
        ("{var.default}", "{{env.B}}-{env.C}-{{}}"),
    ],
)
def test_what_lasts_are_references_to_the_environment_and_files(text: str, kept: str) -> None:
    names = lasting({"given": "{env.B}"}, {"default": "{var.given}-{env.C}-{{}}"})
    assert names.expand(text) == kept


@given(
    st.lists(st.sampled_from(["{var.a}", "{var.b}", "{env.A}", "{source.name}", "{{", "}}", "x"])).map(
        "".join
    )
)
def test_what_lasts_is_expanded_later_to_the_same(text: str) -> None:
    values, defaults, environ = {"a": "{env.A}{{"}, {"b": "{{env.A}}{env.A}{var.a}"}, {"A": "{}"}
    now = variables(values=values, defaults=defaults, environ=environ).expand(text)
    later = Variables(None, {}, {}, environ, scopes=("env", "file"))
    assert later.expand(lasting(values, defaults).expand(text)) == now


def test_a_tree_is_expanded_and_every_mistake_has_its_position() -> None:
    file = YamlFile.parse("a: '{var.x}'\nb: [1, '{var.y}', '{', ~]\nc: {d: '{env.NO}'}\n", "p.yaml")
    problems: list[Problem] = []
    tree = expand_tree(file, file.data, variables(values={"x": "1", "y": "2"}), problems)
    assert tree == {"a": "1", "b": [1, "2", "{", None], "c": {"d": "{env.NO}"}}
    assert [str(problem) for problem in problems] == [
        "p.yaml:2:19: b.2: a single '{': write '{{' for the character itself",
        "p.yaml:3:5: c.d: environment variable 'NO' is not set",
    ]


def test_secrets_are_redacted_the_longest_first() -> None:
    assert redact("token abcdef of abcd", {"abcd", "abcdef"}) == "token *** of ***"


def test_each_line_of_a_secret_is_redacted() -> None:
    assert redact(r"key 'abcd\nefgh'", {"abcd\nefgh"}) == r"key '***\n***'"


def test_secrets_of_up_to_three_characters_stay() -> None:
    assert redact("an abc", {"abc", ""}) == "an abc"


@given(st.text())
def test_doubled_braces_give_the_text_back(text: str) -> None:
    assert variables().expand(text.replace("{", "{{").replace("}", "}}")) == text


@given(st.text(alphabet="{}.vsaruoce ") | st.text(), st.text())
def test_any_text_expands_or_raises_value_error(text: str, uri: str) -> None:
    try:
        assert isinstance(variables(source_uri=uri, defaults={"a": text}).expand(text), str)
    except ValueError as error:
        assert str(error)
