"""Rules of a Glance policy file, in the words that a site file has for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from imageport.access import Policy, alternatives
from imageport_glance.from_glance.gaps import Gap
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.yaml_text import Leaf

#: Rules that Glance itself defines for others to use.
_BUILT_IN: Final[Mapping[str, str]] = {
    "default": "",
    "context_is_admin": "role:admin",
    "service_api": "role:service or role:admin",
}
#: Checks of oslo.policy and the terms that mean the same.
_TERMS: Final = (
    (re.compile(r"@|!|role:[\w.-]+"), r"\g<0>"),
    (re.compile(r"(project_id|tenant|user_id):%\((project_id|owner|target\.owner)\)s"), "owner"),
    (re.compile(r"'(public|community|shared)':%\(visibility\)s"), r"visibility:\1"),
)
#: Most alternatives of one rule, and brackets and rules inside one another.
_MAX_ALTERNATIVES = 32
_MAX_DEPTH = 20

_Alternatives = list[tuple[str, ...]]


@dataclass(kw_only=True)
class ConvertedPolicy:
    """The entries under ``policy``, and the rules that have none."""

    rules: dict[str, Leaf] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def convert_policy(settings: Mapping[str, Setting]) -> ConvertedPolicy:
    """Return *settings*, the rules of a policy file by name, as far as they can be expressed here."""
    texts = {**_BUILT_IN, **{name: setting.text for name, setting in settings.items()}}
    converted = ConvertedPolicy()
    for name, setting in settings.items():
        if name in _BUILT_IN:
            continue
        if name not in Policy.model_fields:
            if not _is_used(name, texts):
                reason = "no command here asks this rule"
                converted.gaps.append(Gap(settings=(setting,), reason=reason, instead=""))
            continue
        try:
            converted.rules[name] = Leaf(convert_rule(setting.text, texts), (setting,))
        except ValueError as error:
            gap = Gap(
                settings=(setting,),
                reason=str(error),
                instead=f"write policy.{name} by hand; until then its default holds",
            )
            converted.gaps.append(gap)
    return converted


def convert_named_rule(name: str, settings: Mapping[str, Setting]) -> Leaf | None:
    """Return the rule called *name*, which a file of property protections uses, or None when there is none.

    Raises ``ValueError`` when it cannot be expressed here.
    """
    texts = {**_BUILT_IN, **{name: setting.text for name, setting in settings.items()}}
    if name not in texts:
        return None
    rule = convert_rule(texts[name], texts)
    return Leaf(rule, (settings[name],)) if name in settings else Leaf(rule, remark="Glance's default")


def convert_rule(text: str, rules: Mapping[str, str]) -> str:
    """Return a rule of oslo.policy with *rules* to refer to. Raises ``ValueError`` when it cannot be expressed here."""
    found = _Reader(rules).read(text, 0)
    rule = " or ".join(" and ".join(terms) for terms in found)
    alternatives(rule)
    return rule


class _Reader:
    """Reads rules into alternatives, each of which is a list of terms that have to hold together."""

    def __init__(self, rules: Mapping[str, str]) -> None:
        self._rules = rules
        self._known: dict[str, _Alternatives] = {}

    def read(self, text: str, depth: int) -> _Alternatives:
        words = list(_split(text))
        if not words:
            return [("@",)]
        found = self._any_of(words, depth)
        if words:
            raise ValueError(f"'{words[0]}' is not understood where it stands")
        return found

    def _any_of(self, words: list[str], depth: int) -> _Alternatives:
        found = self._all_of(words, depth)
        while words and words[0].casefold() == "or":
            words.pop(0)
            found = _few([*found, *self._all_of(words, depth)])
        return found

    def _all_of(self, words: list[str], depth: int) -> _Alternatives:
        found = self._term(words, depth)
        while words and words[0].casefold() == "and":
            words.pop(0)
            more = self._term(words, depth)
            found = _few([tuple(dict.fromkeys(left + right)) for left in found for right in more])
        return found

    def _term(self, words: list[str], depth: int) -> _Alternatives:
        if not words:
            raise ValueError("the rule is not complete")
        if depth > _MAX_DEPTH:
            raise ValueError("brackets, or rules that refer to rules, are nested too deeply")
        word = words.pop(0)
        if word == "(":
            found = self._any_of(words, depth + 1)
            if not words or words.pop(0) != ")":
                raise ValueError("a bracket is not closed")
            return found
        if word.startswith("rule:"):
            return self._rule(word.removeprefix("rule:"), depth)
        if word == "is_admin:True":
            return self._rule("context_is_admin", depth)
        for pattern, term in _TERMS:
            if check := pattern.fullmatch(word):
                return [(check.expand(term),)]
        raise ValueError(f"'{word}' cannot be expressed in the rules of a site file")

    def _rule(self, name: str, depth: int) -> _Alternatives:
        if name not in self._rules:
            raise ValueError(f"there is no rule '{name}' in the policy file")
        if name not in self._known:
            self._known[name] = self.read(self._rules[name], depth + 1)
        return self._known[name]


def _split(text: str) -> Iterator[str]:
    """Split a rule as oslo.policy does: brackets count at both ends of a word, where no check has any."""
    for word in text.split():
        inner = word.lstrip("(")
        yield from "(" * (len(word) - len(inner))
        check = inner.rstrip(")")
        if check:
            yield check
        yield from ")" * (len(inner) - len(check))


def _few(found: _Alternatives) -> _Alternatives:
    few = list(dict.fromkeys(found))
    if len(few) > _MAX_ALTERNATIVES:
        raise ValueError(f"it stands for more than {_MAX_ALTERNATIVES} alternatives")
    return few


def _is_used(name: str, texts: Mapping[str, str]) -> bool:
    return any(f"rule:{name}" in _split(text) for text in texts.values())
