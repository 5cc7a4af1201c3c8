"""Run qemu-img for three tasks: describe an image, check it, and convert it.

The format is always forced, never guessed: guessing is how a disk whose content looks like an image gets opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imageport import Context, ImageData, TransformFailed, VerificationFailed
from imageport.limits import format_size
from imageport_builtin import qemu_export
from imageport_builtin.limited_process import WRAPPERS, Bounds, run
from imageport_builtin.qemu_failures import Run, damaged

#: Programs used here.
BINARIES = {"qemu-img": "qemu-utils", "qemu-nbd": "qemu-utils", **WRAPPERS}

#: Names of the drivers of QEMU, by the disk formats of image records.
DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}

#: Options of the drivers. The size of a VHD is the current size in its footer, as for Hyper-V, Azure and VirtualBox;
#: by default the geometry counts, which is smaller, unless the creator is one of few that QEMU knows.
_DRIVER_OPTIONS = {"vhd": {"force_size_calc": "current_size"}}

#: Formats that ``qemu-img check`` knows.
_CHECKED = frozenset({"qcow2", "vmdk", "vdi"})
_SOUND = 0
_CORRUPT = 2
_SOUND_WITH_LEAKS = 3

_INFO_BOUNDS = Bounds(memory=1 << 30, file_size=0, cpu_seconds=10, deadline=60.0)
_LARGEST_ANSWER = 4 << 20
_PROGRESS = re.compile(rb"\((\d+\.\d+)/100%\)")


@dataclass(frozen=True)
class DiskInfo:
    """The answer of ``qemu-img info``: among others the virtual size in bytes, and the other files it would open.

    ``details`` are those of the format: "compat" and "compression-type" of qcow2, "create-type" of vmdk.
    ``cluster_size`` is in bytes.
    """

    driver: str
    virtual_size: int
    encrypted: bool
    references: tuple[str, ...]
    cluster_size: int | None
    details: Mapping[str, Any]


def info(path: Path, disk_format: str, ctx: Context) -> DiskInfo:
    """Describe the file at *path*, opened as *disk_format*.

    Raises ``VerificationFailed`` when it is damaged or cannot be opened so, ``LimitExceeded`` when that takes too
    much, ``TransformFailed`` when qemu-img itself fails.
    """
    answer = bytearray()

    def collect(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _LARGEST_ANSWER:
            raise VerificationFailed(
                f"the image has more than {format_size(_LARGEST_ANSWER)} of descriptions in it",
                hint="get the image from a source you trust",
            )

    program = Run("qemu-img", path, disk_format, _INFO_BOUNDS)
    _run(program, ["info", "--output=json", *_source(path, disk_format)], ctx, collect)
    try:
        return _parse_info(json.loads(answer), path.absolute())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TransformFailed(
            "the answer of qemu-img info cannot be read", hint="check the installation of qemu-img"
        ) from error


def check(path: Path, disk_format: str, ctx: Context) -> None:
    """Check the tables of the image at *path*, where qemu-img knows how to.

    Raises ``VerificationFailed`` when parts are missing or contradict each other, else the errors of ``info``.
    """
    if disk_format not in _CHECKED:
        return
    program = Run("qemu-img", path, disk_format, _conversion_bounds(ctx))
    command = ["qemu-img", "check", "--output=json", *_source(path, disk_format)]
    result = run(command, program.bounds, ctx, lambda _: None)
    if result.code in (_SOUND, _SOUND_WITH_LEAKS):
        return
    if result.code == _CORRUPT:
        raise damaged(f"the {disk_format} image is damaged or was cut off: its tables contradict each other")
    raise program.failure(result)


@dataclass(frozen=True)
class Target:
    """An image to write: a new file at ``path``, as ``disk_format``, with a disk of ``size`` bytes.

    ``options`` are those of ``qemu-img create -o``; ``compress`` is whether its clusters are compressed.
    """

    path: Path
    disk_format: str
    size: int
    options: Mapping[str, str]
    compress: bool


def convert(
    source: Path, disk_format: str, target: Target, ctx: Context, *, size: int, watch: Callable[[], None]
) -> None:
    """Write the disk of *size* bytes in *source*, opened as *disk_format*, to *target*; zeros fill the rest.

    *watch* is called several times a second, and may raise. Raises ``VerificationFailed`` when the source is damaged,
    ``TransformFailed``, ``LimitExceeded`` or ``Cancelled``; then the target may be there in part.
    """

    def report(piece: bytes) -> None:
        if steps := _PROGRESS.findall(piece):
            ctx.progress(round(float(steps[-1]) / 100 * size), size)

    program = Run("qemu-img", source, disk_format, _conversion_bounds(ctx))
    arguments = ["convert", "-p", "-S", "64k", "-O", DRIVERS[target.disk_format]]
    if target.options:
        arguments += ["-o", ",".join(f"{name}={value}" for name, value in target.options.items())]
    arguments += ["-c"] if target.compress else []
    with _grown(program, ctx, size=size, wanted=target.size) as opened:
        # An absolute path is never taken for a protocol such as nbd: or json:.
        _run(program, [*arguments, *opened, str(target.path.absolute())], ctx, report, watch)


@contextmanager
def _grown(program: Run, ctx: Context, *, size: int, wanted: int) -> Iterator[list[str]]:
    """Provide the arguments that open an image of *size* bytes so that *wanted* bytes can be read from it.

    Some formats need whole clusters, so that a larger target alone does not do. An empty image
    is laid over the smaller one: behind the end of that, it reads as zeros.
    """
    if wanted == size:
        yield _source(program.path, program.disk_format)
        return
    overlay = ctx.work_file(".overlay")
    try:
        _run(program, ["create", "-q", "-f", "qcow2", str(overlay.absolute()), str(wanted)], ctx)
        yield _opening(
            {
                **_open_options(overlay, "qcow2"),
                **_open_options(program.path, program.disk_format, "backing."),
            }
        )
    finally:
        with suppress(OSError):
            overlay.unlink(missing_ok=True)


def raw_disk(source: Path, disk_format: str, ctx: Context, *, size: int) -> ImageData:
    """Return the disk in *source* as raw bytes, which are read out of the image while they are needed.

    *size* is the virtual size in bytes. The stream raises the errors of ``qemu_export.raw_chunks``.
    """
    program = Run("qemu-nbd", source, disk_format, _conversion_bounds(ctx))
    arguments = _source(source, disk_format)
    return ImageData.from_chunks(
        lambda: qemu_export.raw_chunks(program, arguments, ctx, size=size), size=size
    )


def _source(path: Path, disk_format: str) -> list[str]:
    """Return the arguments that open *path* as *disk_format*: a name there is never taken for a protocol."""
    return _opening(_open_options(path, disk_format))


def _opening(options: Mapping[str, str]) -> list[str]:
    return ["--image-opts", ",".join(f"{name}={value.replace(',', ',,')}" for name, value in options.items())]


def _open_options(path: Path, disk_format: str, prefix: str = "") -> dict[str, str]:
    options = {
        "driver": DRIVERS[disk_format],
        **_DRIVER_OPTIONS.get(disk_format, {}),
        "file.driver": "file",
        "file.filename": str(path.absolute()),
    }
    return {f"{prefix}{name}": value for name, value in options.items()}


def _conversion_bounds(ctx: Context) -> Bounds:
    limits = ctx.limits
    return Bounds(
        memory=limits.conversion_memory,
        file_size=limits.image_size_cap,
        # All processors for the whole time; this holds even when this process has ended.
        cpu_seconds=int(limits.conversion_deadline * (os.cpu_count() or 1)) + 1,
        deadline=limits.conversion_deadline,
    )


def _run(
    program: Run,
    arguments: Sequence[str],
    ctx: Context,
    on_output: Callable[[bytes], None] = lambda _: None,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run qemu-img; any text on standard error is a failure, with any exit code."""
    result = run([program.program, *arguments], program.bounds, ctx, on_output, watch)
    if result.code or result.stderr:
        raise program.failure(result)


def _parse_info(answer: dict[str, Any], path: Path) -> DiskInfo:
    details = answer.get("format-specific", {}).get("data", {})
    named = [answer.get("backing-filename"), answer.get("full-backing-filename"), details.get("data-file")]
    named += [extent["filename"] for extent in details.get("extents", [])]
    return DiskInfo(
        driver=str(answer["format"]),
        virtual_size=int(answer["virtual-size"]),
        encrypted=bool(answer.get("encrypted")),
        references=tuple(str(name) for name in named if name not in (None, str(path))),
        cluster_size=answer.get("cluster-size"),
        details=details,
    )
