"""Read a file with the reference tools of Debian, and report which disk they find in it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_LAYERS = 6
_TIMEOUT = 120

_FRAMES = {
    b"\x1f\x8b": ("gzip", "-dc"),
    b"\x1f\x9d": ("gzip", "-dc"),
    b"\xfd7zXZ\0": ("xz", "-dc"),
    b"BZh": ("bzip2", "-dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq", "--long=27"),
}
_LZMA = re.compile(
    rb"[\x00-\xe0]\x00\x00[\x00-\xff][\x00-\x08].{5}\x00\x00\x00|\x5d\x00\x00.{2}\xff{8}", re.DOTALL
)
_LHA = re.compile(rb".{2}-(lh[0-7dx]|lz[45s]|pm[012s])-", re.DOTALL)
_FOREIGN = {"qcow", "qed", "parallels", "dmg", "cloop", "bochs", "luks"}
_DISKS = {"qcow2", "vdi", "vmdk", "vpc", "vhdx"}
_SECTOR = 512
_TEXT = bytes({7, 8, 9, 10, 12, 13, 27, *range(32, 127), *range(128, 256)})
#: qemu-img check: no errors, leaked clusters only, and "this format has no check".
_SOUND = {0, 3, 63}


@dataclass(frozen=True)
class Expectation:
    """What an importer should do: store the disk with this SHA-256, or refuse the file when ``digest`` is None.

    ``strict`` is false where the reference tools do not notice missing parts: then a refusal is right, too.
    """

    digest: str | None
    reason: str
    strict: bool = True


def expected(path: Path, work: Path) -> Expectation:
    """Unpack the file at *path* with the reference tools in the empty folder *work*, layer by layer."""
    for layer in range(_LAYERS):
        with path.open("rb") as file:
            head = file.read(4096)
        target = work / f"layer{layer}"
        unpacked = _unpacked(path, head, target)
        if unpacked is None:
            return _disk(path, work / "disk.raw")
        if unpacked:
            return Expectation(None, unpacked)
        path = target
    return Expectation(None, "too many layers")


def _unpacked(path: Path, head: bytes, target: Path) -> str | None:
    """Write what is packed in *path* to *target*.

    Returns None when it is not an archive, an empty text when it was unpacked, else the reason why not.
    """
    for magic, command in _FRAMES.items():
        if head.startswith(magic):
            return _to_file([*command, "-"], target, stdin=path)
    # A skippable frame of zstd begins with one of 16 magic numbers.
    if head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F:
        return _to_file(["zstd", "-dcq", "--long=27", "-"], target, stdin=path)
    if _LZMA.match(head) and not _to_file(["xz", "--format=lzma", "-dc", "-"], target, stdin=path):
        return ""
    if head.startswith((b"PK\x03\x04", b"PK00PK\x03\x04", b"7z\xbc\xaf\x27\x1c")):
        return _with_7z(path, target)
    if _LHA.match(head):
        return _with_lhasa(path, target)
    if (listed := _listed_by_tar(path)) is not None:
        return _with_tar(path, listed, target)
    return None


def _to_file(command: Sequence[str | Path], target: Path, *, stdin: Path | None = None) -> str:
    """Run *command* with its output in *target*; any complaint makes it a failure."""
    with target.open("wb") as out, (stdin or Path("/dev/null")).open("rb") as source:
        done = subprocess.run(
            command, stdin=source, stdout=out, stderr=subprocess.PIPE, check=False, timeout=_TIMEOUT
        )
    complaint = done.stderr.decode(errors="replace").strip()
    return "" if done.returncode == 0 and not complaint else f"{command[0]}: {complaint or done.returncode}"


def _output(*command: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_TIMEOUT,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/sbin"},
    )
    return done.returncode, done.stdout.decode(errors="replace")


def _chosen(names: Sequence[str]) -> str | None:
    """Return the one file that is an image: resource forks of macOS are none."""
    plain = [
        name
        for name in names
        if not name.rpartition("/")[2].startswith("._")
        and "__MACOSX/" not in name
        and name.rpartition("/")[2] != ".DS_Store"
    ]
    if len(plain) > 1 and plain[0].lower().endswith(".ovf"):
        plain = [name for name in plain if name.lower().endswith((".vmdk", ".vhd", ".vdi", ".qcow2", ".img"))]
    return plain[0] if len(plain) == 1 else None


def _with_7z(path: Path, target: Path) -> str:
    code, listing = _output("7z", "l", "-slt", "-ba", "-pnone", path)
    if code:
        return f"7z: exit code {code}"
    entries = [
        dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        for block in listing.split("\n\n")
    ]
    names = [
        entry["Path"]
        for entry in entries
        if "Path" in entry and entry.get("Folder") != "+" and not entry.get("Attributes", "").startswith("D")
    ]
    if (name := _chosen(names)) is None:
        return f"{len(names)} files"
    return _to_file(["7z", "x", "-so", "-pnone", "-spd", path, name], target)


def _with_lhasa(path: Path, target: Path) -> str:
    folder = target.with_suffix(".lha")
    folder.mkdir()
    code, _ = _output("lha", f"xfiqw={folder}", path)
    found = [file for file in folder.rglob("*") if file.is_file()]
    if code or len(found) != 1:
        return f"lha: exit code {code}, {len(found)} files"
    shutil.move(found[0], target)
    return ""


def _listed_by_tar(path: Path) -> list[str] | None:
    """Return the names of the regular files in a tar archive, None when *path* is none."""
    code, listing = _output("tar", "-tvf", path)
    if code and not listing:
        return None
    lines = [line.split(maxsplit=5) for line in listing.splitlines()]
    return [line[5] for line in lines if len(line) == 6 and line[0].startswith("-")]


def _with_tar(path: Path, listed: Sequence[str], target: Path) -> str:
    if (name := _chosen(listed)) is None:
        return f"{len(listed)} files"
    other = target.with_suffix(".bsdtar")
    # bsdtar takes names for patterns.
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", name)
    if failed := _to_file(["tar", "-xOf", path, "--", name], target):
        return failed
    if failed := _to_file(["bsdtar", "-xOf", path, "--", pattern], other):
        return failed
    return "" if _digest(target) == _digest(other) else "tar and bsdtar differ"


def _disk(path: Path, target: Path) -> Expectation:
    with path.open("rb") as file:
        head = file.read(64 << 10)
    if len(head) < _SECTOR or not head.translate(None, _TEXT):
        return Expectation(None, "less than a sector, or text")
    code, answer = _output("qemu-img", "info", "--output=json", path)
    if code:
        return Expectation(None, "qemu-img cannot open it")
    info = json.loads(answer)
    kind = info["format"]
    details = info.get("format-specific", {}).get("data", {})
    extents = details.get("extents", [])
    if kind in _FOREIGN:
        return Expectation(None, f"{kind} is not supported")
    if kind not in _DISKS:
        return Expectation(_digest(path), kind)
    if info.get("backing-filename") or details.get("data-file") or len(extents) > 1 or info.get("encrypted"):
        return Expectation(None, "refers to other files, or is encrypted")
    if details.get("corrupt"):
        return Expectation(None, "marked corrupt")
    if _output("qemu-img", "check", "-f", kind, path)[0] not in _SOUND:
        return Expectation(None, "qemu-img check finds errors")
    if failed := _converted(kind, path, target):
        return Expectation(None, failed)
    return Expectation(_digest(target), kind, strict=False)


def _converted(kind: str, path: Path, target: Path) -> str:
    options = f"driver={kind},file.driver=file,file.filename={str(path.absolute()).replace(',', ',,')}"
    if kind == "vpc":
        options += ",force_size_calc=current_size"
    code, _ = _output("qemu-img", "convert", "--image-opts", options, "-O", "raw", target)
    return f"qemu-img convert: exit code {code}" if code else ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
