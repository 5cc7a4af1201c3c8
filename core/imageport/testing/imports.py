"""The import of one module, examined in a new interpreter: what it loads, writes, opens, starts and changes.

Run as a program, with the name of the module, its file and the module path as JSON in the first argument. The findings
are a line of JSON on the descriptor in the second argument.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from imageport.testing.clauses import Unresponsive, require

#: Modules of other packages that the import of a plugin may load.
MOST_MODULES = 50

#: Packages that are loaded for every plugin.
_USUAL = frozenset(
    {"imageport", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "pluggy"}
)

_EVENTS: Mapping[str, str] = {
    "socket.connect": "opens a connection",
    "socket.bind": "opens a server socket",
    "socket.getaddrinfo": "looks a name up in the network",
    "subprocess.Popen": "starts a program",
    "os.system": "starts a program",
    "os.posix_spawn": "starts a program",
    "os.exec": "starts a program",
    "os.fork": "starts a process",
    "os.mkdir": "makes a folder",
    "os.remove": "removes a file",
    "os.rename": "renames a file",
    "os.rmdir": "removes a folder",
    "os.putenv": "changes the environment",
    "shutil.rmtree": "removes a folder",
}

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True)
class ImportFindings:
    """What the import of a module did: ``work`` in words, ``modules`` of other packages that it loaded."""

    work: tuple[str, ...]
    modules: tuple[str, ...]
    printed: str
    error: str | None


def examine_import(module: ModuleType, patience: float) -> ImportFindings:
    """Return what the import of *module* does in a new interpreter. Raises ``Unresponsive`` when it does not end."""
    reading, writing = os.pipe()
    place = json.dumps([module.__name__, module.__file__, [entry or str(Path.cwd()) for entry in sys.path]])
    command = [sys.executable, "-P", "-B", "-c", _START, place, str(writing)]
    with os.fdopen(reading) as answers:
        try:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                pass_fds=[writing], start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(writing)
        try:
            printed, _ = child.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            raise Unresponsive(
                f"the import of {module.__name__} did not return within {patience:g} s"
            ) from error
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        line = answers.readline()
    require(line, f"the import of {module.__name__} ended the process with exit code {child.returncode}")
    found = json.loads(line)
    return ImportFindings(
        tuple(found["work"]), tuple(found["modules"]), printed.decode(errors="replace"), found["error"]
    )


def require_light(found: ImportFindings, also: tuple[str, ...] = ()) -> None:
    """Raise ``BrokenClause`` for what a module should not do when it is imported; packages in *also* are usual."""
    require(found.error is None, f"the import raised {found.error}")
    require(not found.work, f"the import {', '.join(found.work)}")
    require(not found.printed, f"the import printed {found.printed[:80]!r}")
    modules = [name for name in found.modules if name.partition(".")[0] not in also]
    packages = Counter(name.partition(".")[0] for name in modules)
    listed = ", ".join(f"{package} ({count})" for package, count in packages.most_common(5))
    require(
        len(modules) <= MOST_MODULES,
        f"the import loads {len(modules)} modules of other packages, more than {MOST_MODULES}: {listed}; "
        "import them in the hooks that need them",
    )


_START = """
import json, sys
name, file, sys.path[:] = json.loads(sys.argv[1])
from imageport.testing.imports import main
main(name, file, int(sys.argv[2]))
"""


def main(name: str, file: str | None, descriptor: int) -> None:
    """Import the module called *name*, or in *file*, and write the findings to *descriptor*."""
    import imageport
    import imageport.stores

    for public in imageport.__all__:
        getattr(imageport, public)  # they are loaded when they are first used
    work: dict[str, None] = {}
    before, state = set(sys.modules), _state()
    listening = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if not listening:
            return
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            work[f"opens {arguments[0]} for writing"] = None
        elif event in _EVENTS:
            work[_EVENTS[event]] = None

    sys.addaudithook(note)
    error = _import(name, file)
    listening = False
    if threading.active_count() > 1:
        work["starts a thread"] = None
    after = _state()
    work |= {f"changes {part}": None for part in state if after.get(part) != state[part]}
    work |= {f"changes {part}": None for part in _replaced(_own(name))}
    findings = {"work": [*work], "modules": _foreign(set(sys.modules) - before, name), "error": error}
    with os.fdopen(descriptor, "w") as answers:
        print(json.dumps(findings), file=answers)
    sys.stdout.flush()
    os._exit(0)


def _import(name: str, file: str | None) -> str | None:
    try:
        with suppress(ModuleNotFoundError):
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
                return None
        spec = importlib.util.spec_from_file_location(name, file or "")
        if spec is None or spec.loader is None:
            return f"{name} cannot be imported"
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except BaseException as error:  # noqa: BLE001 - a module may raise anything
        return f"{type(error).__name__}: {error}"
    return None


def _state() -> dict[str, object]:
    """Return what no import of a plugin may change, by its name."""
    state: dict[str, object] = {
        "sys.path": [*sys.path],
        "the hooks of imports": (list(map(id, sys.meta_path)), list(map(id, sys.path_hooks))),
        "the working folder": str(Path.cwd()),
        "the handlers of signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "sys.stdout": id(sys.stdout),
        "sys.excepthook": id(sys.excepthook),
        "the umask": _umask(),
    }
    for name, module in list(sys.modules.items()):
        if (name.partition(".")[0] == "imageport" and name != __name__) or name in _PYTHON:
            for attribute, value in _attributes(module):
                state[f"{name}.{attribute}"] = id(value)
    return state


_PYTHON = ("builtins", "os", "socket", "subprocess", "importlib.metadata", "threading", "time", "hashlib")


def _attributes(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield the functions and classes of *module*, and the methods of its classes."""
    for attribute, value in list(vars(module).items()):
        if isinstance(value, (FunctionType, type)):
            yield attribute, value
        if isinstance(value, type) and value.__module__ == module.__name__:
            for name, method in list(vars(value).items()):
                if isinstance(method, (FunctionType, classmethod, staticmethod, property)):
                    yield f"{attribute}.{name}", method


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _replaced(packages: set[str]) -> list[str]:
    """Return what modules of Imageport have that *packages* define."""
    return [
        f"{name}.{attribute}"
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "imageport"
        for attribute, value in _attributes(module)
        if (getattr(value, "__module__", None) or "").partition(".")[0] in packages
    ]


def _own(name: str) -> set[str]:
    """Return the packages of the distribution that has the module *name*."""
    own = name.partition(".")[0]
    packages = importlib.metadata.packages_distributions()
    same = set(packages.get(own, ()))
    return {own, *(package for package, suppliers in packages.items() if same & set(suppliers))} - {
        "imageport"
    }


def _foreign(modules: set[str], name: str) -> list[str]:
    """Return those of *modules* that neither the standard library nor the distribution of *name* has."""
    usual = _own(name) | _USUAL | sys.stdlib_module_names
    return sorted(
        module for module in modules if module.partition(".")[0] not in usual and not module.startswith("_")
    )
