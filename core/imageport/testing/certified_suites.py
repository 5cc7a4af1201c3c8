"""The suites of one candidate, made of its hooks and of what its user has given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport.plugins.hooks import hooks_of
from imageport.testing.benches import RECORD, Bench, files_below, find_plugin
from imageport.testing.plugin_suite import PluginConformance
from imageport.testing.step_suite import StepConformance
from imageport.testing.store_bench import ServerProcess, StoreServer
from imageport.testing.store_suite import StoreConformance


def suites_of_request() -> dict[str, type]:
    """Return the suites for the request in the working folder, by the names of their classes."""
    candidate = json.loads(Path("request.json").read_text())
    given: dict[str, Any] = {"plugin": candidate["name"], "options": candidate["options"]}
    if candidate["image"]:
        given["content"] = Path(candidate["image"]).read_bytes()
    given["record"] = RECORD.evolve(disk_format=candidate["disk_format"])
    given["server_pids"] = tuple(candidate["server"])
    hooks = frozenset(hooks_of(find_plugin(candidate["name"])[2]))
    return {f"Test{base.__name__}": type(f"Test{base.__name__}", (base,), given) for base in _bases(hooks)}


def _bases(hooks: frozenset[str]) -> list[type]:
    if "store_write" in hooks:
        return [_Store]
    if "transform" in hooks and "stage" not in hooks:
        return [StepConformance]
    return [PluginConformance]


class _Store(StoreConformance):
    """A store of a user: its copies are found below the folder of the test, in its folders, and by ``store_list``."""

    server_pids: ClassVar[tuple[int, ...]] = ()

    @pytest.fixture
    def server(self) -> StoreServer | None:
        """Return the server whose processes the user has named."""
        return ServerProcess(*self.server_pids) if self.server_pids else None

    @pytest.fixture(autouse=True)
    def _before(self, tmp_path: Path, store: Bench) -> None:
        self._store = store
        self._there = frozenset(self._everything(tmp_path))

    def traces(self, folder: Path) -> list[str]:
        """Return what was not there before the test."""
        return [name for name in self._everything(folder) if name not in self._there]

    def _everything(self, folder: Path) -> list[str]:
        places = _folders(dict(self._store.plugin.config))
        found = files_below(folder)
        found += [
            f"{place}/{name}"
            for place in places
            for name in files_below(place)
            if folder not in place.parents
        ]
        if "store_list" in self._store.hooks:
            found += [copy.location.url for copy in self._store.list()]
        return found


def _folders(options: Mapping[str, Any]) -> list[Path]:
    return [value for value in options.values() if isinstance(value, Path) and value.is_dir()]
