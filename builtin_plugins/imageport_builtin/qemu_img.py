"""The three things qemu-img is asked to do here: tell what an image is, check it, and convert it.

The format is always forced, never guessed: guessing is how a disk whose content looks like an image gets opened.
"""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imageport import Context, ImageData, TransformFailed, VerificationFailed, format_size
from imageport_builtin import qemu_export
from imageport_builtin.limited_process import WRAPPERS, Bounds, Ending, run

#: Programs used here.
BINARIES = ("qemu-img", "qemu-nbd", *WRAPPERS)

#: What qemu calls the disk formats of image records.
DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}

_CREATE_OPTIONS = {
    "vmdk": ["-o", "subformat=streamOptimized"],
    # Else the size of the disk is rounded up to whole cylinders.
    "vhd": ["-o", "force_size=on"],
}

#: Formats that qemu opens without noticing that the end is missing; it would read zeros there.
_CHECKED = frozenset({"qcow2", "vmdk"})
_SOUND = 0
_SOUND_WITH_LEAKS = 3

_INFO_BOUNDS = Bounds(memory=1 << 30, file_size=0, cpu_seconds=10, deadline=60.0)
_LARGEST_ANSWER = 4 << 20
_PROGRESS = re.compile(rb"\((\d+\.\d+)/100%\)")


@dataclass(frozen=True)
class DiskInfo:
    """What ``qemu-img info`` says: the virtual size in bytes, and the other files it would open."""

    driver: str
    virtual_size: int
    encrypted: bool
    create_type: str | None
    references: tuple[str, ...]


def info(path: Path, disk_format: str, ctx: Context) -> DiskInfo:
    """Ask qemu-img what it makes of the file at *path*, opened as *disk_format*.

    Raises ``TransformFailed`` when it cannot be opened so, ``LimitExceeded`` when that takes too much.
    """
    answer = bytearray()

    def collect(piece: bytes) -> None:
        answer.extend(piece)
        if len(answer) > _LARGEST_ANSWER:
            raise TransformFailed(
                f"qemu-img info said more than {format_size(_LARGEST_ANSWER)} about the image",
                hint="get the image from a source you trust",
            )

    arguments = ["info", "--output=json", "-f", DRIVERS[disk_format], str(path.absolute())]
    _judge("info", run(["qemu-img", *arguments], _INFO_BOUNDS, ctx, collect), _INFO_BOUNDS)
    try:
        return _parse_info(json.loads(answer), path.absolute())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise TransformFailed(
            "qemu-img info gave an answer that makes no sense", hint="check the installation of qemu-img"
        ) from error


def check(path: Path, disk_format: str, ctx: Context) -> None:
    """Make sure that all parts of the image at *path* are there, where the format permits to tell.

    Raises ``VerificationFailed`` when they are not, ``LimitExceeded`` when that takes too much.
    """
    if disk_format not in _CHECKED:
        return
    arguments = ["check", "--output=json", "-f", DRIVERS[disk_format], str(path.absolute())]
    ending = run(["qemu-img", *arguments], _conversion_bounds(ctx), ctx, lambda _: None)
    if ending.code not in (_SOUND, _SOUND_WITH_LEAKS):
        raise VerificationFailed(
            f"the image is damaged or was cut off: {ending}",
            hint="get the image again, or repair it with qemu-img check -r all before the import",
        )


def convert(
    source: Path, target: Path, formats: tuple[str, str], ctx: Context, *, size: int, compress: bool
) -> None:
    """Write the disk in *source* to *target*, a new file; *formats* are the disk formats of the two.

    *size* is the virtual size in bytes, for progress. Raises ``TransformFailed``, ``LimitExceeded`` or
    ``Cancelled``; then *target* may be there in part.
    """

    def tell(piece: bytes) -> None:
        if steps := _PROGRESS.findall(piece):
            ctx.progress(round(float(steps[-1]) / 100 * size), size)

    bounds = _conversion_bounds(ctx)
    read_as, write_as = formats
    arguments = ["convert", "-p", "-S", "64k", "-f", DRIVERS[read_as], "-O", DRIVERS[write_as]]
    arguments += _CREATE_OPTIONS.get(write_as, [])
    arguments += ["-c"] if compress else []
    # An absolute path is never taken for a protocol such as nbd: or json:.
    arguments += [str(source.absolute()), str(target.absolute())]
    _judge("convert", run(["qemu-img", *arguments], bounds, ctx, tell), bounds)


def raw_disk(source: Path, disk_format: str, ctx: Context, *, size: int) -> ImageData:
    """Return the disk in *source* as raw bytes, which are read out of the image while they are needed.

    *size* is the virtual size in bytes. The stream raises what ``qemu_export.raw_chunks`` raises.
    """
    driver, bounds = DRIVERS[disk_format], _conversion_bounds(ctx)
    return ImageData.from_chunks(
        lambda: qemu_export.raw_chunks(source, driver, ctx, bounds, size=size), size=size
    )


def _conversion_bounds(ctx: Context) -> Bounds:
    limits = ctx.limits
    return Bounds(
        memory=limits.conversion_memory,
        file_size=limits.image_size_cap,
        # All processors for the whole time; this holds even when nobody is left to watch the clock.
        cpu_seconds=int(limits.conversion_deadline * (os.cpu_count() or 1)) + 1,
        deadline=limits.conversion_deadline,
    )


def _judge(verb: str, ending: Ending, bounds: Bounds) -> None:
    """Take any word on standard error for a failure, whatever the exit code says."""
    if ending.code == 0 and not ending.complaints:
        return
    if "No space left on device" in ending.complaints:
        hint = "free space in the staging directory"
    elif "Cannot allocate memory" in ending.complaints or ending.code in (-signal.SIGABRT, -signal.SIGTRAP):
        hint = f"it may use {format_size(bounds.memory)}: see limits.conversion_memory in the site file"
    else:
        hint = "look at the image with qemu-img check, or get it again"
    raise TransformFailed(f"qemu-img {verb} failed: {ending}", hint=hint)


def _parse_info(answer: dict[str, Any], path: Path) -> DiskInfo:
    details = answer.get("format-specific", {}).get("data", {})
    named = [answer.get("backing-filename"), answer.get("full-backing-filename"), details.get("data-file")]
    named += [extent["filename"] for extent in details.get("extents", [])]
    return DiskInfo(
        driver=str(answer["format"]),
        virtual_size=int(answer["virtual-size"]),
        encrypted=bool(answer.get("encrypted")),
        create_type=details.get("create-type"),
        references=tuple(str(name) for name in named if name not in (None, str(path))),
    )
