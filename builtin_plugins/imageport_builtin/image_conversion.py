"""The step that converts disk images from one format to another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from imageport import (
    Chunks,
    Context,
    FormatInspection,
    Image,
    ImageData,
    ImageFormat,
    LimitExceeded,
    Plugin,
    PluginConfig,
    TransformFailed,
    VerificationFailed,
    format_size,
    hookimpl,
    inspect_file,
    inspect_head,
)
from imageport_builtin import qemu_img

#: Enough of an image to tell its format, unless that shows at its end only.
_HEAD = 64 << 10

_SECTOR = 512


class ImageConversionConfig(PluginConfig):
    """Options of ``image_conversion``."""

    output_format: Literal["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"] = Field(
        default="raw", description="The disk format to store. An image that has it already is left as it is."
    )
    compress: bool = Field(default=False, description="Compress the clusters of a qcow2 that is written.")
    vmdk_allowed_types: frozenset[str] = Field(
        default=frozenset({"streamOptimized", "monolithicSparse"}),
        description="Kinds of vmdk that are accepted; none when empty.",
    )

    @model_validator(mode="after")
    def _compress_needs_qcow2(self) -> Self:
        if self.compress and self.output_format != "qcow2":
            raise ValueError(f"compress needs output_format qcow2; it is {self.output_format}")
        return self


class ImageConversion(Plugin[ImageConversionConfig]):
    """Convert the image to another disk format with qemu-img.

    Before that it must prove to be what it claims to be, and to refer to no other file. Reads raw, qcow2,
    vmdk, vdi, vhd and vhdx; an iso passes unchanged. The record gets the new disk_format, the virtual size
    and container_format bare.

    A raw disk is read straight out of the image, through qemu-nbd, while the stores are written: it takes no room in
    the staging directory, and its holes are not read. Other formats are written there first.

    qemu never opens a file of yours: it is copied to the staging directory first, so that nobody can exchange
    it after the inspection. A raw disk that stays raw, and an iso, are not copied.
    """

    reads = "either"
    writes: Literal["nothing", "stream", "file", "disk"] = "disk"
    runs_after = frozenset({"image_decompression"})
    binaries = qemu_img.BINARIES
    stability = "stable"

    def __init__(self, config: ImageConversionConfig) -> None:
        super().__init__(config)
        if config.output_format == "raw":
            self.writes = "stream"

    def passes(self, head: bytes) -> bool:
        """Whether the image is an iso; all others may need qemu-img, which shows at their end only."""
        return inspect_head(head).disk_format == "iso"

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        """Return the image in the output format."""
        # Images in other containers are not inspected in flight, so here they never pass unread.
        if image.record.container_format == "bare" and (passed := self._pass(image, ctx)):
            return passed
        source = ctx.spool(image.data)
        if source.path is None:
            raise RuntimeError("spooled data has no file")
        result: Image | None = None
        try:
            result = self._transform_file(image, source, source.path, ctx)
            return result
        finally:
            # A raw disk is read out of the image when it is written to the stores.
            if result is None or result.data.path not in (None, source.path):
                _remove_work_file(source.path, ctx)

    def _pass(self, image: Image, ctx: Context) -> Image | None:
        """Return the image when it may stay as it is and needs no qemu-img; it is inspected again in flight."""
        path = image.data.path
        return self._pass_file(image, path, ctx) if path else self._pass_stream(image, ctx)

    def _pass_file(self, image: Image, path: Path, ctx: Context) -> Image | None:
        found = inspect_file(path)
        _accept(found, image.record.disk_format, ctx)
        if found.disk_format == "iso" or found.disk_format == self.config.output_format == "raw":
            return image.evolve(disk_format=found.disk_format, virtual_size=found.virtual_size)
        return None

    def _pass_stream(self, image: Image, ctx: Context) -> Image | None:
        # Whether it is safe shows later.
        head = inspect_head(image.data.peek(_HEAD))
        declared = image.record.disk_format
        may_be_fixed_vhd = head.disk_format == "raw" and declared in (None, "vhd")
        if may_be_fixed_vhd or head.name == "vmdk":
            return None
        _accept(head, declared, ctx)
        if head.disk_format in ("iso", self.config.output_format):
            return image.evolve(disk_format=head.disk_format)
        return None

    def _transform_file(self, image: Image, source: ImageData, path: Path, ctx: Context) -> Image:
        found = inspect_file(path)
        _accept(found, image.record.disk_format, ctx)
        if found.name == "iso":
            return image.evolve(data=source, disk_format="iso", virtual_size=found.virtual_size)
        size = self._check_with_qemu(path, found, ctx)
        if found.disk_format == self.config.output_format:
            return image.evolve(data=source, disk_format=found.disk_format, virtual_size=size)
        return self._convert(image, path, found, size, ctx)

    def _check_with_qemu(self, path: Path, found: ImageFormat, ctx: Context) -> int:
        """Return the virtual size in bytes of an image in which qemu-img finds nothing wrong either."""
        if found.disk_format not in qemu_img.DRIVERS:
            raise TransformFailed(
                f"images of format {found.name} cannot be converted",
                hint="decrypt the image first" if found.name == "luks" else "convert it before the import",
            )
        info = qemu_img.info(path, found.disk_format, ctx)
        if info.driver != qemu_img.DRIVERS[found.disk_format]:
            raise VerificationFailed(
                f"the image is {found.disk_format}, but qemu-img takes it for {info.driver}"
            )
        if info.references:
            raise VerificationFailed(
                f"the image refers to other files: {', '.join(info.references)}",
                hint="merge it into one file with qemu-img convert before the import",
            )
        if info.encrypted:
            raise TransformFailed("the image is encrypted", hint="decrypt the image first")
        if found.name == "vmdk" and info.create_type not in self.config.vmdk_allowed_types:
            allowed = ", ".join(sorted(self.config.vmdk_allowed_types)) or "none"
            raise VerificationFailed(
                f"the image is a vmdk of type {info.create_type}; allowed: {allowed}",
                hint="export it as streamOptimized, or see vmdk_allowed_types",
            )
        if info.virtual_size > ctx.limits.image_size_cap:
            raise LimitExceeded(
                f"the disk in the image has {format_size(info.virtual_size)};"
                f" the limit is {format_size(ctx.limits.image_size_cap)}",
                hint="raise limits.image_size_cap in the site file if images this large are expected",
            )
        qemu_img.check(path, found.disk_format, ctx)
        return info.virtual_size

    def _convert(self, image: Image, source: Path, found: ImageFormat, size: int, ctx: Context) -> Image:
        wanted = self.config.output_format
        if wanted == "raw":
            data = _read_out(source, found, size, ctx)
            return image.evolve(data=data, disk_format="raw", container_format="bare", virtual_size=data.size)
        target = ctx.work_file(f".{wanted}")
        # Most disks are nearly empty, and zeros take no space: this may well fit.
        if (free := shutil.disk_usage(ctx.work_folder).free) < size:
            ctx.log.warning(
                "the disk has %s, and the staging directory %s free", format_size(size), format_size(free)
            )
        try:
            qemu_img.convert(
                source, target, (found.disk_format, wanted), ctx, size=size, compress=self.config.compress
            )
            result = inspect_file(target)
            _check_result(result, wanted, size, ctx)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return image.evolve(
            data=ImageData.from_file(target),
            disk_format=wanted,
            container_format="bare",
            virtual_size=result.virtual_size,
        )


def _read_out(source: Path, found: ImageFormat, size: int, ctx: Context) -> ImageData:
    """Return the disk of *size* bytes in *source*, which is removed after it; it is checked as it passes."""
    size = _whole_sectors(size)

    def checked(chunks: Chunks) -> Chunks:
        inspection = FormatInspection()
        try:
            for piece in chunks:
                inspection.feed(piece)
                yield piece
            _check_result(inspection.finish(), "raw", size, ctx)
        finally:
            _remove_work_file(source, ctx)

    return qemu_img.raw_disk(source, found.disk_format, ctx, size=size).watched(checked)


def _accept(found: ImageFormat, recorded: str | None, ctx: Context) -> None:
    if ctx.inspection.accept(found, recorded) != found.disk_format:
        raise VerificationFailed(
            f"images of disk_format {recorded} cannot be converted",
            hint=f"declare disk_format {found.disk_format} if that is what it is, or leave the step out",
        )


def _check_result(result: ImageFormat, wanted: str, size: int, ctx: Context) -> None:
    """Refuse a disk whose content pretends to be an image itself: whoever opens it might believe that."""
    if result.disk_format != wanted:
        raise VerificationFailed(
            f"the converted image is no proper {wanted}: it looks like {result.name}",
            hint="the disk inside the image is not what it should be; get it from a source you trust",
        )
    ctx.inspection.accept(result, wanted)
    if (result.virtual_size or 0) != _whole_sectors(size):
        raise VerificationFailed(
            f"the converted disk has {result.virtual_size} bytes instead of {_whole_sectors(size)}",
            hint=f"qemu-img does not write disks of this size as {wanted}; choose another output_format",
        )


def _whole_sectors(size: int) -> int:
    return -(-size // _SECTOR) * _SECTOR


def _remove_work_file(path: Path, ctx: Context) -> None:
    """Remove the file at *path*, unless it is what was put in staging."""
    if path != ctx.staged:
        path.unlink(missing_ok=True)
