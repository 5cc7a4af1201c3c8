"""Archives that are made to write elsewhere, to be endless, or to unpack to more than any store can hold."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

#: More than the limit of the site on which these are imported.
BOMB = 20 << 20

_COMMANDS = {
    "gzip": ["gzip", "-1c", "payload"],
    "bzip2": ["bzip2", "-1c", "payload"],
    "xz": ["xz", "-0c", "payload"],
    "zstd": ["zstd", "-1qc", "payload"],
    "zip": ["zip", "-q1", "-", "payload"],
    "tar": ["tar", "--sparse", "-cf", "-", "payload"],
    "7z": ["7z", "a", "-bd", "-bso0", "-mx=1", "archive", "payload"],
    "lha": ["jlha", "ao5q", "archive", "payload"],
}


def packed(kind: str, content: bytes, folder: Path) -> bytes:
    """Return what a real program packs *content* into; zeros at its end are a hole in the file."""
    (folder / "payload").write_bytes(content.rstrip(b"\0"))
    os.truncate(folder / "payload", len(content))
    done = subprocess.run(_COMMANDS[kind], cwd=folder, check=True, capture_output=True)
    made = folder / ("archive.7z" if kind == "7z" else "archive")
    return made.read_bytes() if made.exists() else done.stdout


def bomb(*kinds: str) -> Callable[[Path], Path]:
    """Return a maker of zeros that are packed in all these ways, one inside the other, the first innermost."""

    def make(folder: Path) -> Path:
        content = bytes(BOMB)
        for number, kind in enumerate(kinds):
            place = folder / str(number)
            place.mkdir()
            content = packed(kind, content, place)
        return _written(folder, content)

    return make


def cut_off(kind: str) -> Callable[[Path], Path]:
    """Return a maker of an archive whose end is missing."""

    def make(folder: Path) -> Path:
        content = packed(kind, Path("/proc/self/exe").read_bytes()[: 1 << 20], folder)
        return _written(folder, content[: len(content) // 2])

    return make


def too_deep(folder: Path) -> Path:
    content = b"an image"
    for _ in range(5):
        content = packed("gzip", content, folder)
    return _written(folder, content)


def zip_of(*names: str) -> Callable[[Path], Path]:
    """Return a maker of a zip archive with a file of each of these names."""

    def make(folder: Path) -> Path:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for name in names:
                archive.writestr(zipfile.ZipInfo(name), b"outside\0" * 1000)
        return _written(folder, target.getvalue())

    return make


def tar_of(kind: bytes, name: str = "disk.raw") -> Callable[[Path], Path]:
    """Return a maker of a tar archive with a member of this *kind* that leads to a file of the host."""

    def make(folder: Path) -> Path:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = "/etc/passwd"
        return _written(folder, info.tobuf() + bytes(10_240 - 512))

    return make


def tar_without_end(folder: Path) -> Path:
    member = tarfile.TarInfo("folder")
    member.type = tarfile.DIRTYPE
    return _written(folder, member.tobuf() * 20_000)


def seven_zip_with_a_path(folder: Path) -> Path:
    packed("7z", b"outside\0" * 1000, folder)
    subprocess.run(["7z", "rn", "archive.7z", "payload", "../x"], cwd=folder, check=True, capture_output=True)
    return folder / "archive.7z"


def encrypted(folder: Path) -> Path:
    (folder / "payload").write_bytes(b"secret" * 1000)
    subprocess.run(["zip", "-q", "-P", "swordfish", "archive.zip", "payload"], cwd=folder, check=True)
    return folder / "archive.zip"


def _written(folder: Path, content: bytes) -> Path:
    archive = folder / "hostile"
    archive.write_bytes(content)
    return archive
