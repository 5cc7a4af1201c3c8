"""The list of plugins: described by a child process, and remembered until something changes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from imageport.plugins.descriptions import MAX_SIZE, Description, describe
from imageport.plugins.registry import PluginRegistry

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

PLUGIN = """
    from imageport import NoConfig, Plugin, hookimpl

    with open({imports!r}, "a") as file:
        file.write("{name} ")

    class Stamp(Plugin[NoConfig]):
        '''{summary}'''

        @hookimpl
        def transform(self, image, ctx):
            return image
"""


class Listing:
    """Installs plugins that note each import of theirs, and lists them."""

    def __init__(self, plugins: PluginFolder, folder: Path) -> None:
        self.plugins = plugins
        self.cache = folder / "cache" / "plugins.json"
        self._imports = folder / "imports"

    def source(self, name: str, summary: str) -> str:
        """Return the module of a plugin."""
        return dedent(PLUGIN.format(imports=str(self._imports), name=name, summary=summary))

    def install(self, name: str, summary: str, version: str = "1.0") -> Path:
        """Install a plugin and return the folder of its metadata."""
        module = f"acme_{name}"
        return self.plugins.install(
            f"acme-{name}", {name: f"{module}:Stamp"}, {module: self.source(name, summary)}, version=version
        )

    def __call__(self, *, cache: bool = True) -> dict[str, Description]:
        """Return the descriptions of the plugins of this test."""
        self._wait_for_clock()
        own = [plugin for plugin in PluginRegistry.installed() if plugin.value.startswith("acme_")]
        return describe(own, self.cache if cache else None)

    def summaries(self) -> dict[str, str]:
        """Return what is shown of each plugin."""
        return {name: about.summary for name, about in self().items()}

    def imported(self) -> list[str]:
        """Return the plugins that were imported since the last call, sorted."""
        names = self._imports.read_text().split() if self._imports.exists() else []
        self._imports.unlink(missing_ok=True)
        return sorted(names)

    def _wait_for_clock(self) -> None:
        """Wait until what was just written is older than what begins now."""
        marker = self._imports.with_name("marker")
        marker.touch()
        while time.time_ns() < marker.stat().st_ctime_ns + 50_000_000:
            os.sched_yield()


@pytest.fixture
def listing(plugin_folder: PluginFolder, tmp_path: Path) -> Listing:
    (tmp_path / "cache").mkdir(mode=0o700)
    return Listing(plugin_folder, tmp_path)


def test_plugins_are_described_without_importing_them_here(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    assert listing() == {"stamp": Description(("transform",), "Stamp it.")}
    assert listing.imported() == ["stamp"]
    assert "acme_stamp" not in sys.modules


def test_a_second_list_imports_nothing_anywhere(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    first = listing()
    listing.imported()
    assert listing() == first
    assert listing.imported() == []
    assert listing.cache.stat().st_mode & 0o777 == 0o600


def test_an_installation_is_noticed(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    listing()
    listing.install("seal", "Seal it.")
    assert listing.summaries() == {"stamp": "Stamp it.", "seal": "Seal it."}


def test_an_upgrade_is_noticed(listing: Listing) -> None:
    before = listing.install("stamp", "Stamp it.")
    listing()
    shutil.rmtree(before)
    listing.install("stamp", "Stamp it twice.", version="2.0")
    assert listing.summaries() == {"stamp": "Stamp it twice."}


def test_a_removal_is_noticed(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    metadata = listing.install("seal", "Seal it.")
    listing()
    shutil.rmtree(metadata)
    (listing.plugins.folder / "acme_seal.py").unlink()
    assert listing.summaries() == {"stamp": "Stamp it."}


def test_a_removed_library_makes_its_plugin_broken(listing: Listing) -> None:
    library = listing.plugins.folder / "acme_library.py"
    library.write_text("")
    listing.plugins.install(
        "acme-stamp",
        {"stamp": "acme_stamp:Stamp"},
        {"acme_stamp": "import acme_library\n" + listing.source("stamp", "Stamp it.")},
    )
    assert listing.summaries() == {"stamp": "Stamp it."}
    library.unlink()
    assert listing()["stamp"].broken
    assert listing()["stamp"].summary.endswith("ModuleNotFoundError: No module named 'acme_library'")


def test_an_edit_of_an_editable_installation_is_noticed(
    listing: Listing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An editable installation has its metadata in one folder of the path and its modules in another.
    package = tmp_path / "project" / "acme_edited"
    package.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(package.parent))
    (package / "__init__.py").write_text("from acme_edited.stamp import Stamp\n")
    module = package / "stamp.py"
    module.write_text(listing.source("edited", "Stamp it."))
    listing.plugins.install("acme-edited", {"edited": "acme_edited:Stamp"})
    assert listing.summaries() == {"edited": "Stamp it."}
    before = module.stat()
    module.write_text(listing.source("edited", "Spoil it."))
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    # Python itself goes by time and size, which are the same now.
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    assert listing.summaries() == {"edited": "Spoil it."}


def test_a_file_that_changes_while_plugins_are_described_is_not_remembered(listing: Listing) -> None:
    module = listing.plugins.folder / "acme_stamp.py"
    source = listing.source("stamp", "Stamp it.")
    listing.plugins.install(
        "acme-stamp",
        {"stamp": "acme_stamp:Stamp"},
        {"acme_stamp": source + f"\nimport pathlib\npathlib.Path({str(module)!r}).touch()\n"},
    )
    listing()
    assert not listing.cache.exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise LookupError('acme was here')", "cannot be imported: LookupError: acme was here"),
        ("import os; os._exit(7)", "cannot be imported: it ended the process with exit code 7"),
        ("def Stamp(): ...", "is not a class but function acme_odd:Stamp"),
        (
            "import imageport\nclass Stamp(imageport.Plugin[imageport.NoConfig]):\n"
            "    @classmethod\n    def summary(cls): return 1 / 0",
            "cannot be described: ZeroDivisionError: division by zero",
        ),
    ],
)
def test_a_broken_plugin_is_listed_with_the_reason_and_does_not_hide_the_others(
    listing: Listing, body: str, reason: str
) -> None:
    listing.install("before", "Come first.")
    listing.plugins.install("acme-odd", {"odd": "acme_odd:Stamp"}, {"acme_odd": body})
    listing.install("then", "Come last.")
    expected = {
        "before": Description(("transform",), "Come first."),
        "odd": Description((), f"plugin 'odd' of acme-odd 1.0 {reason}", broken=True),
        "then": Description(("transform",), "Come last."),
    }
    assert listing() == expected
    assert listing() == expected
    assert "acme_odd" not in sys.modules


def test_a_broken_plugin_is_asked_about_again(listing: Listing, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import os\nif 'ACME' not in os.environ: raise LookupError\n" + listing.source("stamp", "Fine.")
    listing.plugins.install("acme-stamp", {"stamp": "acme_stamp:Stamp"}, {"acme_stamp": source})
    assert listing()["stamp"].broken
    monkeypatch.setenv("ACME", "1")
    assert listing.summaries() == {"stamp": "Fine."}


def test_output_of_plugins_is_not_part_of_the_answer(
    listing: Listing, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = "import os\nprint('hello')\nos.write(1, b'[1]\\n')\n"
    listing.plugins.install(
        "acme-loud", {"loud": "acme_loud:Stamp"}, {"acme_loud": noise + listing.source("loud", "Shout.")}
    )
    assert listing.summaries() == {"loud": "Shout."}
    out, err = capfd.readouterr()
    assert (out, sorted(err.split())) == ("", ["[1]", "hello"])


def test_a_process_that_a_plugin_leaves_behind_does_not_hold_up_the_list(listing: Listing) -> None:
    # It lives as long as this test: until the other end of the pipe is closed.
    reading, writing = os.pipe()
    waits = f"import os\nif os.fork() == 0:\n    open('/proc/{os.getpid()}/fd/{reading}').read()\n    os._exit(0)\n"
    listing.plugins.install(
        "acme-slow", {"slow": "acme_slow:Stamp"}, {"acme_slow": waits + listing.source("slow", "Linger.")}
    )
    try:
        assert listing.summaries() == {"slow": "Linger."}
    finally:
        os.close(writing)
        os.close(reading)


def test_more_answers_than_a_pipe_holds_are_read(listing: Listing) -> None:
    summary = "x" * 100_000
    listing.install("stamp", summary)
    listing.install("seal", summary)
    assert listing.summaries() == {"stamp": summary, "seal": summary}


def test_a_cache_that_would_grow_too_large_is_not_written(listing: Listing) -> None:
    listing.install("stamp", "x" * MAX_SIZE)
    listing()
    assert not listing.cache.exists()


def _valid(cache: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(cache.read_text())
    assert content["plugins"][0]["summary"] == "Stamp it."
    content["plugins"][0]["summary"] = "Forged."
    return content


def _forged(cache: Path) -> None:
    cache.write_text(json.dumps(_valid(cache)))


def _of_another_user(cache: Path) -> None:
    _forged(cache)
    os.chown(cache, 12345, 12345)


def _writable_for_others(cache: Path) -> None:
    _forged(cache)
    cache.chmod(0o666)


def _a_link(cache: Path) -> None:
    _forged(cache)
    cache.rename(cache.with_name("elsewhere"))
    cache.symlink_to("elsewhere")


def _a_fifo(cache: Path) -> None:
    cache.unlink()
    os.mkfifo(cache, 0o600)


def _a_folder(cache: Path) -> None:
    cache.unlink()
    cache.mkdir()


def _cut(cache: Path) -> None:
    cache.write_text(cache.read_text()[:-20])


def _deep(cache: Path) -> None:
    cache.write_text("[" * 100_000)


def _too_large(cache: Path) -> None:
    cache.write_text(json.dumps(_valid(cache) | {"more": "x" * MAX_SIZE}))


def _other_types(cache: Path) -> None:
    content = _valid(cache)
    content["plugins"][0]["hooks"] = [{"stage": 1}]
    cache.write_text(json.dumps(content))


def _a_list(cache: Path) -> None:
    cache.write_text(json.dumps([_valid(cache)]))


def _without_stamps(cache: Path) -> None:
    cache.write_text(json.dumps({**_valid(cache), "stamps": None}))


def _of_another_path(cache: Path) -> None:
    content = _valid(cache)
    cache.write_text(json.dumps({**content, "path": content["path"][1:]}))


def _of_another_python(cache: Path) -> None:
    cache.write_text(json.dumps({**_valid(cache), "python": "2.7"}))


_NEEDS_ROOT = {_of_another_user}


@pytest.mark.parametrize(
    "damage",
    [
        _of_another_user, _writable_for_others, _a_link, _a_fifo, _a_folder, _cut, _deep, _too_large, _other_types,
        _a_list, _without_stamps, _of_another_path, _of_another_python,
    ],
)  # fmt: skip
def test_a_cache_that_is_damaged_or_not_of_this_user_is_ignored(
    listing: Listing, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.install("stamp", "Stamp it.")
    listing()
    if damage in _NEEDS_ROOT and os.geteuid() != 0:
        # Only root gives files away; the file of this user is then one of another user to the process.
        _forged(listing.cache)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    else:
        damage(listing.cache)
    assert listing.summaries() == {"stamp": "Stamp it."}


def test_the_forged_caches_would_be_used_if_they_were_in_order(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    listing()
    _forged(listing.cache)
    assert listing.summaries() == {"stamp": "Forged."}


def test_nothing_is_written_into_a_folder_of_another_user(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.install("stamp", "Stamp it.")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert listing.summaries() == {"stamp": "Stamp it."}
    assert list(listing.cache.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_not_an_error(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    listing.cache = listing.cache.parent / "file" / "plugins.json"
    listing.cache.parent.write_text("")
    assert listing.summaries() == {"stamp": "Stamp it."}


def test_without_a_cache_plugins_are_described_each_time(listing: Listing) -> None:
    listing.install("stamp", "Stamp it.")
    assert listing(cache=False) == listing(cache=False) == {"stamp": Description(("transform",), "Stamp it.")}
    assert listing.imported() == ["stamp", "stamp"]
