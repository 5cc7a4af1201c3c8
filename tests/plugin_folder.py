"""Distributions of plugins as pip would install them, in a folder of the test on ``sys.path``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest


class PluginFolder:
    """A folder on ``sys.path`` into which distributions are put as pip would put them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def install(
        self,
        distribution: str,
        plugins: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        contract: str | None = None,
    ) -> Path:
        """Write a distribution with its *modules* and entry points, and return its metadata folder.

        It states the *contract* for which it is written, if there is one.
        """
        metadata = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {value}\n" for name, value in plugins.items()]
        if contract is not None:
            lines.append(f"[imageport.contract]\n{contract} = acme\n")
        (metadata / "entry_points.txt").write_text("[imageport.plugins]\n" + "".join(lines))
        for name, source in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(dedent(source))
        importlib.invalidate_caches()
        return metadata


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    folder = PluginFolder(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(str(folder.folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder.folder)):
            del sys.modules[name]


ACME = """
    from pathlib import Path
    from typing import Literal

    from pydantic import Field, SecretStr

    from imageport import NoConfig, Plugin, PluginConfig, hookimpl


    class Fetch(Plugin[NoConfig]):
        '''Fetch images from Acme.'''

        @hookimpl
        def validate_source(self, source): ...

        @hookimpl
        def stage(self, source): ...


    class Copy(Plugin[NoConfig]):
        '''Copy images that are active.'''

        starts_from = frozenset({"active"})
        copies = True

        @hookimpl
        def stage(self, source): ...


    class Nested(PluginConfig):
        depth: int = 1


    class UnpackConfig(PluginConfig):
        level: int = Field(default=4, ge=1, description="How many layers.")
        mode: Literal["fast", "slow"] = Field(default="fast", description="How.")
        label: str = Field(default="", description="What to call it.")
        token: SecretStr | None = None
        nested: Nested = Nested()


    class Unpack(Plugin[UnpackConfig]):
        '''Unpack what Acme packed.'''

        runs_before = frozenset({"acme-convert"})

        @hookimpl
        def transform(self, image): ...


    class Convert(Plugin[NoConfig]):
        '''Convert in a file.'''

        reads = "file"
        runs_after = frozenset({"acme-unpack"})

        @hookimpl
        def transform(self, image): ...


    class Needy(Plugin[NoConfig]):
        '''Need programs.'''

        binaries = ("no-such-program",)

        @hookimpl
        def transform(self, image): ...


    class Imager(Plugin[NoConfig]):
        '''Need a well-known program.'''

        binaries = {"qemu-img": "qemu-utils"}

        @hookimpl
        def transform(self, image): ...


    class Check(Plugin[NoConfig]):
        '''Look at the source.'''

        @hookimpl
        def validate_source(self, source): ...


    class FolderConfig(PluginConfig):
        directory: Path = Field(description="Where.")


    class Folder(Plugin[FolderConfig]):
        '''Write to a folder.'''

        @hookimpl
        def validate_source(self, source): ...

        @hookimpl
        def store_write(self, image): ...


    class Mirror(Plugin[NoConfig]):
        '''Read from a mirror.'''

        @hookimpl
        def store_read(self, location): ...


    class Watch(Plugin[NoConfig]):
        '''Watch imports.'''

        @hookimpl
        def on_progress(self, event): ...


    class Hookless(Plugin[NoConfig]):
        '''Do nothing at all.'''
"""

ACME_PLUGINS = {
    f"acme-{name}": f"acme_plugins:{name.title()}"
    for name in (
        "fetch",
        "copy",
        "unpack",
        "convert",
        "needy",
        "imager",
        "check",
        "folder",
        "mirror",
        "watch",
        "hookless",
    )
}


@pytest.fixture
def acme(plugin_folder: PluginFolder) -> PluginFolder:
    """A distribution with a plugin of every kind."""
    plugin_folder.install("acme-plugins", ACME_PLUGINS, {"acme_plugins": ACME}, version="2.3")
    return plugin_folder
