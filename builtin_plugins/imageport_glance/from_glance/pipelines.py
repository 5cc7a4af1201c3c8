"""The pipelines that are equivalent to the import methods of a Glance, one for each method."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from imageport_glance.from_glance import values
from imageport_glance.from_glance.gaps import Gap
from imageport_glance.from_glance.options import OPTIONS
from imageport_glance.from_glance.settings import Settings
from imageport_glance.from_glance.yaml_text import Leaf, Tree

#: The plugins of Glance, which have the same names here.
_PLUGINS: Final = frozenset({"no_op", "inject_image_metadata", "image_decompression", "image_conversion"})
#: Methods that fetch urls, and the notes about the filter.
_DOWNLOADS: Final[Mapping[str, str]] = {
    "web-download": "Glance judges every url",
    "glance-download": "also judges the urls of Keystone and of the other Glance: allow their ports",
}
_COPY: Final = "copy-image"

#: The login to OpenStack, from the variables of its clients.
_LOGIN: Final[Mapping[str, str]] = {
    "auth_url": "{env.OS_AUTH_URL}",
    "token": "{env.OS_TOKEN}",
    "glance_region": "{env.OS_REGION_NAME}",
}


def convert_pipelines(settings: Settings, methods: Leaf, gaps: list[Gap]) -> dict[str, Tree]:
    """Return a pipeline for each of *methods*, by its name."""
    steps = list(_steps(settings, gaps))
    names = methods.value if isinstance(methods.value, (list, tuple)) else []
    return {str(name): _pipeline(str(name), steps, settings, methods) for name in names}


def _pipeline(method: str, steps: Collection[Tree], settings: Settings, methods: Leaf) -> Tree:
    source: dict[str, Tree] = {"use": Leaf(method, methods.settings, methods.remark)}
    if method == "glance-download":
        remark = "of the other Glance, as in a file openrc"
        login = {name: Leaf(text, remark=remark, has_variables=True) for name, text in _LOGIN.items()}
        source["with"] = {**login, **_options(settings, method)}
    found: dict[str, Tree] = {"name": Leaf(method), "source": source}
    if method in _DOWNLOADS:
        guard = Leaf("uri_filter", remark=_DOWNLOADS[method])
        found["steps"] = [_step("uri_filter", guard, settings), *steps]
    elif method != _COPY and steps:
        found["steps"] = list(steps)
    return found


def _steps(settings: Settings, gaps: list[Gap]) -> Iterator[Tree]:
    found = settings.read("image_import_opts", "image_import_plugins", values.words)
    if found is None:
        return
    names, setting = list(dict.fromkeys(found[0])), found[1]
    remarks = {}
    if {"image_decompression", "image_conversion"} <= {*names} and _is_reversed(names):
        names.remove("image_decompression")
        names.insert(names.index("image_conversion"), "image_decompression")
        remarks["image_decompression"] = "moved up: nothing packed can be converted"
    for name in names:
        if name in _PLUGINS:
            yield _step(name, Leaf(name, (setting,), remarks.get(name, "")), settings)
        else:
            reason = "no plugin of this name comes with Imageport"
            instead = "write one, see docs/tutorial/first-plugin.md"
            gaps.append(Gap(settings=(setting,), what=name, reason=reason, instead=instead))


def _is_reversed(names: list[str]) -> bool:
    return names.index("image_conversion") < names.index("image_decompression")


def _step(name: str, use: Leaf, settings: Settings) -> Tree:
    options = _options(settings, name)
    return {"use": use, **({"with": options} if options else {})}


def _options(settings: Settings, plugin: str) -> dict[str, Tree]:
    found: dict[str, Tree] = {}
    for option in OPTIONS:
        if option.plugin == plugin and option.parse:
            leaf = settings.leaf(option.section, option.name, option.parse)
            if leaf is not None:
                found[option.key] = leaf
    if plugin == "inject_image_metadata":
        found = {"inject": _injected(settings), **found}
    return found


def _injected(settings: Settings) -> Tree:
    """Return the properties as they were meant; Glance keeps quotes around them (its bug 2028895)."""
    found = settings.read("inject_metadata_properties", "inject", values.pairs)
    pairs, setting = found or ({}, None)
    injected: dict[str, Tree] = {}
    for name, value in pairs.items():
        meant, content = (text.strip("\"'") for text in (name, value))
        quoted = (meant, content) != (name, value)
        remark = f"Glance sets the property {name} to {value}, quotes and all" if quoted else ""
        injected[meant] = Leaf(content, (setting,) if setting else (), remark)
    return injected
