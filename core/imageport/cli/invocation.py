"""One call of the command ``imageport``."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageport.app import Imageport
    from imageport.cli.commands import InstalledCommand


@dataclass
class Invocation:
    """What ``main`` has to know of a call when it ends: its site, ``--debug``, and the command that runs."""

    imageport: Imageport | None = None
    debug: bool = False
    command: InstalledCommand | None = None

    @property
    def secrets(self) -> Collection[str]:
        """The values that neither errors nor log lines may show."""
        return () if self.imageport is None else self.imageport.secrets

    def close(self) -> None:
        """Close the catalog, if it was opened."""
        if self.imageport is not None:
            self.imageport.close()
