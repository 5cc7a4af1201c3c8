"""Check an image with qemu-img before it is converted, and hold its answers against the inspection's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from imageport import Context, LimitExceeded, UnsupportedFormat, VerificationFailed
from imageport.dataplane import ImageFormat
from imageport.limits import format_size
from imageport_builtin import qemu_img
from imageport_builtin.disk_kinds import whole_sectors
from imageport_builtin.qemu_failures import encrypted


def check_source(
    path: Path, found: ImageFormat, vmdk_types: Collection[str], ctx: Context
) -> qemu_img.DiskInfo:
    """Return the description of the image at *path*, which the inspection *found* to be something.

    *vmdk_types* are the kinds of vmdk that are permitted. Raises ``UnsupportedFormat`` when it cannot be converted,
    ``VerificationFailed`` when qemu-img finds damage, references to other files or another disk than the inspection,
    ``LimitExceeded`` when the disk is too large.
    """
    if found.name == "luks":
        raise encrypted()
    if found.disk_format not in qemu_img.DRIVERS:
        raise UnsupportedFormat(
            f"images of format {found.name} cannot be converted",
            hint=f"convert it before the import: qemu-img convert -f {found.name} -O qcow2",
        )
    info = qemu_img.info(path, found.disk_format, ctx)
    if info.driver != qemu_img.DRIVERS[found.disk_format]:
        raise VerificationFailed(
            f"the image is {found.disk_format}, but qemu-img takes it for {info.driver}",
            hint="get the image from a source you trust",
        )
    if info.references:
        raise VerificationFailed(
            f"the image refers to other files: {', '.join(info.references)}",
            hint="merge it into one file with 'qemu-img convert' before the import",
        )
    if info.encrypted:
        raise encrypted()
    create_type = info.details.get("create-type")
    if found.name == "vmdk" and create_type not in vmdk_types:
        allowed = ", ".join(sorted(vmdk_types)) or "none"
        raise UnsupportedFormat(
            f"the image is a vmdk of type {create_type}; allowed: {allowed}",
            hint="export it as streamOptimized, or permit this type in vmdk_allowed_types of the step",
        )
    _compare_sizes(found, info)
    if info.virtual_size > ctx.limits.image_size_cap:
        raise LimitExceeded(
            f"the disk in the image has {format_size(info.virtual_size)};"
            f" the limit is {format_size(ctx.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    qemu_img.check(path, found.disk_format, ctx)
    return info


def _compare_sizes(found: ImageFormat, info: qemu_img.DiskInfo) -> None:
    """Refuse an image in which our inspection and QEMU see disks of different sizes: one would lose its end."""
    size = whole_sectors(found.virtual_size or 0)
    if size != info.virtual_size:
        raise VerificationFailed(
            f"the {found.disk_format} image has {size} bytes by its header, but qemu-img reads {info.virtual_size}",
            hint="such an image is a different disk for different programs; export it again as another format",
        )
