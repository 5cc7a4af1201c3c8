"""``imageport from-glance`` as a function: files of Glance in, YAML files out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from imageport.errors import PipelineInvalid
from imageport_glance.from_glance.gaps import Gap, gap_lines, gaps_of
from imageport_glance.from_glance.glance_files import read_files
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.pipelines import convert_pipelines
from imageport_glance.from_glance.settings import Settings
from imageport_glance.from_glance.site import convert_site
from imageport_glance.from_glance.yaml_text import Tree, leaves, yaml_lines

SITE_FILE = "imageport.yaml"

_SITE_HEAD = """\
# Shared by all pipelines of this machine, from the configuration of Glance.
#
# The catalog of images and tasks is Imageport's own, and empty at first; Glance's database is not touched. To share it
# between machines:
# catalog: "postgresql+psycopg://imageport:{env.CATALOG_PASSWORD}@db.example.org/imageport"
"""
_RUN: Mapping[str, str] = {
    "glance-direct": "FILE (or - for standard input, or --image ID for staged data)",
    "web-download": "URL",
    "glance-download": "ID-OF-THE-REMOTE-IMAGE",
    "copy-image": "--image ID --store STORE (or --all-stores)",
}


@dataclass(frozen=True, kw_only=True)
class ConvertedSite:
    """The files by their names, the origin of each value in them, and the options without an equivalent."""

    files: Mapping[str, str]
    carried: tuple[tuple[str, str, Setting], ...]
    gaps: tuple[Gap, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values. Values of options are in the files only."""
        return {
            "files": dict(self.files),
            "carried": [
                {**_plain(setting), "here": {"file": name, "key": key}} for name, key, setting in self.carried
            ],
            "not_carried": [
                {
                    "options": [_plain(setting) for setting in gap.settings],
                    "what": gap.what or None,
                    "reason": gap.reason,
                    "instead": gap.instead or None,
                }
                for gap in self.gaps
            ],
        }


def convert(paths: Iterable[str]) -> ConvertedSite:
    """Return the equivalent of the files of Glance at *paths*. Raises ``PipelineInvalid`` with every mistake."""
    found = read_files(paths)
    settings = Settings(found.settings)
    site = convert_site(settings, found.policy, found.protections)
    gaps = list(site.gaps)
    pipelines = convert_pipelines(settings, site.methods, gaps)
    if settings.problems:
        raise PipelineInvalid(sorted(set(settings.problems)))
    trees: dict[str, Tree] = {SITE_FILE: site.tree}
    trees |= {f"pipelines/{method}.yaml": tree for method, tree in pipelines.items()}
    carried = tuple(
        (name, key, setting)
        for name, tree in trees.items()
        for key, leaf in leaves(tree)
        for setting in leaf.settings
    )
    explained = {setting for _, _, setting in carried} | site.stores.explained | settings.referenced
    explained |= {setting for gap in gaps for setting in gap.settings}
    gaps += gaps_of([setting for setting in settings if setting not in explained], site.stores.sections)
    files = {name: _text(name, tree, gaps) for name, tree in trees.items()}
    return ConvertedSite(files=files, carried=carried, gaps=tuple(gaps))


def _text(name: str, tree: Tree, gaps: Iterable[Gap]) -> str:
    body = "\n".join(yaml_lines(tree))
    if name != SITE_FILE:
        method = name.removeprefix("pipelines/").removesuffix(".yaml")
        return f"# imageport run {name} {_RUN[method]}\n\n{body}\n"
    return "\n".join([_SITE_HEAD, body, "", *gap_lines([*gaps])]).rstrip() + "\n"


def _plain(setting: Setting) -> dict[str, Any]:
    return {"file": setting.path, "line": setting.line, "section": setting.section, "option": setting.name}
