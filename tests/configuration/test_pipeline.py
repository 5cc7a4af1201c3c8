from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageport.configuration.pipeline import ConfiguredPipeline, load_pipeline
from imageport.configuration.site_file import load_site
from imageport.errors import PipelineInvalid
from imageport.plugins.registry import PluginRegistry

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

HEAD = "name: p\nsource: {use: acme-fetch}\n"
STORE = "stores: [{use: acme-folder, with: {directory: /srv}}]\n"

Load = Callable[..., ConfiguredPipeline]


@pytest.fixture
def load(acme: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load a pipeline from its text, in a separate folder, beside a site file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def load(text: str, site: str = "{}", **options: Any) -> ConfiguredPipeline:
        Path("p.yaml").write_text(text)
        Path("etc").mkdir(exist_ok=True)
        Path("etc/site.yaml").write_text(site)
        loaded = load_site("etc/site.yaml", environ={"HOME": str(tmp_path)}, cwd=tmp_path)
        return load_pipeline("p.yaml", site=loaded, registry=PluginRegistry.installed(), **options)

    return load


@pytest.fixture
def refusal(load: Load) -> Callable[..., list[str]]:
    """Load a pipeline that has mistakes, and return them without the name of the file."""

    def refusal(text: str, site: str = "{}", **options: Any) -> list[str]:
        with pytest.raises(PipelineInvalid) as caught:
            load(text, site, **options)
        return [str(problem).removeprefix("p.yaml:") for problem in caught.value.problems]

    return refusal


Refusal = Callable[..., list[str]]


def labels(pipeline: ConfiguredPipeline) -> list[str]:
    everything = [pipeline.source, *pipeline.steps, *pipeline.stores, *pipeline.observers]
    return [step.label for step in everything]


def test_a_pipeline_is_read_with_its_plugins_and_options(load: Load, tmp_path: Path) -> None:
    pipeline = load("""
        name: p
        description: All there is.
        source: {use: acme-fetch, uri: "https://images.example/a.img"}
        steps:
          - use: acme-check
          - {use: acme-unpack, id: unpack, with: {level: 2, mode: slow}}
          - use: acme-convert
        stores:
          - {use: acme-folder, id: fast, with: {directory: images/fast}}
          - {use: acme-folder, id: home, with: {directory: ~/images}}
        observers: [{use: acme-watch}]
        all_stores_must_succeed: false
        staging: file
    """)
    assert (pipeline.name, pipeline.path, pipeline.staging) == ("p", "p.yaml", "file")
    assert not pipeline.all_stores_must_succeed
    assert pipeline.source_uri == "https://images.example/a.img"
    assert labels(pipeline) == [
        "acme-fetch",
        "acme-check",
        "unpack",
        "acme-convert",
        "fast",
        "home",
        "acme-watch",
    ]
    unpack = pipeline.steps[1]
    assert (unpack.role, unpack.key_path, unpack.file.path) == ("step", ("steps", 1), "p.yaml")
    assert unpack.installed.distribution == "acme-plugins 2.3"
    assert unpack.plugin_class.__name__ == "Unpack"
    assert unpack.config.model_dump()["level"] == 2
    folders = [store.config.model_dump()["directory"] for store in pipeline.stores]
    assert folders == [tmp_path / "images/fast", tmp_path / "images"]


def test_what_may_be_left_out_has_a_default(load: Load) -> None:
    pipeline = load(HEAD + "steps:\nobservers:\nvars:\n" + STORE)
    assert labels(pipeline) == ["acme-fetch", "acme-folder"]
    assert (pipeline.source_uri, pipeline.staging) == (None, "auto")
    assert pipeline.all_stores_must_succeed
    assert load(HEAD.replace("acme-fetch", "acme-fetch, with: ") + STORE).source.label == "acme-fetch"


def test_every_mistake_is_reported_at_once_by_position(refusal: Refusal) -> None:
    text = """\
nme: p
vars: {release: 12}
source:
  use: acme-fetsh
  uri: [a]
steps:
  - use: acme-unpack
    id: os_glance_x
    wiht: {}
  - use: acme-unpack
    with:
      level: 0
      mode: slwo
      label: 5
      token: "{env.NO_SUCH_TOKEN}"
      lable: x
      nested: {dept: 2}
  - acme-unpack
  - use: acme-folder
  - {use: acme-hookless}
  - {}
stores:
  - {use: acme-folder}
  - fats
  - 7
observers: acme-watch
all_stores_must_succeed: "true"
staging: sometimes
"""
    assert refusal(text, "stores: [{use: acme-folder, id: fast}]") == [
        "1:1: name: is required",
        "1:1: nme: unknown option (did you mean 'name'?)",
        "2:8: vars.release: must be text: put it in quotes",
        "4:3: source.use: unknown plugin 'acme-fetsh' (did you mean 'acme-fetch'?): "
        "see 'imageport plugins list', or pip install the package that supplies it",
        "5:3: source.uri: must be text",
        "8:5: steps.0.id: must not start with os_glance",
        "9:5: steps.0.wiht: unknown option (did you mean 'with'?)",
        "12:7: steps.1.with.level: must be at least 1",
        "13:7: steps.1.with.mode: must be one of fast, slow (did you mean 'slow'?)",
        "14:7: steps.1.with.label: must be text: put it in quotes",
        "15:7: steps.1.with.token: environment variable 'NO_SUCH_TOKEN' is not set",
        "16:7: steps.1.with.lable: unknown option (did you mean 'label'?)",
        "17:16: steps.1.with.nested.dept: unknown option (did you mean 'depth'?)",
        "18:5: steps.2: must be a mapping: write 'use: acme-unpack'",
        "19:5: steps.3.use: plugin 'acme-folder' cannot stand under 'steps': it belongs under 'stores'",
        "20:6: steps.4.use: plugin 'acme-hookless' cannot stand under 'steps': it has no hook that imports call",
        "21:5: steps.5.use: is required",
        "23:5: stores.0.with.directory: is required",
        "24:5: stores.1: etc/site.yaml has no store 'fats' (did you mean 'fast'?)",
        "25:5: stores.2: must be a mapping",
        "26:1: observers: must be a list",
        "27:1: all_stores_must_succeed: must be true or false",
        "28:1: staging: must be one of auto, file, stream",
    ]


@pytest.mark.parametrize(
    ("place", "plugin", "home"),
    [
        ("source", "acme-unpack", "steps"),
        ("source", "acme-folder", "stores"),
        ("steps", "acme-fetch", "source"),
        ("steps", "acme-mirror", "stores"),
        ("stores", "acme-watch", "steps"),
        ("observers", "acme-fetch", "source"),
        ("observers", "acme-check", "steps"),
    ],
)
def test_a_plugin_in_the_wrong_place_is_reported_where_it_belongs(
    refusal: Refusal, place: str, plugin: str, home: str
) -> None:
    entry = f"{{use: {plugin}}}"
    text = f"name: p\nsource: {entry}\n" if place == "source" else f"{HEAD}{place}: [{entry}]\n"
    message = (
        f"{place}{'' if place == 'source' else '.0'}.use: plugin '{plugin}' cannot stand under '{place}': "
    )
    assert any(
        problem.endswith(f"{message}it belongs under '{home}'")
        for problem in refusal(text + STORE * (place != "stores"))
    )


def test_a_broken_plugin_disturbs_only_the_pipelines_that_use_it(
    load: Load, refusal: Refusal, acme: PluginFolder
) -> None:
    acme.install("acme-bad", {"acme-bad": "acme_bad:Bad"}, {"acme_bad": "raise SystemExit(3)"})
    assert labels(load(HEAD + STORE)) == ["acme-fetch", "acme-folder"]
    assert refusal(HEAD + "steps: [{use: acme-bad}]\n" + STORE) == [
        "3:10: steps.0.use: plugin 'acme-bad' of acme-bad 1.0 cannot be imported: SystemExit: 3: "
        "update or uninstall acme-bad"
    ]


def test_a_validator_that_crashes_is_a_mistake_of_that_entry(refusal: Refusal, acme: PluginFolder) -> None:
    source = """
        from pydantic import field_validator
        from imageport import Plugin, PluginConfig, hookimpl

        class Config(PluginConfig):
            factor: int

            @field_validator("factor")
            @classmethod
            def invert(cls, value):
                return 1 // value

        class Odd(Plugin[Config]):
            '''Invert.'''

            @hookimpl
            def transform(self, image): ...
    """
    acme.install("acme-odd", {"acme-odd": "acme_odd:Odd"}, {"acme_odd": source})
    assert refusal(HEAD + "steps:\n  - use: acme-odd\n    with: {factor: 0}\n" + STORE) == [
        "5:5: steps.0.with: plugin 'acme-odd' failed to check its options: "
        "ZeroDivisionError: integer division or modulo by zero"
    ]


# ---------------------------------------------------------------------------------------------------- labels


def test_the_first_of_a_list_has_its_own_position(refusal: Refusal) -> None:
    assert refusal(HEAD + "steps:\n  - acme-check\n" + STORE) == [
        "4:5: steps.0: must be a mapping: write 'use: acme-check'"
    ]


def test_a_plugin_used_twice_gets_a_number(load: Load) -> None:
    steps = "steps: [{use: acme-unpack}, {use: acme-unpack}, {use: acme-unpack, id: acme-unpack-2}]\n"
    assert labels(load(HEAD + steps + STORE))[1:4] == ["acme-unpack", "acme-unpack-3", "acme-unpack-2"]


def test_an_id_given_twice_is_a_mistake(refusal: Refusal) -> None:
    text = f"{HEAD}steps:\n  - {{use: acme-unpack, id: a}}\n  - {{use: acme-unpack, id: b}}\nstores:\n"
    text += "  - {use: acme-folder, id: a, with: {directory: /a}}\n  - b\n  - b\n"
    assert refusal(text, "stores: [{use: acme-folder, id: b, with: {directory: /b}}]") == [
        "7:24: stores.0.id: 'a' is already the id in line 4: choose another one",
        "8:5: stores.1: 'b' is already the id in line 5: choose another one",
        "9:5: stores.2: 'b' is already the id in line 5: choose another one",
    ]


@pytest.mark.parametrize("label", ["-a", "a b", "a/b", "", "a,b", "x" * 65, "ä"])
def test_an_id_is_a_plain_short_word(refusal: Refusal, label: str) -> None:
    rule = "must start with a letter or digit; then letters, digits, '_', '.', '-', at most 64"
    assert refusal(f"{HEAD}steps: [{{use: acme-check, id: '{label}'}}]\n{STORE}") == [
        f"3:27: steps.0.id: {rule}"
    ]


# ----------------------------------------------------------------------------------------------------- stores

SITE = """\
stores:
  - {use: acme-folder, id: fast, with: {directory: fast}}
  - {use: acme-folder, id: slow, with: {directory: /slow}}
"""


def test_shared_stores_are_named_by_id_and_lie_beside_the_site_file(load: Load, tmp_path: Path) -> None:
    pipeline = load(HEAD + "stores: [slow, fast, {use: acme-folder, with: {directory: here}}]\n", SITE)
    slow, fast, own = pipeline.stores
    assert [store.label for store in pipeline.stores] == ["slow", "fast", "acme-folder"]
    assert (fast.file.path, fast.key_path) == ("etc/site.yaml", ("stores", 0))
    assert fast.config.model_dump()["directory"] == tmp_path / "etc" / "fast"
    assert slow.config.model_dump()["directory"] == Path("/slow")
    assert own.config.model_dump()["directory"] == tmp_path / "here"


def test_without_stores_the_default_store_is_used(load: Load) -> None:
    assert labels(load(HEAD, SITE + "default_store: slow\n")) == ["acme-fetch", "slow"]


def test_without_stores_and_default_there_is_nowhere_to_write(refusal: Refusal) -> None:
    assert refusal(HEAD, SITE) == [
        "1:1: stores: no store: name one of fast, slow, or set default_store in etc/site.yaml"
    ]


def test_stores_that_can_only_be_read_cannot_be_targets(refusal: Refusal, load: Load) -> None:
    assert refusal(HEAD + "stores: [{use: acme-mirror}]\n") == [
        "3:1: stores: every store here is read-only: add one that can be written"
    ]
    assert len(load(HEAD + STORE.replace("}]", "}, {use: acme-mirror}]")).stores) == 2


def test_two_stores_of_one_place_are_a_mistake(refusal: Refusal) -> None:
    text = HEAD + "stores:\n  - {use: acme-folder, id: a, with: {directory: /x}}\n"
    assert refusal(text + "  - {use: acme-folder, id: b, with: {directory: /x/}}\n") == [
        "5:5: stores.1: 'b' has the same options as 'a': both would write to one place"
    ]


def test_a_mistake_in_a_shared_store_is_reported_where_it_is(refusal: Refusal) -> None:
    assert refusal(
        HEAD + "stores: [a]\n", "stores:\n  - {use: acme-folder, id: a, with: {directry: x}}\n"
    ) == [
        "etc/site.yaml:2:31: stores.0.with.directory: is required",
        "etc/site.yaml:2:38: stores.0.with.directry: unknown option (did you mean 'directory'?)",
    ]


def test_a_shared_store_that_is_not_used_may_be_wrong(load: Load) -> None:
    site = "stores: [{use: acme-folder, id: a, with: {directory: /a}}, {use: gone, id: b}]"
    assert labels(load(HEAD + "stores: [a]\n", site)) == ["acme-fetch", "a"]


def test_observers_of_the_site_watch_every_pipeline(load: Load) -> None:
    pipeline = load(
        HEAD + STORE + "observers: [{use: acme-watch}]\n", "observers: [{use: acme-watch, id: all}]"
    )
    assert [(step.label, step.file.path) for step in pipeline.observers] == [
        ("all", "etc/site.yaml"),
        ("acme-watch", "p.yaml"),
    ]


# ------------------------------------------------------------------------------------ entries looked at together


def test_steps_in_the_wrong_order_are_reported_once(refusal: Refusal) -> None:
    text = HEAD + "steps:\n  - use: acme-convert\n  - {use: acme-unpack, id: unpack}\n" + STORE
    assert refusal(text) == ["4:5: steps.0: 'acme-convert' stands before 'unpack': move it below"]


def test_steps_below_a_method_that_copies_are_a_mistake(refusal: Refusal, load: Load) -> None:
    text = "name: p\nsource: {use: acme-copy}\n" + STORE
    assert load(text).source.plugin_class.copies
    assert refusal(text + "steps: [{use: acme-check}]\n") == [
        "4:1: steps: 'acme-copy' copies the stored bytes as they are, so no steps run: remove them"
    ]


def test_a_method_that_is_not_enabled_is_refused(refusal: Refusal) -> None:
    assert refusal(HEAD + STORE, "enabled_methods: [glance-direct, web-download]") == [
        "2:10: source.use: import method 'acme-fetch' is not enabled: "
        "see enabled_methods in etc/site.yaml (glance-direct, web-download)"
    ]


def test_a_missing_program_is_reported_before_anything_runs(refusal: Refusal) -> None:
    assert refusal(HEAD + "steps: [{use: acme-needy}]\n" + STORE) == [
        "3:10: steps.0.use: needs the program 'no-such-program', which is not on the PATH: install its package"
    ]


def test_a_missing_program_is_reported_with_the_package_that_the_plugin_names(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal(HEAD + "steps: [{use: acme-imager}]\n" + STORE) == [
        "3:10: steps.0.use: needs the program 'qemu-img', which is not on the PATH: "
        "install its package (qemu-utils on Debian and Ubuntu)"
    ]


def test_a_step_that_needs_a_file_cannot_be_streamed(refusal: Refusal, load: Load) -> None:
    text = HEAD + "steps: [{use: acme-convert}]\n" + STORE
    assert load(text).staging == "auto"
    assert refusal(text + "staging: stream\n") == [
        "5:1: staging: the data cannot be streamed: acme-convert needs a file; write 'auto' or 'file'"
    ]


def test_stores_that_have_to_wait_cannot_be_streamed_to(refusal: Refusal, load: Load) -> None:
    one, two = (f"{{use: acme-folder, id: {name}, with: {{directory: /srv/{name}}}}}" for name in "ab")
    text = HEAD + f"stores: [{one}, {two}]\n"
    assert load(text + "staging: stream\n", "limits: {max_parallel_stores: 2}").staging == "stream"
    assert load(text, "limits: {max_parallel_stores: 1}").staging == "auto"
    assert refusal(text + "staging: stream\n", "limits: {max_parallel_stores: 1}") == [
        "4:1: staging: the data cannot be streamed to 2 stores: limits.max_parallel_stores in etc/site.yaml is 1, "
        "and the stores that wait read a file; write 'auto' or 'file'"
    ]


# --------------------------------------------------------------------------------------------------- variables

TEMPLATED = """\
name: p
vars: {level: "3", base: "{source.dir}"}
source: {use: acme-fetch, uri: "https://images.example/{var.level}/a.img"}
steps: [{use: acme-unpack, with: {level: "{var.level}", label: "{var.base}/SUMS"}}]
stores: [{use: acme-folder, with: {directory: /srv}}]
"""


def options(pipeline: ConfiguredPipeline) -> tuple[int, str]:
    config = pipeline.steps[0].config.model_dump()
    return config["level"], config["label"]


def test_variables_come_from_the_file_the_command_line_and_the_source(load: Load) -> None:
    assert options(load(TEMPLATED)) == (3, "https://images.example/3/SUMS")
    assert options(load(TEMPLATED, variables={"level": "5"})) == (5, "https://images.example/5/SUMS")
    given = load(TEMPLATED, source_uri="/srv/in/b.img", require_source=True)
    assert (given.source_uri, *options(given)) == ("/srv/in/b.img", 3, "/srv/in/SUMS")


def test_without_a_source_a_placeholder_stands_for_it_unless_one_is_required(
    load: Load, refusal: Refusal
) -> None:
    text = TEMPLATED.replace(', uri: "https://images.example/{var.level}/a.img"', "")
    pipeline = load(text)
    assert (pipeline.source_uri, *options(pipeline)) == (None, 3, "https://source.invalid/SUMS")
    assert refusal(text, require_source=True) == [
        "4:57: steps.0.with.label: '{source.dir}' needs a source: give its address on the command line"
    ]


def test_an_unused_variable_is_a_mistake(refusal: Refusal) -> None:
    assert refusal(TEMPLATED, variables={"levle": "5"}) == [
        "2:1: vars: --set levle: no variable of this pipeline has that name (did you mean 'level'?)"
    ]


def test_secrets_reach_the_options_and_no_message(
    load: Load, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TOKEN", "hunter2hunter2")
    text = HEAD + "steps: [{use: acme-unpack, with: {token: '{env.ACME_TOKEN}'}}]\n" + STORE
    pipeline = load(text)
    assert pipeline.secrets == {"hunter2hunter2"}
    assert pipeline.steps[0].config.model_dump()["token"].get_secret_value() == "hunter2hunter2"
    assert "hunter2" not in repr(pipeline)
    assert refusal(
        text.replace("{token: '{env.ACME_TOKEN}'}", "{}").replace("acme-unpack", "'{env.ACME_TOKEN}'")
    ) == [
        "3:10: steps.0.use: unknown plugin '***': "
        "see 'imageport plugins list', or pip install the package that supplies it"
    ]


# ----------------------------------------------------------------------------------------------- anything at all

PLUGINS = ["acme-fetch", "acme-unpack", "acme-convert", "acme-folder", "acme-watch"]
ENTRY_KEYS = ["use", "id", "with", "uri", "level", "directory"]
KEYS = st.sampled_from(["name", "vars", "source", "steps", "stores", "observers", "staging", *ENTRY_KEYS])
WORDS = st.sampled_from([*PLUGINS, "default", "auto", "{source.dir}", "{var.a}", "{env.HOME}"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_mapping_is_a_pipeline_or_pipeline_invalid(load: Load, data: object) -> None:
    try:
        assert load(json.dumps(data)).name
    except PipelineInvalid as error:
        assert list(error.problems) == sorted(error.problems)
        assert error.problems


def test_a_value_of_another_form_is_refused_with_the_form_and_the_meaning_of_its_option(
    refusal: Callable[..., list[str]],
) -> None:
    text = "name: x\nsource: {use: glance-direct}\nstores: [{use: file, with: {directory: d, mode: '999'}}]\n"
    assert refusal(text) == [
        "3:43: stores.0.with.mode: must match the pattern ^0?[0-7]{3}$ "
        "(Permissions of the files in octal digits, as for chmod)"
    ]
