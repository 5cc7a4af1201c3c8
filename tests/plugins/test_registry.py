from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

import pytest

from imageport.errors import PluginBroken, UsageError
from imageport.hookspecs import ImportHooks
from imageport.plugin import NoConfig
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import InstalledPlugin, PluginRegistry, hooks_of

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

PLUGIN = """
    from imageport import NoConfig, Plugin, hookimpl

    class Shout(Plugin[NoConfig]):
        '''Shout.'''

        @hookimpl
        def on_progress(self, event): ...

        @hookimpl
        def transform(self, image): ...

        def store(self, image): ...
"""


def class_with(method: str) -> str:
    body = indent(method, "    ")
    return f"from imageport import NoConfig, Plugin, hookimpl\nclass Bad(Plugin[NoConfig]):\n{body}\n"


def refusal(plugin: str) -> PluginBroken:
    with pytest.raises(PluginBroken) as caught:
        PluginRegistry.installed().find(plugin).load()
    return caught.value


def test_an_installed_plugin_is_found_with_who_supplies_it(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-shout", {"shout": "acme_shout:Shout"}, {"acme_shout": PLUGIN}, version="1.2")
    registry = PluginRegistry.installed()
    assert registry.find("shout") == InstalledPlugin("shout", "acme-shout 1.2", "acme_shout:Shout")
    assert "shout" in registry.names()
    assert [plugin.name for plugin in registry] == registry.names() == sorted(registry.names())


def test_cataloguing_imports_no_plugin(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-shout", {"shout": "acme_shout:Shout"}, {"acme_shout": "raise SystemExit(9)"})
    assert PluginRegistry.installed().find("shout").name == "shout"
    assert "acme_shout" not in sys.modules


def test_hooks_are_named_in_the_order_of_an_import(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-shout", {"shout": "acme_shout:Shout"}, {"acme_shout": PLUGIN})
    assert hooks_of(PluginRegistry.installed().find("shout").load()) == ("transform", "on_progress")


def test_an_unknown_plugin_is_answered_with_the_nearest_name(acme: PluginFolder) -> None:
    with pytest.raises(UsageError) as caught:
        PluginRegistry.installed().find("acme-unpak")
    assert caught.value.message == "unknown plugin 'acme-unpak' (did you mean 'acme-unpack'?)"
    assert caught.value.hint == "see 'imageport plugins list', or pip install the package that supplies it"


def test_two_distributions_with_one_name_are_a_conflict(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-a", {"shout": "acme_a:Shout"}, {"acme_a": PLUGIN})
    plugin_folder.install("acme-b", {"shout": "acme_b:Shout", "other": "acme_b:Shout"}, {"acme_b": PLUGIN})
    error = refusal("shout")
    assert sorted(error.message.removeprefix("plugin 'shout' is supplied by ").split(" and ")) == [
        "acme-a 1.0",
        "acme-b 1.0",
    ]
    assert error.hint == "uninstall all but one of them"
    assert PluginRegistry.installed().find("other").load().__name__ == "Shout"
    assert "shout" in PluginRegistry.installed().names()


def test_leftovers_of_the_same_distribution_do_not_conflict(
    plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder.install("Acme.Shout", {"shout": "acme_shout:Shout"}, {"acme_shout": PLUGIN}, version="2.0")
    older = type(plugin_folder)(tmp_path / "older")
    older.install("acme-shout", {"shout": "acme_old:Shout", "gone": "acme_old:Gone"}, version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older.folder), str(plugin_folder.folder)])
    registry = PluginRegistry.installed()
    assert registry.find("shout") == InstalledPlugin("shout", "Acme.Shout 2.0", "acme_shout:Shout")
    assert "gone" not in registry.names()


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("raise SystemExit(3)", "acme_bad:Plugin", "cannot be imported: SystemExit: 3"),
        (
            "import no_such_module",
            "acme_bad:Plugin",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (
            "class Fatal(BaseException): ...\nraise Fatal('x')",
            "acme_bad:Plugin",
            "cannot be imported: Fatal: x",
        ),
        (
            "def broken(:",
            "acme_bad:Plugin",
            "cannot be imported: SyntaxError: invalid syntax (acme_bad.py, line 1)",
        ),
        (
            "",
            "acme_bad:Plugin",
            "cannot be imported: AttributeError: module 'acme_bad' has no attribute 'Plugin'",
        ),
        ("from imageport import Plugin", "acme_bad", "is not a class but module acme_bad"),
        ("def plugin(): ...", "acme_bad:plugin", "is not a class but function acme_bad:plugin"),
        (
            "class Other: ...",
            "acme_bad:Other",
            "is a class that does not derive from imageport.Plugin (acme_bad:Other)",
        ),
        (
            "from imageport import Plugin\nclass P(Plugin):\n    config_model = dict",
            "acme_bad:P",
            "has a config_model that does not derive from imageport.PluginConfig",
        ),
        (
            "from imageport import Plugin\nclass P(Plugin):\n    binaries = 'qemu-img'",
            "acme_bad:P",
            "declares binaries = 'qemu-img', which is of the wrong type",
        ),
    ],
)
def test_a_broken_plugin_is_refused_by_name_distribution_and_reason(
    plugin_folder: PluginFolder, source: str, value: str, reason: str
) -> None:
    plugin_folder.install("acme-bad", {"bad": value}, {"acme_bad": source}, version="0.1")
    error = refusal("bad")
    assert error.message == f"plugin 'bad' of acme-bad 0.1 {reason}"
    assert error.hint == "update or uninstall acme-bad"
    assert error.distribution == "acme-bad 0.1"


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (
            "def transform(self, image): ...",
            "has a method 'transform' that is never called: mark it with @hookimpl",
        ),
        (
            "@hookimpl\ndef transfrom(self, image): ...",
            "has an unknown hook 'transfrom' (did you mean 'transform'?)",
        ),
        (
            "@hookimpl\ndef begin(self, image): ...",
            "has an unknown hook 'begin' (there are: validate_source, stage, transform, store_write, store_read, "
            "store_delete, store_stat, store_list, on_progress, diagnose)",
        ),
        (
            "@hookimpl(specname='stagee')\ndef begin(self, source): ...",
            "has an unknown hook 'stagee' (did you mean 'stage'?)",
        ),
        (
            "@hookimpl\ndef transform(self, image, context): ...",
            "has a hook 'transform' with an unknown argument 'context' (did you mean 'ctx'?)",
        ),
        (
            "@hookimpl\n@staticmethod\ndef store_delete(where, ctx): ...",
            "has a hook 'store_delete' with an unknown argument 'where' (there are: location, ctx)",
        ),
        (
            "@hookimpl(optionalhook=True)\ndef transform(self, picture): ...",
            "has a hook 'transform' with an unknown argument 'picture' (there are: image, ctx)",
        ),
    ],
)
def test_a_method_that_no_import_would_call_as_it_was_meant_is_refused(
    plugin_folder: PluginFolder, method: str, reason: str
) -> None:
    plugin_folder.install("acme-bad", {"bad": "acme_bad:Bad"}, {"acme_bad": class_with(method)})
    assert refusal("bad").message == f"plugin 'bad' of acme-bad 1.0 {reason}"


