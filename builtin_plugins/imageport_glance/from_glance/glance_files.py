"""Recognise files of Glance: the configuration, the property protections, the policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from imageport.configuration import YamlFile
from imageport.errors import PipelineInvalid, Problem
from imageport.text import printable
from imageport_glance.from_glance.gaps import concerns_glance
from imageport_glance.from_glance.oslo_file import Setting, parse, read_text
from imageport_glance.from_glance.protections import ProtectionsFile

_OPERATIONS = frozenset({"create", "read", "update", "delete"})


@dataclass(kw_only=True)
class GlanceFiles:
    """The settings of all files together; of several of a kind the later ones count."""

    settings: list[Setting] = field(default_factory=list)
    policy: dict[str, Setting] = field(default_factory=dict)
    protections: ProtectionsFile | None = None


def read_files(paths: Iterable[str]) -> GlanceFiles:
    """Read the files at *paths*, in any order, and recognise them by their content.

    Raises ``PipelineInvalid`` with the mistakes of all files, and for a file that is none of Glance's.
    """
    found = GlanceFiles()
    problems: list[Problem] = []
    for path in paths:
        try:
            _read(path, found)
        except PipelineInvalid as error:
            problems += error.problems
    if problems:
        raise PipelineInvalid(problems)
    return found


def _read(path: str, found: GlanceFiles) -> None:
    text = read_text(path)
    first = _first_line(text)
    if first is None:
        # A sample file, as it is packaged: everything in it is a comment.
        return
    if not first.startswith("["):
        found.policy |= _policy(path)
        return
    settings = parse(text, path)
    names = {setting.name.casefold() for setting in settings}
    if names and names <= _OPERATIONS:
        found.protections = ProtectionsFile(path=path, settings=tuple(settings))
    elif settings and not any(map(concerns_glance, settings)):
        raise _unknown(path)
    else:
        found.settings += settings


def _first_line(text: str) -> str | None:
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and line[0] not in "#;" and line != "---"), None)


def _policy(path: str) -> dict[str, Setting]:
    file = YamlFile.load(path)
    if not all(isinstance(rule, str) for rule in file.data.values()):
        raise _unknown(path)
    return {
        name: Setting("policy", name, rule, path, file.positions[(name,)][0])
        for name, rule in file.data.items()
    }


def _unknown(path: str) -> PipelineInvalid:
    message = (
        "this is not a configuration of Glance: give glance-api.conf, glance-image-import.conf, a file of property "
        "protections, or policy.yaml"
    )
    return PipelineInvalid([Problem(printable(path), 1, 1, "", message)])
