"""Property protections: the file of Glance stays, and the site file names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imageport.errors import Problem
from imageport.text import printable
from imageport_glance.from_glance import values
from imageport_glance.from_glance.gaps import Gap
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.policies import convert_named_rule
from imageport_glance.from_glance.settings import Settings
from imageport_glance.from_glance.yaml_text import Leaf, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectionsFile:
    """A file of property protections: its path and its settings."""

    path: str
    settings: tuple[Setting, ...]


def convert_protections(
    settings: Settings, given: ProtectionsFile | None, policy: Mapping[str, Setting], gaps: list[Gap]
) -> dict[str, Tree]:
    """Return the value of ``property_protections``; nothing when there is no such file."""
    named = settings.leaf("DEFAULT", "property_protection_file", values.text)
    kind = settings.leaf("DEFAULT", "property_protection_rule_format", _rule_format)
    if given is None and named is None:
        return {}
    found: dict[str, Tree] = {"file": _file(settings, given, named)}
    if kind:
        found["format"] = kind
    if kind and kind.value == "policies":
        rules = _rules((setting.text.strip() for setting in given.settings) if given else (), policy, gaps)
        if rules:
            found["rules"] = rules
        if given is None and named is not None:
            reason = "it names rules, which the site file has to have under property_protections.rules"
            instead = "give that file, and policy.yaml, to this command as well"
            gaps.append(Gap(settings=named.settings, reason=reason, instead=instead))
    return found


def _file(settings: Settings, given: ProtectionsFile | None, named: Leaf | None) -> Leaf:
    origin = named.settings if named else ()
    if given:
        path, beside = given.path, Path()
    else:
        # Glance looks for it in the folder of its configuration.
        path, beside = str(named.value if named else ""), Path(origin[0].path).parent
    absolute = str((beside / path).absolute())
    if not absolute.isprintable():
        message = "this name has a character that cannot be printed: rename the file"
        settings.problems.append(Problem(printable(absolute), 1, 1, "", message))
    return Leaf(absolute, origin, "" if origin else "given to this command")


def _rules(names: Iterable[str], policy: Mapping[str, Setting], gaps: list[Gap]) -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for name in dict.fromkeys(names):
        try:
            if rule := convert_named_rule(name, policy):
                found[name] = rule
        except ValueError as error:
            instead = f"write property_protections.rules.{name} by hand"
            gaps.append(Gap(settings=(policy[name],), reason=str(error), instead=instead))
    return found


def _rule_format(value: str) -> str:
    if value not in {"roles", "policies"}:
        raise ValueError(f"'{value:.40}' is neither roles nor policies")
    return value
