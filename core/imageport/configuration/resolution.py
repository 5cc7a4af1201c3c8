"""The entries that one import uses, with their labels and the positions where they were written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imageport.errors import KeyPath, Problem
from imageport.plugins.roles import Role
from imageport.text import did_you_mean

if TYPE_CHECKING:
    from imageport.configuration.site import Site
    from imageport.configuration.yamlfile import YamlFile
    from imageport.plugin import Plugin, PluginConfig
    from imageport.plugins.registry import InstalledPlugin


@dataclass(frozen=True)
class ResolvedEntry:
    """An expanded entry with its file, its key path in that, and the folder of its relative paths.

    ``id`` is the requested label. For a shared store, ``referenced_at`` is the position where the pipeline names it.
    """

    use: str
    options: dict[str, Any]
    role: Role
    file: YamlFile
    key_path: KeyPath
    folder: Path
    id: str | None
    referenced_at: tuple[YamlFile, KeyPath]


@dataclass(frozen=True)
class ConfiguredStep:
    """One entry whose plugin exists and whose options are valid; the plugin is not instantiated yet.

    ``label`` names it in this import; ``key_path`` and ``file`` are its position, and its relative paths belong to
    ``folder``. The texts in ``file`` still hold references to the environment and to files,
    and no other variables.
    """

    label: str
    role: Role
    installed: InstalledPlugin
    plugin_class: type[Plugin[Any]]
    config: PluginConfig = field(repr=False)
    key_path: KeyPath
    file: YamlFile
    folder: Path


def resolve_entries(
    file: YamlFile, tree: Mapping[str, Any], site: Site, problems: list[Problem], more_stores: Collection[str]
) -> list[ResolvedEntry]:
    """Return the entries of the expanded pipeline *tree*, and those of *site* that it uses.

    Stores of the site whose ids are in *more_stores* are added, unless the pipeline has one of that id. Malformed
    entries are left out: the model of the pipeline reports them.
    """
    source = tree.get("source")
    return [
        *_entries(file, {("source",): source} if source is not None else {}, "source"),
        *_entries(file, _items(tree, "steps"), "step"),
        *_stores(file, tree, site, problems, more_stores),
        *shared_observers(site),
        *_entries(file, _items(tree, "observers"), "observer"),
    ]


def shared_stores(site: Site) -> list[ResolvedEntry]:
    """Return the stores of the site file."""
    return [_shared(site, "store", index, site.file, ("stores", index)) for index in range(len(site.stores))]


def shared_observers(site: Site) -> list[ResolvedEntry]:
    """Return the observers of the site file."""
    return [
        _shared(site, "observer", index, site.file, ("observers", index))
        for index in range(len(site.observers))
    ]


def labels_of(resolved: Sequence[ResolvedEntry], problems: list[Problem]) -> list[str]:
    """Return a label for each of *resolved*: its id, else the plugin's name, with ``-2`` when that is taken."""
    taken: dict[str, int] = {}
    for entry in resolved:
        if entry.id is None:
            continue
        file, key_path = entry.referenced_at
        if entry.id in taken:
            message = f"'{entry.id}' is already the id in line {taken[entry.id]}: choose another one"
            problems.append(file.problem(key_path, message))
        taken.setdefault(entry.id, file.position(key_path)[0])
    labels = []
    for entry in resolved:
        label, count = entry.id or entry.use, 1
        while entry.id is None and label in taken:
            count += 1
            label = f"{entry.use}-{count}"
        taken.setdefault(label, 0)
        labels.append(label)
    return labels


def _items(tree: Mapping[str, Any], key: str) -> dict[KeyPath, Any]:
    listed = tree.get(key)
    return {(key, index): item for index, item in enumerate(listed if isinstance(listed, list) else [])}


def _entries(file: YamlFile, items: Mapping[KeyPath, Any], role: Role) -> Iterator[ResolvedEntry]:
    for key_path, item in items.items():
        if not isinstance(item, dict) or not isinstance(item.get("use"), str):
            continue
        options, label = item.get("with"), item.get("id")
        yield ResolvedEntry(
            use=item["use"],
            options=options if isinstance(options, dict) else {},
            role=role,
            file=file,
            key_path=key_path,
            folder=Path.cwd(),
            id=label if isinstance(label, str) else None,
            referenced_at=(file, (*key_path, "id")),
        )


def _stores(
    file: YamlFile, tree: Mapping[str, Any], site: Site, problems: list[Problem], more: Collection[str]
) -> Iterator[ResolvedEntry]:
    named = list(_named_stores(file, tree, site, problems))
    taken = {store.id or store.use for store in named}
    for index, store_id in enumerate(site.store_ids()):
        if store_id in more and store_id not in taken:
            named.append(_shared(site, "store", index, file, ("stores",)))
    if not named and not tree.get("stores"):
        ids = ", ".join(site.store_ids())
        message = f"no store: name one of {ids}, or set default_store in {site.file.path}"
        problems.append(file.problem(("stores",), message))
    yield from named


def _named_stores(
    file: YamlFile, tree: Mapping[str, Any], site: Site, problems: list[Problem]
) -> Iterator[ResolvedEntry]:
    ids = site.store_ids()
    if not tree.get("stores") and site.default_store is not None:
        yield _shared(site, "store", ids.index(site.default_store), file, ("stores",))
    for key_path, item in _items(tree, "stores").items():
        if not isinstance(item, str):
            yield from _entries(file, {key_path: item}, "store")
        elif item in ids:
            yield _shared(site, "store", ids.index(item), file, key_path)
        else:
            near = did_you_mean(item, ids) or f" (there are: {', '.join(ids)})"
            problems.append(file.problem(key_path, f"{site.file.path} has no store '{item}'{near}"))


def _shared(site: Site, role: Role, index: int, file: YamlFile, key_path: KeyPath) -> ResolvedEntry:
    """Return an entry of the site file that *file* references at *key_path*."""
    key, entries = ("stores", site.stores) if role == "store" else ("observers", site.observers)
    entry = entries[index]
    # A shared store is known by its label outside of this import, so it must keep it.
    label = (entry.id or entry.use) if role == "store" else entry.id
    return ResolvedEntry(
        entry.use, entry.with_, role, site.file, (key, index), site.folder, label, (file, key_path)
    )