def test_a_mark_that_an_override_has_lost_is_missed(plugin_folder: PluginFolder) -> None:
    source = class_with("@hookimpl\ndef transform(self, image): ...") + (
        "class Worse(Bad):\n    def transform(self, image): ...\n"
    )
    plugin_folder.install(
        "acme-bad", {"bad": "acme_bad:Bad", "worse": "acme_bad:Worse"}, {"acme_bad": source}
    )
    assert hooks_of(PluginRegistry.installed().find("bad").load()) == ("transform",)
    assert refusal("worse").message.endswith("'transform' that is never called: mark it with @hookimpl")


@pytest.mark.parametrize(
    ("method", "hooks"),
    [
        ("@hookimpl(optionalhook=True)\ndef of_a_later_version(self, anything): ...", ()),
        ("@hookimpl\ndef transform(self, image, effort=9): ...", ("transform",)),
        ("@hookimpl\ndef transform(self): ...", ("transform",)),
        ("@hookimpl\n@staticmethod\ndef transform(image, ctx): ...", ("transform",)),
        ("@staticmethod\n@hookimpl\ndef transform(ctx): ...", ("transform",)),
        ("@hookimpl\n@classmethod\ndef transform(cls, image): ...", ("transform",)),
        ("@hookimpl(specname='transform')\ndef unpack(self, image): ...", ("transform",)),
        ("@hookimpl\ndef transform(self, image: Unheard) -> Unheard: ...", ("transform",)),
        ("@property\ndef stage(self): raise SystemExit(9)", ()),
        ("stage = 'second'", ()),
    ],
)
def test_hooks_may_be_written_in_every_way_that_works(
    plugin_folder: PluginFolder, method: str, hooks: tuple[str, ...]
) -> None:
    source = f"from __future__ import annotations\n{class_with(method)}"
    plugin_folder.install("acme-good", {"good": "acme_good:Bad"}, {"acme_good": source})
    plugin_class = PluginRegistry.installed().find("good").load()
    assert hooks_of(plugin_class) == hooks
    bound = BoundStep.bind("good", "acme-good 1.0", plugin_class(NoConfig()))
    assert set(hooks) == bound.answers & set(vars(ImportHooks))


