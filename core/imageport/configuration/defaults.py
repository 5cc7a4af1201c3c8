"""The plugins that are used where no configuration names one."""

from __future__ import annotations

from typing import Final

#: Store of a site without stores; its option ``directory`` is a folder of the user.
STORE: Final = "file"

#: Observers of ``imageport run``, on a terminal and elsewhere.
TERMINAL_OBSERVER: Final = "terminal"
OBSERVER: Final = "log"

#: Import method for staged data: ``enabled_methods`` decides by it whether data may be staged.
STAGED_DATA_METHOD: Final = "glance-direct"
