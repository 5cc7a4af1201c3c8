"""The public names of all public modules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import imageport

#: All public names, as ``module.name``.
PUBLIC: dict[str, Any] = {
    f"{module}.{name}": getattr(import_module(module), name)
    for module in imageport.PUBLIC_MODULES
    for name in import_module(module).__all__
}
