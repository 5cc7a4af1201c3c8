"""The format inspectors of oslo.utils, imported without the rest of their package."""

from __future__ import annotations

import functools
import sys
import threading
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_PACKAGE = "oslo_utils.imageutils"
_importing = threading.Lock()


def format_inspector() -> ModuleType:
    """Return ``oslo_utils.imageutils.format_inspector``.

    Its package first imports a parser of the output of qemu-img, which compiles hundreds of regular expressions: more
    time than everything else that a small import computes. So the module is imported below an empty package. Other
    importers of the package get the complete one, now and later.
    """
    with _importing:
        return _import_alone()


@functools.cache
def _import_alone() -> ModuleType:
    name = f"{_PACKAGE}.format_inspector"
    spec = find_spec(_PACKAGE)
    if spec is None or _PACKAGE in sys.modules:
        return import_module(name)
    sys.modules[_PACKAGE] = module_from_spec(spec)
    try:
        return import_module(name)
    finally:
        for loaded in [loaded for loaded in sys.modules if loaded.startswith(_PACKAGE)]:
            del sys.modules[loaded]
