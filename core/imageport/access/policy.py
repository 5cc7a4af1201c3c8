"""Access rules such as ``role:admin or owner and role:member``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imageport.access.visibility import EVERYTHING, Scope, admits
from imageport.values import Caller, ImageRecord

_TERM = re.compile(r"@|!|owner|role:[\w.-]+|visibility:(public|community|shared|private)")
_LINK = re.compile("and|or")

_HOW_TO_WRITE = (
    "a rule is made of '@' (all callers), '!' (none), 'owner', 'role:NAME' and 'visibility:public', "
    "joined by 'and' and 'or', without brackets"
)


def alternatives(rule: str) -> Sequence[Sequence[str]]:
    """Return the terms of *rule*: one of the inner lists has to hold completely. Raises ``ValueError``."""
    words = rule.split()
    for number, word in enumerate(words):
        if not (_LINK if number % 2 else _TERM).fullmatch(word):
            raise ValueError(f"'{word}' is not understood: {_HOW_TO_WRITE}")
    if len(words) % 2 == 0:
        raise ValueError(f"'{rule}' is not complete: {_HOW_TO_WRITE}")
    found = [[words[0]]]
    for link, term in zip(words[1::2], words[2::2], strict=True):
        if link == "or":
            found.append([])
        found[-1].append(term)
    return found


def allows(rule: str, caller: Caller, record: ImageRecord) -> bool:
    """Return whether *rule* lets *caller* through to *record*. Roles compare without regard to case."""
    return admits(scope_of(rule, caller), record)


def scope_of(rule: str, caller: Caller) -> Scope:
    """Return the images to which *rule* lets *caller* through."""
    found: list[dict[str, str]] = []
    for terms in alternatives(rule):
        wanted: dict[str, str] = {}
        if all(_holds(term, caller, wanted) for term in terms) and wanted not in found:
            found.append(wanted)
    return EVERYTHING if {} in found else found


def _holds(term: str, caller: Caller, wanted: dict[str, str]) -> bool:
    """Return whether *term* can hold for *caller* and an image with the *wanted* fields, and add those of the term."""
    kind, _, name = term.partition(":")
    match kind:
        case "role":
            return name.casefold() in {role.casefold() for role in caller.roles}
        case "visibility":
            return wanted.setdefault("visibility", name) == name
        case "owner":
            return wanted.setdefault("owner", caller.owner) == caller.owner
    return kind == "@"


def _checked(rule: str) -> str:
    alternatives(rule)
    return rule


#: Type of an option that is a rule.
Rule = Annotated[str, AfterValidator(_checked)]

_OWN = "role:admin or role:member and owner"


class Policy(BaseModel):
    """``policy:`` of the site file: access rules. The names and defaults are those of Glance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    add_image: Rule = Field(
        default=_OWN, description="Make a record: 'images create', and 'run' without --image."
    )
    get_image: Rule = Field(
        default="role:admin or owner or visibility:public or visibility:community",
        description="See an image. For all other callers it does not exist, regardless of the other rules.",
    )
    modify_image: Rule = Field(
        default=_OWN,
        description="Change an image and bring its data: 'images set', 'images stage', and 'run' but for copies.",
    )
    publicize_image: Rule = Field(
        default="role:admin", description="Make an image public: '--visibility public'."
    )
    communitize_image: Rule = Field(
        default=_OWN, description="Give an image the visibility community: '--visibility community'."
    )
    download_image: Rule = Field(
        default="role:admin or role:member", description="Read the data of an image: 'images export'."
    )
    delete_image: Rule = Field(default=_OWN, description="Delete an image: 'images delete'.")
    delete_image_location: Rule = Field(
        default="role:admin", description="Remove one copy of an image: 'images delete --store'."
    )
    copy_image: Rule = Field(
        default="role:admin",
        description="Copy an image to further stores: 'run' with a method that copies. It is then done with all "
        "rights, and the image keeps its owner.",
    )
    get_tasks: Rule = Field(
        default="@",
        description="See the imports of an image that one can see: 'tasks'. Here 'owner' is who started the import.",
    )
    modify_task: Rule = Field(
        default="role:admin or owner",
        description="Stop an import: 'tasks cancel'. Here 'owner' is who started it.",
    )
