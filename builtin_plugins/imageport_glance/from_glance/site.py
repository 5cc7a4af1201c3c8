"""The site file that is equivalent to a configuration of Glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from imageport.http import IPNetwork, is_public
from imageport_glance.from_glance import values
from imageport_glance.from_glance.gaps import Gap
from imageport_glance.from_glance.options import OPTIONS
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.policies import convert_policy
from imageport_glance.from_glance.protections import ProtectionsFile, convert_protections
from imageport_glance.from_glance.settings import Settings
from imageport_glance.from_glance.stores import ConvertedStores, convert_staging, convert_stores
from imageport_glance.from_glance.yaml_text import Leaf, Tree

#: Methods that Glance enables when ``enabled_import_methods`` is not set; here every installed method would be.
GLANCE_METHODS = ("glance-direct", "web-download", "copy-image")
_METHODS = frozenset({*GLANCE_METHODS, "glance-download"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFile:
    """The site file, the methods that are enabled, the stores, and the options that could not be carried over."""

    tree: Tree
    methods: Leaf
    stores: ConvertedStores
    gaps: list[Gap]


def convert_site(
    settings: Settings, policy: Mapping[str, Setting], protections: ProtectionsFile | None
) -> SiteFile:
    """Return the site file for *settings*, the rules *policy* and the file of property *protections*."""
    gaps: list[Gap] = []
    stores = convert_stores(settings)
    methods = _methods(settings, gaps)
    staging = convert_staging(settings)
    rules = convert_policy(policy)
    tree: dict[str, Any] = {
        "staging": {"directory": staging} if staging else {},
        "enabled_methods": methods,
        "network": _network(settings),
        "digests": _digests(settings),
        "limits": {},
        "stores": stores.entries,
        "default_store": stores.default,
        "observers": list(_observers(settings, gaps)),
        "policy": rules.rules,
        "property_protections": convert_protections(settings, protections, policy, gaps),
        "quotas": _quotas(settings),
    }
    for option in OPTIONS:
        if option.site and option.parse:
            leaf = settings.leaf(option.section, option.name, option.parse)
            if leaf is not None:
                _put(tree, option.site, leaf)
    tree = {key: part for key, part in tree.items() if part}
    return SiteFile(tree=tree, methods=methods, stores=stores, gaps=[*stores.gaps, *gaps, *rules.gaps])


def _put(tree: MutableMapping[str, Any], key: str, leaf: Leaf) -> None:
    *folders, name = key.split(".")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[name] = leaf


def _methods(settings: Settings, gaps: list[Gap]) -> Leaf:
    found = settings.read("DEFAULT", "enabled_import_methods", values.words)
    if found is None:
        return Leaf(list(GLANCE_METHODS), remark="Glance's default")
    names, setting = found
    for name in names:
        if name not in _METHODS:
            reason = f"no import method is called {name}"
            gaps.append(Gap(settings=(setting,), what=name, reason=reason, instead="write a plugin for it"))
    return Leaf([name for name in names if name in _METHODS], (setting,))


def _network(settings: Settings) -> dict[str, Tree]:
    """Allow the private addresses that the operator has listed; all others are refused here, unlike in Glance."""
    found = settings.read("import_filtering_opts", "allowed_hosts", values.words)
    if found is None:
        return {}
    networks = [str(network) for host in found[0] if (network := _private_network(host))]
    remark = "private addresses are refused unless they are listed"
    return {"allow_networks": Leaf(networks, (found[1],), remark)} if networks else {}


def _private_network(host: str) -> IPNetwork | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return None if is_public(address) else ip_network(address)


def _digests(settings: Settings) -> Leaf | None:
    leaf = settings.leaf("DEFAULT", "hashing_algorithm", values.digest)
    if leaf is None:
        return None
    return Leaf(list(dict.fromkeys(["md5", str(leaf.value)])), leaf.settings, "the last one is os_hash_value")


def _observers(settings: Settings, gaps: list[Gap]) -> Iterator[Tree]:
    """Return the observer that is equivalent to notifications, when a driver is set."""
    drivers = [
        setting
        for setting in settings.every("oslo_messaging_notifications", "driver")
        if setting.text.strip() not in {"", "noop"}
    ]
    disabled = settings.leaf("DEFAULT", "disabled_notifications", values.words)
    if not drivers:
        if disabled:
            reason = "no notifications are sent: [oslo_messaging_notifications] driver is not set"
            gaps.append(Gap(settings=disabled.settings, reason=reason, instead=""))
        return
    remark = "a file, because there is no message queue here; or url: for a webhook"
    options: dict[str, Tree] = {"path": Leaf("notifications.jsonl", tuple(drivers), remark)}
    publisher = settings.leaf("DEFAULT", "default_publisher_id", values.text)
    options["publisher_id"] = publisher or Leaf("image.localhost", remark="Glance's default")
    if disabled:
        options["disabled_notifications"] = disabled
    yield {"use": Leaf("notifications", tuple(drivers)), "with": options}


def _quotas(settings: Settings) -> dict[str, Tree]:
    leaf = settings.leaf("DEFAULT", "user_storage_quota", values.quota)
    return {"image_size_total": leaf} if leaf and leaf.value != "0 B" else {}
