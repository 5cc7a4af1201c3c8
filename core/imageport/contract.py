"""The version of the contract between Imageport and packages of plugins and commands.

A package states the versions that it was written for as entry points of the group ``imageport.contract``, so that they
are known without an import of the package::

    [project.entry-points."imageport.contract"]
    "1.0" = "acme_scan"

The name is the version, and the value is the module of the package. The first number rises when a package may have to
change: a hook, an argument or a public name is gone, or means something else. The second one rises when something is
added. A package that states nothing is loaded, and its mistakes show one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

#: The contract of this Imageport, as two numbers.
CONTRACT: tuple[int, int] = (1, 0)

#: The group of entry points by which a package states its contract.
GROUP = "imageport.contract"

_VERSION = re.compile(r"(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")


def contract_text(contract: tuple[int, int]) -> str:
    """Return *contract* as people write it: ``1.0``."""
    return ".".join(map(str, contract))


def misfit(
    stated: Sequence[str], distribution: str, host: tuple[int, int] = CONTRACT
) -> tuple[str, str] | None:
    """Return why a package cannot be used that has *stated* these contracts, with the hint, or None when it can.

    One that fits is enough. *distribution* is the name and version of the package, *host* the contract of Imageport.
    """
    versions = []
    for text in stated:
        found = _VERSION.fullmatch(text)
        if found is None:
            return (
                f"states a contract that is not like '1.0': '{text[:40]}'",
                f"report it to the authors of {distribution}",
            )
        versions.append((int(found[1]), int(found[2])))
    if not versions or any(version[0] == host[0] and version <= host for version in versions):
        return None
    listed = " or ".join(contract_text(version) for version in sorted(versions))
    newer = min(versions) > host
    return (
        f"is written for contract {listed}, and this imageport has contract {contract_text(host)}",
        "update imageport"
        if newer
        else f"update {distribution.partition(' ')[0]}, or use an older imageport",
    )
