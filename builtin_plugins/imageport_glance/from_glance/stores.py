"""The stores and the staging directory of a site, from those of Glance."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from imageport.text import NAME
from imageport.values import RESERVED_PREFIX
from imageport_glance.from_glance import values
from imageport_glance.from_glance.gaps import Gap
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.settings import Settings
from imageport_glance.from_glance.yaml_text import Leaf, LeftOut, Tree, Value

#: Types of stores, as Glance calls them, that have a plugin here.
_PLUGINS: Final[Mapping[str, str]] = {"file": "file", "filesystem": "file", "http": "http", "https": "http"}

_DIRECTORY = "filesystem_store_datadir"

#: A folder beside the files of Glance: a live file of one would be a leftover for the other.
_OWN_FOLDER = "imageport"


@dataclass(kw_only=True)
class ConvertedStores:
    """The entries under ``stores``, the default store, and the options that could not be carried over.

    ``writable`` are ids, ``sections`` theirs in small letters, and ``explained`` the settings behind ``gaps``.
    """

    entries: list[Tree] = field(default_factory=list)
    default: Leaf | None = None
    writable: list[str] = field(default_factory=list)
    sections: set[str] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)
    explained: set[Setting] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _GlanceStore:
    """A store of Glance: its id, its type, the section with its options, and the setting that names it."""

    name: str
    kind: str
    section: str
    origin: Leaf


def convert_stores(settings: Settings) -> ConvertedStores:
    """Return the stores of ``enabled_backends``, or of ``[glance_store]`` where that is not set."""
    converted = ConvertedStores()
    backends = settings.read("DEFAULT", "enabled_backends", values.pairs)
    if backends is not None:
        for name, kind in backends[0].items():
            if name.startswith(RESERVED_PREFIX):
                problem = f"{name}: names with {RESERVED_PREFIX} are reserved"
                settings.problems.append(backends[1].problem(problem))
            _add_store(converted, settings, _GlanceStore(name, kind, name, Leaf("", (backends[1],))))
        wanted = settings.leaf("glance_store", "default_backend", values.text)
    else:
        kinds = settings.read("glance_store", "stores", values.words)
        origin = Leaf("", (kinds[1],)) if kinds else Leaf("", remark="Glance's default")
        names = {_PLUGINS.get(kind, kind): kind for kind in (kinds[0] if kinds else ["file", "http"])}
        for name, kind in names.items():
            _add_store(converted, settings, _GlanceStore(name, kind, "glance_store", origin))
        wanted = settings.leaf("glance_store", "default_store", lambda kind: _PLUGINS.get(kind, kind))
    if not converted.writable:
        _add_stand_in(converted, backends[0] if backends else {})
    _choose_default(converted, wanted)
    return converted


def convert_staging(settings: Settings) -> Leaf | None:
    """Return the staging directory, a separate folder in that of Glance, or None when Glance's is not set."""
    if settings.find("DEFAULT", "enabled_backends"):
        place = settings.leaf("os_glance_staging_store", _DIRECTORY, values.text)
    else:
        place = settings.leaf("DEFAULT", "node_staging_uri", _path_of)
    if place is None:
        return None
    directory = PurePosixPath(str(place.value)) / _OWN_FOLDER
    return Leaf(str(directory), place.settings, "Glance may still use the rest of that folder")


def _add_store(converted: ConvertedStores, settings: Settings, store: _GlanceStore) -> None:
    origin = store.origin
    plugin = _PLUGINS.get(store.kind, store.kind)
    entry: dict[str, Tree] = {
        "use": Leaf(plugin, origin.settings, origin.remark),
        "id": Leaf(store.name, origin.settings, origin.remark),
    }
    if obstacle := _obstacle(settings, store):
        converted.entries.append(LeftOut(entry))
        what, (reason, instead) = f"{store.name}:{store.kind}", obstacle
        several = tuple(settings.every(store.section, f"{_DIRECTORY}s")[-1:])
        converted.gaps.append(
            Gap(settings=origin.settings + several, what=what, reason=reason, instead=instead)
        )
        converted.explained.update(origin.settings, settings.section(store.name))
        return
    converted.sections.add(store.section.casefold())
    if plugin == "file":
        converted.writable.append(store.name)
        entry["with"] = _file_options(settings, store.section)
    converted.entries.append(entry)


def _obstacle(settings: Settings, store: _GlanceStore) -> tuple[str, str] | None:
    """Return the reason why a store cannot be configured here, and the alternative, or None when it can."""
    if store.kind not in _PLUGINS:
        return (
            f"no store plugin for {store.kind} comes with Imageport",
            "install one and complete the entry that is a comment under stores, or write to a file store",
        )
    if not NAME.fullmatch(store.name):
        return "an id here has letters, digits, '_', '.' and '-', at most 64", "give the store another id"
    if settings.find(store.section, f"{_DIRECTORY}s") and not settings.find(store.section, _DIRECTORY):
        return "a store has one directory", "name a file store for each directory"
    return None


def _file_options(settings: Settings, section: str) -> dict[str, Tree]:
    def option(name: str, parse: Callable[[str], Value]) -> Leaf | None:
        return settings.leaf(section, name, parse) or settings.leaf("backend_defaults", name, parse)

    default = Leaf("/var/lib/glance/images", remark="Glance's default")
    found: dict[str, Tree] = {"directory": option(_DIRECTORY, values.text) or default}
    mode = option("filesystem_store_file_perm", _mode)
    if mode is not None and mode.value:
        found["mode"] = mode
    return found


def _mode(value: str) -> str:
    """Return permissions as octal digits; nothing for 0, with which Glance leaves them to the umask."""
    if not re.fullmatch("0*[0-7]{0,3}", value.strip()):
        raise ValueError(f"'{value:.40}' is not a file mode in octal digits")
    digits = value.strip().lstrip("0")
    return f"{digits:0>4}" if digits else ""


def _add_stand_in(converted: ConvertedStores, taken: Mapping[str, str]) -> None:
    """Add a file store, without which nothing could be imported."""
    name = "local"
    while name in taken:
        name += "-file"
    remark = "stands in, because no store of Glance's can be written here"
    entry = {key: Leaf(value, remark=remark) for key, value in (("use", "file"), ("id", name))}
    converted.entries.append({**entry, "with": {"directory": Leaf("images", remark=remark)}})
    converted.writable.append(name)


def _choose_default(converted: ConvertedStores, wanted: Leaf | None) -> None:
    if wanted is not None and wanted.value in converted.writable:
        converted.default = wanted
        return
    first = converted.writable[0]
    converted.default = Leaf(first, remark="the first store that can be written")
    if wanted is not None:
        reason = f"that store cannot be written here, so {first} is the default store"
        gap = Gap(
            settings=wanted.settings,
            what=str(wanted.value),
            reason=reason,
            instead="change default_store when it can be",
        )
        converted.gaps.append(gap)
        converted.explained.update(wanted.settings)


def _path_of(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError(f"'{uri:.200}' is not a file:// url with an absolute path")
    return unquote(parts.path)
