"""Pages that run: the code blocks of a Markdown page are written to files and typed into a shell, in order.

How a page is written so that it runs:

* A ``console`` block is a session. Lines that begin with ``$ `` are typed (``> `` continues one); the lines below are
  what must be printed. A line ``...`` stands for any lines, ``...`` within a line for any text. A command without
  output below it may print anything. Every command must succeed unless the block begins with ``console fails``: there
  the last one must not.
* Any other block whose first line is a comment with a file name, ``# site.yaml``, is written to that file, in the
  folder where the session is. A file of the whole machine, ``# /etc/cron.d/gc``, is written below the scratch folder.
* A ``yaml`` block without a name is a fragment: it must be YAML.
* A ``text`` block, and one without a language, is only looked at.

What differs from run to run is made equal before comparing: ids, digests, times, rates. ``/home/you`` is the scratch
folder, and port 8000 one that is free.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

HOME = "/home/you"
PORT = "8000"

#: Environment in which pip installs from this machine alone, and builds with what is in the environment of the tests.
PIP_WITHOUT_NETWORK = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}

#: Seconds after which a command is taken to hang.
PATIENCE = 120

_FENCE = re.compile(r"^( *)```(\S*) *(.*?)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"^(?:#|//) ([\w./-]*\w\.\w+)$")
_CHANGING = (
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>"),
    (r"\b[0-9a-f]{32,}\b", "<digest>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d\b", "<time>"),
    (r"\b\d+(\.\d+)? s\b", "<seconds>"),
    (r"\b\d+(\.\d+)? [KMGT]?i?B/s", "<rate>"),
    (r"\bpid \d+|^\[\d+\] \d+$", "<process>"),
    # YAML has quotes around a path with blanks.
    (rf'"({HOME}[^"]*)"', r"\1"),
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the words behind that, its text, and where it is."""

    language: str
    words: tuple[str, ...]
    text: str
    page: Path
    line: int

    @property
    def file_name(self) -> str | None:
        """The file that the block is written to."""
        found = _FILE_NAME.match(self.text.partition("\n")[0])
        return found[1] if found and self.language not in ("console", "text", "") else None

    @property
    def where(self) -> str:
        """The position, for messages."""
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """What is typed, what must be printed (None for anything), and whether it must fail."""

    text: str
    expected: str | None
    fails: bool


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of *page*, without the indentation of a list around them."""
    text = page.read_text()
    return [
        Block(
            found[2],
            tuple(found[3].split()),
            re.sub(f"^{found[1]}", "", found[4], flags=re.MULTILINE),
            page,
            text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> Iterator[Command]:
    """Return the commands of a console block."""
    pieces = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not pieces[0].strip(), f"{block.where}: a console block begins with a command"
    for number, piece in enumerate(pieces[1:], start=2):
        typed, *rest = piece.splitlines()
        while rest and rest[0].startswith("> "):
            typed += "\n" + rest.pop(0)[2:]
        fails = "fails" in block.words and number == len(pieces)
        yield Command(typed, "\n".join(rest).strip("\n") or None, fails)


def matches(expected: str, printed: str) -> bool:
    """Return whether *printed* is what the page shows, but for what changes from run to run."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line).replace(re.escape("..."), ".*") + r"\n"
        for line in steady(expected).splitlines()
    ]
    return re.fullmatch("".join(lines), steady(printed) + "\n") is not None


def steady(text: str) -> str:
    """Return *text* with what changes from run to run replaced by its kind.

    Columns are as wide as what else is installed makes them, so that more than one space counts as two.
    """
    for pattern, kind in _CHANGING:
        text = re.sub(pattern, kind, text, flags=re.MULTILINE)
    return "\n".join(re.sub(" {2,}", "  ", line.rstrip()) for line in text.strip("\n").splitlines())


class Shell:
    """A bash in which commands are typed one after the other, in a scratch folder that is its home.

    *environment* comes on top of that of the tests. ``IMAGEPORT_*`` variables of the user who runs the tests are left
    out.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.directory = folder
        self.status = 0
        self._mark = f"mark-{uuid.uuid4().hex}"
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("IMAGEPORT_", "XDG_"))
        }
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._popen = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**own, "HOME": str(folder), "PATH": programs, "COLUMNS": "120", "LC_ALL": "C.UTF-8"}
            | dict(environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Servers that the page has started in the background go along.
        os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.communicate()

    def type(self, command: str) -> str:
        """Run *command* and return what it prints; its exit status is ``status`` afterwards."""
        assert self._popen.stdin and self._popen.stdout
        self._popen.stdin.write(
            f"(exit {self.status})\n{{ {command}\n}} </dev/null\nprintf '\\n%s %s %s\\n' {self._mark} $? \"$PWD\"\n"
        )
        self._popen.stdin.flush()
        alarm = threading.Timer(PATIENCE, lambda: os.killpg(self._popen.pid, signal.SIGKILL))
        alarm.start()
        printed = ""
        try:
            for line in self._popen.stdout:
                if line.startswith(self._mark):
                    _, status, directory = line.rstrip("\n").split(" ", 2)
                    self.status, self.directory = int(status), Path(directory)
                    return printed.removesuffix("\n")
                printed += line
        finally:
            alarm.cancel()
        raise AssertionError(f"the shell ended, or hung, in: {command}\n{printed}")


def play(
    page: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stand_ins: Mapping[str, str] | None = None,
) -> None:
    """Run everything on *page*, in *folder*, and compare the output with the page.

    *stand_ins* are texts of the page, such as addresses of servers, and what takes their place here.
    """
    port = free_port()
    replaced = {PORT: port, HOME: str(folder)} | dict(stand_ins or {})

    def here(text: str) -> str:
        for on_page, on_disk in replaced.items():
            text = text.replace(on_page, on_disk)
        return text

    def typed(command: str) -> str:
        return here(command.replace(HOME, str(folder).replace(" ", "\\ ")))

    def there(text: str) -> str:
        for on_page, on_disk in reversed(replaced.items()):
            text = text.replace(on_disk, on_page).replace(quote(on_disk), on_page)
        return text

    with Shell(folder, environment) as shell:
        for block in blocks_of(page):
            if block.file_name:
                path = place(block, shell.directory, folder)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(here(block.text))
            elif block.language == "console":
                for command in commands_of(block):
                    printed = there(shell.type(typed(command.text)))
                    session = f"{block.where}: $ {command.text}\n{printed}"
                    assert (shell.status != 0) == command.fails, f"exit status {shell.status} of {session}"
                    shown = command.expected
                    assert shown is None or matches(shown, printed), (
                        f"{session}\n--- the page shows:\n{shown}"
                    )


def place(block: Block, directory: Path, folder: Path) -> Path:
    """Return where the file of *block* is written in a session that is in *directory*: always below *folder*."""
    name = Path(block.file_name or "")
    path = Path(os.path.normpath(folder / name.relative_to("/") if name.is_absolute() else directory / name))
    assert path.is_relative_to(folder), f"{block.where}: {name} is outside of the scratch folder"
    return path


def free_port() -> str:
    """Return a port of the loopback address on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])
