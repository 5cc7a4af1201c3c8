"""Describe installed plugins or commands, and whether they can be used, without importing one into this process.

Both take an import to find out. A child process makes it, and the answer is kept in a file of the user as long as
nothing changes that the answer came from: the folders of the module path, which every installation and removal
changes, and the files of all modules that the child imported, which an author edits. An object that cannot be used is
examined again each time: the reason may be anything.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

from imageport.errors import PluginBroken
from imageport.plugins.entry_points import EntryPoint

#: Seconds that the import of one object may take.
PATIENCE = 20.0

#: Bytes of the largest cache that is read or written.
MAX_SIZE = 1 << 20

#: The clock by which a file system stamps its files is as much behind that of the process.
_CLOCK_STEP = 20_000_000

_CHILD = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from imageport.plugins.describing import main; main(int(sys.argv[2]), sys.argv[3])"
)

#: Describes plugins, in the child.
_PLUGINS = "imageport.plugins.describing:describe_plugin"

_Identity = tuple[str, str, str]
_Stamp = list[int] | None


@dataclass(frozen=True, slots=True)
class Description:
    """Hooks, summary, stability and programs of a plugin; for a *broken* one, the reason in place of the summary."""

    hooks: tuple[str, ...]
    summary: str
    broken: bool = False
    stability: str = "experimental"
    binaries: tuple[str, ...] = ()


@dataclass(slots=True)
class _Answers:
    """Descriptions by name, place and distribution of the plugin, and the stamps of their files."""

    known: dict[_Identity, Description] = field(default_factory=dict)
    stamps: dict[str, _Stamp] = field(default_factory=dict)


def describe(
    plugins: Iterable[EntryPoint], cache: Path | None, *, by: str = _PLUGINS
) -> dict[str, Description]:
    """Return the description of each of *plugins* by name; *cache* is the file that may have them, and gets them.

    *by* names the function, as ``module:function``, that the child process calls with each entry point. It returns the
    fields of a ``Description``.
    """
    found: dict[str, Description] = {}
    asked: dict[_Identity, EntryPoint] = {}
    for plugin in plugins:
        try:
            plugin.require_usable()
        except PluginBroken as error:
            found[plugin.name] = Description((), error.message, broken=True)
        else:
            asked[_identity(plugin)] = plugin
    answers = (_read(cache) if cache else None) or _Answers()
    missing = [plugin for identity, plugin in asked.items() if identity not in answers.known]
    if missing:
        began = time.time_ns() - _CLOCK_STEP
        made, files = _ask(missing, by)
        answers.known |= made
        answers.stamps |= {path: _stamp(path) for path in (*files, *_module_path())}
        # A file that was changed just now may have been imported before the change.
        if cache and all(stamp is None or stamp[0] < began for stamp in answers.stamps.values()):
            _write(cache, answers)
    return found | {plugin.name: answers.known[identity] for identity, plugin in asked.items()}


def _ask(plugins: Sequence[EntryPoint], by: str) -> tuple[dict[_Identity, Description], list[str]]:
    """Return the descriptions of *plugins*, and the files of the modules that were imported for them."""
    made: dict[_Identity, Description] = {}
    files: list[str] = []
    while rest := plugins[len(made) :]:
        answers, code = _run(rest, by)
        for plugin, (about, imported) in zip(rest, answers, strict=False):
            made[_identity(plugin)] = _description(about)
            files += imported
        if len(answers) < len(rest):
            plugin = rest[len(answers)]
            reason = (
                f"it takes longer than {PATIENCE} s"
                if code == -signal.SIGKILL
                else f"it ended the process with exit code {code}"
            )
            error = plugin.broken(f"cannot be imported: {reason}")
            made[_identity(plugin)] = Description((), error.message, broken=True)
    return made, files


def _run(plugins: Sequence[EntryPoint], by: str) -> tuple[list[Any], int]:
    """Return the answers of a child process about the first of *plugins*, or all, and its exit code."""
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-c", _CHILD, json.dumps(_module_path()), str(writing), by]
    with os.fdopen(reading) as answers:
        try:
            # The output of plugins is not part of the answers.
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=2,
                pass_fds=[writing],
                text=True,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        with child, _killed_after(child, PATIENCE) as begin_again:
            with suppress(BrokenPipeError), cast("TextIO", child.stdin) as questions:
                json.dump([astuple(plugin) for plugin in plugins], questions)
            # A process that a plugin leaves behind may keep the pipe open.
            complete = []
            for line in islice(answers, len(plugins)):
                if line.endswith("\n"):
                    complete.append(json.loads(line))
                    begin_again()
    return complete, child.returncode


@contextmanager
def _killed_after(child: subprocess.Popen[str], seconds: float) -> Iterator[Callable[[], None]]:
    """Kill *child* and its children after *seconds*, unless the block ends before, or begins them again."""

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    timers: list[threading.Timer] = []

    def begin() -> None:
        for timer in timers:
            timer.cancel()
        timers[:] = [threading.Timer(seconds, kill)]
        timers[0].daemon = True
        timers[0].start()

    begin()
    try:
        yield begin
        child.wait()
    finally:
        timers[0].cancel()


def _identity(plugin: EntryPoint) -> _Identity:
    return plugin.name, plugin.value, plugin.distribution


# ------------------------------------------------------------------------------------------------------ the cache


def _read(cache: Path) -> _Answers | None:
    """Return the content of *cache*, if it is the user's own file and nothing has changed since it was written."""
    try:
        descriptor = os.open(cache, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o022:
                return None
            text = file.read(MAX_SIZE + 1)
        if len(text) > MAX_SIZE:
            return None
        content = json.loads(text)
        if content["python"] != sys.version or content["path"] != _module_path():
            return None
        stamps = content["stamps"]
        if not all(_stamp(path) == stamp for path, stamp in stamps.items()):
            return None
        return _Answers({_identity_in(row): _description(row) for row in content["plugins"]}, stamps)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _identity_in(row: Any) -> _Identity:
    return _text(row["name"]), _text(row["value"]), _text(row["distribution"])


def _description(row: Any) -> Description:
    return Description(
        tuple(map(_text, row["hooks"])),
        _text(row["summary"]),
        bool(row["broken"]),
        _text(row.get("stability", "experimental")),
        tuple(map(_text, row.get("binaries", ()))),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _write(cache: Path, answers: _Answers) -> None:
    """Replace *cache*, for the user alone. Where that is not possible, there is no cache."""
    rows = [
        {"name": name, "value": value, "distribution": by, **asdict(about)}
        for (name, value, by), about in answers.known.items()
        if not about.broken
    ]
    content = {"python": sys.version, "path": _module_path(), "stamps": answers.stamps, "plugins": rows}
    text = json.dumps(content).encode()
    if len(text) > MAX_SIZE:
        return
    partial = cache.with_name(f".{cache.name}.{os.getpid()}.partial")
    with suppress(OSError):
        if not _is_own(cache.parent):
            return
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
            partial.replace(cache)
        finally:
            partial.unlink(missing_ok=True)


def _is_own(folder: Path) -> bool:
    """Return whether *folder*, or the nearest folder above it that exists, belongs to this user."""
    while not folder.exists():
        folder = folder.parent
    return folder.stat().st_uid == os.geteuid()


def _module_path() -> list[str]:
    return [str(folder) or str(Path.cwd()) for folder in sys.path]


def _stamp(path: str) -> _Stamp:
    """Return a stamp that changes with the file or folder *path*; None when it is missing."""
    try:
        about = Path(path).stat()
    except OSError:
        return None
    return [about.st_ctime_ns, about.st_size, about.st_ino]
