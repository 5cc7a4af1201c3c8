"""The hooks of a plugin class, read off the class: nothing of the plugin is called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import Any

from imageport.hookspecs import NAMESPACE, ImportHooks
from imageport.plugin import Plugin
from imageport.text import did_you_mean

#: The arguments that each hook offers, in the order in which an import calls the hooks.
HOOKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(inspect.signature(hook).parameters)[1:]
        for name, hook in vars(ImportHooks).items()
        if not name.startswith("_")
    }
)


@dataclass(frozen=True, slots=True)
class _Method:
    """A method of a plugin; ``mark`` has the arguments of ``@hookimpl``, or None without it."""

    name: str
    mark: Mapping[str, Any] | None
    required: tuple[str, ...]

    @property
    def hook(self) -> str:
        """The hook that the method answers if it is marked."""
        return (self.mark or {}).get("specname") or self.name


def hooks_of(plugin_class: type[Plugin[Any]]) -> tuple[str, ...]:
    """Return the hooks that *plugin_class* answers, in the order in which an import calls them."""
    marked = {method.hook for method in _methods(plugin_class) if method.mark is not None}
    return tuple(name for name in HOOKS if name in marked)


def marked_methods(plugin_class: type[Plugin[Any]]) -> frozenset[str]:
    """Return the names of the methods that are marked as hooks of any name."""
    return frozenset(method.name for method in _methods(plugin_class) if method.mark is not None)


def mistake_in_hooks(plugin_class: type[Plugin[Any]]) -> str | None:
    """Return the mistake that keeps a method of *plugin_class* from being called as its author meant, or None."""
    return next(filter(None, map(_mistake, _methods(plugin_class))), None)


def _mistake(method: _Method) -> str | None:
    if method.mark is None:
        return f"has a method '{method.name}' that is never called: mark it with @hookimpl"
    if method.hook not in HOOKS:
        if method.mark.get("optionalhook"):
            return None
        return f"has an unknown hook '{method.hook}'{_nearest(method.hook, HOOKS)}"
    offered = HOOKS[method.hook]
    for argument in method.required:
        if argument not in offered:
            return f"has a hook '{method.hook}' with an unknown argument '{argument}'{_nearest(argument, offered)}"
    return None


def _nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    return did_you_mean(name, known) or f" (there are: {', '.join(known)})"


def _methods(plugin_class: type[Plugin[Any]]) -> Iterator[_Method]:
    """Yield the methods that are marked as hooks, and those that only have the name of one."""
    found = {name: value for kind in reversed(plugin_class.__mro__) for name, value in vars(kind).items()}
    for name, value in found.items():
        # As in pluggy, properties and other objects are not hooks, and the mark may be inside or outside of these two.
        function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if not isinstance(function, FunctionType):
            continue
        marks = (getattr(holder, f"{NAMESPACE}_impl", None) for holder in (value, function))
        mark = next((mark for mark in marks if isinstance(mark, dict)), None)
        if mark is not None or name in HOOKS:
            yield _Method(name, mark, _required(function)[0 if isinstance(value, staticmethod) else 1 :])


def _required(function: FunctionType) -> tuple[str, ...]:
    """Return the positional arguments without a default, which are those that pluggy passes.

    They are not read from the signature: that would evaluate annotations, which may name objects that are imported for
    type checkers only.
    """
    function = inspect.unwrap(function)
    code = function.__code__
    return code.co_varnames[: code.co_argcount - len(function.__defaults__ or ())]
