"""A distribution with a plugin of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from imageport.testing.installing import PluginFolder
from imageport.testing.installing import plugin_folder as folder_of_plugins

__all__ = ["PluginFolder", "acme", "plugin_folder"]


@pytest.fixture
def plugin_folder(tmp_path: Path) -> Iterator[PluginFolder]:
    with folder_of_plugins(tmp_path / "site-packages") as folder:
        yield folder


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
