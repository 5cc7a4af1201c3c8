"""Keep every event of every import in a file of JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from imageport import Event, Plugin, PluginConfig, hookimpl
from imageport.values import Finding


class JsonLinesConfig(PluginConfig):
    """Options of the event file."""

    path: Path = Field(description="File that the events are appended to; made with its folder when missing.")


class JsonLines(Plugin[JsonLinesConfig]):
    """Append each event as one line of JSON to a file, as ``run --json`` prints it; the report comes last.

    Several imports may write to one file, and it may be rotated at any time: each line is written on its own.
    """

    stability = "stable"

    @hookimpl
    def on_progress(self, event: Event) -> None:
        """Append *event*. Raises ``OSError`` when the file cannot be written."""
        append_line(self.config.path, event.as_dict())

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        """Yield whether events can be appended to the file."""
        path = self.config.path
        present = next(one for one in (path, *path.parents) if one.exists())
        right_kind = not present.is_dir() if present == path else present.is_dir()
        if right_kind and os.access(present, os.W_OK):
            yield Finding("ok", str(path))
        else:
            hint = f"let the user with id {os.geteuid()} write to it, or set another path"
            yield Finding("error", f"{path} cannot be written", hint)


def append_line(path: Path, value: object) -> None:
    """Append *value* as one line of JSON to *path*, in a single write so that lines of processes never mix."""
    line = json.dumps(value, default=str).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(f"only {written} of {len(line)} bytes of an event fit into {path}")
    finally:
        os.close(descriptor)
