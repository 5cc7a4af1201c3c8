"""A plugin in a single file, for an experiment: nothing is installed."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from imageport.errors import PluginBroken, UsageError
from imageport.plugin import Plugin
from imageport.plugins.hooks import hooks_of
from imageport.plugins.registry import InstalledPlugin
from imageport.text import NAME

#: The modules of the files have names below this one, which no package has.
_NAMESPACE = "imageport_plugin_file"


class FilePlugin(InstalledPlugin):
    """The plugin in a file; ``value`` is its path, and ``distribution`` is ``file`` and the path."""

    __slots__ = ()

    @classmethod
    def at(cls, path: Path) -> FilePlugin:
        """Return the plugin in the file *path*, under the name of the file.

        Raises ``UsageError`` for any other path.
        """
        name = path.name.removesuffix(".py")
        if path.suffix != ".py" or not NAME.fullmatch(name):
            raise UsageError(
                f"{path} cannot be the file of a plugin: its name becomes that of the plugin",
                hint="name it like my_step.py: letters, digits, '_', '.' and '-', at most 64",
            )
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "is missing" if not path.exists() else "is not a file"
            raise UsageError(f"the file of a plugin {path} {state}", hint="give the path of a Python file")
        return cls(name, f"file {path}", str(path.resolve()))

    def load(self) -> type[Plugin[Any]]:
        """Return the class, as for an installed plugin. Raises ``PluginBroken``, also for a store."""
        found = super().load()
        if {"store_write", "store_read"} & set(hooks_of(found)):
            raise self.broken(
                "is a store, whose copies are read and deleted later, when the file may be gone",
                "make a package of it: imageport plugins new",
            )
        return found

    def find_object(self) -> Any:
        """Run the file, and return the one class in it that derives from ``Plugin`` and is not hidden by a ``_``."""
        module = _module(self.name, Path(self.value))
        found = [
            value
            for name, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, Plugin)
            and value.__module__ == module.__name__
            and value.__name__ == name
            and not name.startswith("_")
        ]
        if not found:
            raise self.broken(
                "has no class that derives from imageport.Plugin", "write 'class Mine(Plugin[NoConfig])'"
            )
        if len(found) > 1:
            raise self.broken(
                f"has several plugins: {', '.join(value.__name__ for value in found)}",
                "keep one in the file; begin the name of a base class with '_'",
            )
        return found[0]

    def broken(self, reason: str, hint: str = "") -> PluginBroken:
        """Return the error that names the file and the *reason*."""
        return super().broken(reason, hint or "correct the file")


def _module(name: str, path: Path) -> ModuleType:
    """Run the file at *path*, once in a process, and return it as a module."""
    # Two files may have the same name.
    name = f"{_NAMESPACE}.{name}_{sha256(bytes(path)).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(path)
    # Annotations of models are evaluated in the module, which is looked up by its name.
    sys.modules[name] = module
    try:
        # As the import of a module, but without a file of bytecode beside it.
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    except BaseException:
        del sys.modules[name]
        raise
    return module
