"""Roles that a plugin can have in a pipeline, by the hooks that it implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Role = Literal["source", "step", "store", "observer"]

#: The key of a pipeline under which entries of each role are written.
SECTIONS: Mapping[Role, str] = {
    "source": "source",
    "step": "steps",
    "store": "stores",
    "observer": "observers",
}

_STORE_HOOKS = frozenset({"store_write", "store_read"})
_PASSIVE_HOOKS = frozenset({"validate_source", "on_progress", "diagnose"})


def fits(hooks: frozenset[str], role: Role) -> bool:
    """Return whether a plugin with *hooks* may have *role*."""
    match role:
        case "source":
            return "stage" in hooks
        case "store":
            return bool(hooks & _STORE_HOOKS)
        case "observer":
            return "on_progress" in hooks
        case "step":
            # Methods and stores may have other hooks beside their own; below steps they would do nothing.
            return ("transform" in hooks and "stage" not in hooks) or (
                bool(hooks - {"diagnose"}) and hooks <= _PASSIVE_HOOKS
            )


def roles_of(hooks: frozenset[str]) -> list[Role]:
    """Return the roles that a plugin with *hooks* may have, in the order of a pipeline."""
    roles = [role for role in SECTIONS if fits(hooks, role)]
    # Each observer may stand among the steps, where it does the same.
    return (
        [role for role in roles if role != "step"]
        if "observer" in roles and "transform" not in hooks
        else roles
    )
