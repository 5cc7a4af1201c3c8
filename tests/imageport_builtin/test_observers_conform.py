"""Every built-in observer keeps the promises of observers."""

from __future__ import annotations

from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.plugins.roles import fits
from imageport.testing import ObserverConformance


class TestTerminal(ObserverConformance):
    plugin = "terminal"


class TestLog(ObserverConformance):
    plugin = "log"


class TestJsonLines(ObserverConformance):
    plugin = "jsonl"
    options = {"path": "events.jsonl"}


class TestNotifications(ObserverConformance):
    plugin = "notifications"
    options = {"path": "notifications.jsonl"}


def test_every_observer_of_the_project_is_here() -> None:
    registry = PluginRegistry.installed()
    own = [plugin for plugin in registry if plugin.distribution.startswith("imageport ")]
    observers = {plugin.name for plugin in own if fits(frozenset(hooks_of(plugin.load())), "observer")}
    classes = [found for found in globals().values() if isinstance(found, type)]
    assert observers == {vars(found)["plugin"] for found in classes if ObserverConformance in found.__bases__}
