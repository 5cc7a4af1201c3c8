"""Who may do what: rules such as ``role:admin or role:operator``."""

from __future__ import annotations

import re

from imageport.errors import NotAllowed
from imageport.values import Caller

RULE = re.compile(r"@|!|role:[\w.-]+( or role:[\w.-]+)*")


def allows(rule: str, caller: Caller) -> bool:
    """Return whether *rule* lets *caller* through: ``@`` everybody, ``!`` nobody, else any role named in it."""
    if rule in {"@", "!"}:
        return rule == "@"
    wanted = {part.removeprefix("role:").casefold() for part in rule.split(" or ")}
    return bool(wanted & {role.casefold() for role in caller.roles})


def require(name: str, rule: str, caller: Caller) -> None:
    """Raise ``NotAllowed`` unless *rule*, called *name* in the site file, lets *caller* through."""
    if not allows(rule, caller):
        roles = ", ".join(sorted(caller.roles)) or "none"
        raise NotAllowed(
            f"policy {name} ({rule}) does not allow this to {caller.user} (roles: {roles})",
            hint=f"name a role with --role, or change policy.{name} in the site file",
        )
