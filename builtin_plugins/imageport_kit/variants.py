"""The kinds of packages that can be made, one for each hook and each base of stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Hook = Literal[
    "transform", "validate_source", "stage", "store_write", "store_read", "on_progress", "diagnose", "command"
]

Base = Literal["folder", "part", "extent", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A kind of package: its templates, and what a reader learns about it.

    ``module`` and ``tests`` are names of templates, ``kind`` is the role, ``summary`` a sentence. ``options`` are those
    under which the tests run. ``section`` is the key of a pipeline where the plugin stands; a command has none.
    ``marks_all`` is whether the type checkers are to refuse a hook without its mark: with a base, they would want a
    mark on each method of the base.
    """

    module: str
    tests: str
    kind: str
    summary: str
    section: str | None
    options: Mapping[str, str] = field(default_factory=dict)
    marks_all: bool = True

    @property
    def is_command(self) -> bool:
        """Whether the package has a command and no plugin."""
        return self.section is None


_DIRECTORY = {"directory": "images"}

_STORES: Mapping[Base, Variant] = {
    "folder": Variant(
        module="folder", tests="store", kind="A store", section="stores", options=_DIRECTORY, marks_all=False,
        summary="Keep images as files in a folder.",
    ),
    "part": Variant(
        module="part", tests="store", kind="A store", section="stores", options=_DIRECTORY, marks_all=False,
        summary="Keep images as objects that are uploaded in parts.",
    ),
    "extent": Variant(
        module="extent", tests="store", kind="A store", section="stores", options=_DIRECTORY, marks_all=False,
        summary="Keep images as volumes.",
    ),
    "plain": Variant(
        module="plain", tests="store", kind="A store", section="stores", options=_DIRECTORY, marks_all=False,
        summary="Keep images packed.",
    ),
}  # fmt: skip

_OTHERS: Mapping[Hook, Variant] = {
    "transform": Variant(
        module="transform", tests="step", kind="A step", section="steps",
        summary="Write who imported an image into one of its properties.",
    ),
    "validate_source": Variant(
        module="validate_source", tests="check", kind="A step", section="steps",
        summary="Refuse sources whose url has another scheme than those listed.",
    ),
    "stage": Variant(
        module="stage", tests="method", kind="An import method", section="source",
        summary="Fetch an image from a url, with a token in the request.",
    ),
    "store_read": Variant(
        module="store_read", tests="read_only_store", kind="A read-only store", section="stores",
        options={"directory": "library"}, summary="Read images that another program keeps in a folder.",
    ),
    "on_progress": Variant(
        module="on_progress", tests="observer", kind="An observer", section="observers",
        options={"path": "ends.txt"}, summary="Write a line for the end of each import into a file.",
    ),
    "diagnose": Variant(
        module="diagnose", tests="observer", kind="An observer", section="observers",
        options={"path": "ends.txt"}, summary="Write the ends of imports into a file, and examine its folder.",
    ),
    "command": Variant(
        module="command", tests="command", kind="A command", section=None,
        summary="Count the images of the catalog by their status.",
    ),
}  # fmt: skip

#: All kinds: the hook, and the base where there are several.
VARIANTS: Mapping[tuple[Hook, Base | None], Variant] = {
    **{(hook, None): variant for hook, variant in _OTHERS.items()},
    **{("store_write", base): variant for base, variant in _STORES.items()},
}

BASES: tuple[Base, ...] = get_args(Base)
