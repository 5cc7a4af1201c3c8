"""The suites of one candidate, made of its hooks and of what its user has given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport.errors import ImageportError
from imageport.plugins.hooks import hooks_of
from imageport.testing.benches import RECORD, Bench, find_plugin
from imageport.testing.clauses import not_tried
from imageport.testing.command_suite import CommandConformance
from imageport.testing.http_answers import Behaviour
from imageport.testing.http_server import HttpServer
from imageport.testing.method_suite import MethodConformance
from imageport.testing.observer_suite import ObserverConformance
from imageport.testing.plugin_suite import PluginConformance
from imageport.testing.step_suite import StepConformance
from imageport.testing.store_bench import ServerProcess, StoreServer
from imageport.testing.store_suite import ReadOnlyStoreConformance, StoreConformance
from imageport.testing.streams import files_below
from imageport.values import Source


def suites_of_request() -> dict[str, type]:
    """Return the suites for the request in the working folder, by the names of their classes."""
    candidate = json.loads(Path("request.json").read_text())
    if candidate["kind"] == "command":
        return {"TestCommand": type("TestCommand", (CommandConformance,), {"command": candidate["name"]})}
    given: dict[str, Any] = {"plugin": candidate["name"], "options": candidate["options"]}
    if candidate["image"]:
        given["content"] = Path(candidate["image"]).read_bytes()
    given["record"] = RECORD.evolve(disk_format=candidate["disk_format"])
    if candidate["patience"]:
        given["patience"] = candidate["patience"]
    given["server_pids"] = tuple(candidate["server"])
    hooks = frozenset(hooks_of(find_plugin(candidate["name"])[2]))
    return {f"Test{base.__name__}": type(f"Test{base.__name__}", (base,), given) for base in _bases(hooks)}


def _bases(hooks: frozenset[str]) -> list[type]:
    """Return the suites for a plugin with *hooks*; each of them tests what holds for every plugin, too."""
    bases: list[type] = []
    if "store_write" in hooks:
        bases.append(_Store)
    elif "store_read" in hooks:
        bases.append(ReadOnlyStoreConformance)
    if "stage" in hooks:
        bases.append(_Method)
    elif "transform" in hooks:
        bases.append(StepConformance)
    if "on_progress" in hooks:
        bases.append(ObserverConformance)
    return bases or [PluginConformance]


class _Method(MethodConformance):
    """A method of a user: it is asked for an image on a web server, if it fetches from such."""

    @pytest.fixture
    def offer(self, faulty_server: HttpServer, tmp_path: Path) -> Callable[..., Source]:
        """Return a function that offers the image, unless the method refuses every url of a web server."""
        source = Source(method=self._name(), uri=faulty_server.publish("/try", self.content))
        with self._bench(tmp_path / "trial") as method:
            try:
                method.validate(source, self.record)
            except ImageportError as error:
                not_tried(f"the method refuses the url of a web server: {error} (fixture 'offer')")

        def offer(*behaviours: Behaviour) -> Source:
            return replace(source, uri=faulty_server.answer("/disk.raw", *behaviours))

        return offer


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