def test_a_plugin_with_an_invalid_name_is_refused(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-shout", {"a,b": "acme_shout:Shout"}, {"acme_shout": PLUGIN})
    assert refusal("a,b").message == (
        "plugin 'a,b' of acme-shout 1.0 has no proper name: letters, digits, '_', '.' and '-', at most 64"
    )


def test_ctrl_c_during_an_import_is_not_swallowed(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("acme-slow", {"slow": "acme_slow:P"}, {"acme_slow": "raise KeyboardInterrupt"})
    with pytest.raises(KeyboardInterrupt):
        PluginRegistry.installed().find("slow").load()


def test_a_plugin_that_prints_and_warns_at_import_does_not_disturb_stdout(
    plugin_folder: PluginFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = "import warnings\nprint('hello')\nwarnings.warn('old', DeprecationWarning)\n"
    plugin_folder.install("acme-loud", {"loud": "acme_loud:str"}, {"acme_loud": noise + "str = str"})
    assert "does not derive" in refusal("loud").message
    assert capfd.readouterr() == ("", "hello\n")


def test_disabled_plugins_are_not_there(acme: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEPORT_DISABLED_PLUGINS", "acme-fetch, acme-copy,")
    registry = PluginRegistry.installed(disabled=["acme-watch"])
    assert {"acme-fetch", "acme-copy", "acme-watch"}.isdisjoint(registry.names())
    with pytest.raises(UsageError) as caught:
        registry.find("acme-fetch")
    assert caught.value.message == "plugin 'acme-fetch' is disabled"
    assert caught.value.hint == (
        "see disabled_plugins in the site file and IMAGEPORT_DISABLED_PLUGINS in the environment"
    )


def test_broken_metadata_of_one_distribution_does_not_hide_the_others(acme: PluginFolder) -> None:
    binary = acme.install("acme-binary", {"binary": "x:Y"})
    (binary / "METADATA").write_bytes(b"\xff\xfe\x00")
    nonsense = acme.install("acme-nonsense", {"nonsense": "x:Y"})
    (nonsense / "entry_points.txt").write_bytes(b"\xff[imageport.plugins\n= =\n")
    nameless = acme.install("acme-nameless", {"nameless": "x:Y"})
    (nameless / "METADATA").unlink()
    registry = PluginRegistry.installed()
    assert registry.find("acme-fetch").load().summary() == "Fetch images from Acme."
    assert "nonsense" not in registry.names()


def test_a_listing_does_not_import_heavy_libraries(acme: PluginFolder) -> None:
    script = (
        "import json, sys\nfrom imageport.plugins.registry import PluginRegistry\nPluginRegistry.installed().names()\n"
        "print(json.dumps(sorted({'py7zr', 'rich', 'sqlalchemy', 'imageport_builtin'} & set(sys.modules))))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert json.loads(run.stdout) == []
