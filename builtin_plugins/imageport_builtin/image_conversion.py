"""The step that converts disk images from one format to another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field

from imageport import Chunks, Context, Image, ImageData, Plugin, VerificationFailed, hookimpl
from imageport.dataplane import FormatInspection, ImageFormat, inspect_file, inspect_head, nonzero_ranges
from imageport.limits import format_size
from imageport_builtin import qemu_img
from imageport_builtin.disk_kinds import OutputOptions, whole_sectors
from imageport_builtin.expansion import ExpansionLimit, bytes_without_holes, space_taken
from imageport_builtin.source_check import check_source
from imageport_builtin.unpacking.job import closed_after

#: Bytes that are enough to detect the format of an image, unless that shows at its end only.
_HEAD = 64 << 10


class ImageConversionConfig(OutputOptions):
    """Options of ``image_conversion``."""

    vmdk_allowed_types: frozenset[str] = Field(
        default=frozenset({"streamOptimized", "monolithicSparse"}),
        description="Kinds of vmdk that are accepted; none when empty.",
    )
    max_ratio: int = Field(
        default=1000,
        ge=1,
        description="Most bytes of the converted disk, zeros left out, for a byte of the image, holes left out; "
        "from 256 MiB on.",
    )


class ImageConversion(Plugin[ImageConversionConfig]):
    """Convert the image to another disk format with qemu-img.

    Before that, the image is checked: it must have the declared format, be whole, and refer to no other file. Reads
    raw, qcow2, vmdk, vdi, vhd and vhdx; an iso passes unchanged. The record gets the new disk_format, the virtual
    size and container_format bare.

    A raw disk is read straight out of the image, through qemu-nbd, while the stores are written: it takes no room in
    the staging directory, and its holes are not read. Other formats are written there first.

    qemu never opens a file of yours: it is copied to the staging directory first, so that it cannot be exchanged
    after the inspection. A raw disk that stays raw, and an iso, are not copied.
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

    def leaves_unchanged(self, head: bytes) -> bool:
        """Whether the image is an iso; all others may need qemu-img, which shows at their end only."""
        return inspect_head(head).disk_format == "iso"

    def formats_made(self, disk_format: str | None) -> frozenset[str]:
        """Return the output format; an iso stays one."""
        known = {"iso"} if disk_format == "iso" else {self.config.output_format}
        return frozenset(known if disk_format else {*known, "iso"})

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
        found = _accepted(inspect_file(path), image.record.disk_format, path.stat().st_size, ctx)
        if found.disk_format == "iso" or found.disk_format == self.config.output_format == "raw":
            passed = image.evolve(disk_format=found.disk_format, virtual_size=found.virtual_size)
            return self._padded(passed)
        return None

    def _pass_stream(self, image: Image, ctx: Context) -> Image | None:
        # Whether it is safe shows later.
        head = inspect_head(image.data.peek(_HEAD))
        declared = image.record.disk_format
        may_be_fixed_vhd = head.disk_format == "raw" and declared in (None, "vhd")
        if may_be_fixed_vhd or head.name == "vmdk":
            return None
        head = _accepted(head, declared, image.data.size, ctx)
        if head.disk_format == "iso":
            return image.evolve(disk_format="iso")
        if head.disk_format == self.config.output_format and (
            head.disk_format == "raw" or self._takes_any_kind
        ):
            return self._padded(image.evolve(disk_format=head.disk_format))
        return None

    @property
    def _takes_any_kind(self) -> bool:
        """Whether every image in the output format is left as it is, so that it need not be looked into."""
        return not self.config.kind and not self.config.pad_to

    def _padded(self, image: Image, done: Callable[[], None] = lambda: None) -> Image:
        """Return a raw *image* with the zeros at its end that are asked for; *done* is called when it was read."""
        size = image.data.size
        padded = None if size is None else self.config.padded(size)
        if image.record.disk_format != "raw" or not self.config.pad_to or (padded and padded == size):
            return image

        def pad(chunks: Chunks) -> Chunks:
            try:
                yield from self.config.with_padding(chunks)
            finally:
                done()

        data = image.data.through(pad, size=padded)
        return image.evolve(data=data, virtual_size=data.size)

    def _transform_file(self, image: Image, source: ImageData, path: Path, ctx: Context) -> Image:
        found = _accepted(inspect_file(path), image.record.disk_format, path.stat().st_size, ctx)
        if found.name == "iso":
            return image.evolve(data=source, disk_format="iso", virtual_size=found.virtual_size)
        info = check_source(path, found, self.config.vmdk_allowed_types, ctx)
        if found.disk_format == self.config.output_format:
            if found.disk_format == "raw":
                passed = image.evolve(data=source, disk_format="raw", virtual_size=found.virtual_size)
                return self._padded(passed, lambda: _remove_work_file(path, ctx))
            differences = self.config.differences(path, info)
            if not differences:
                return image.evolve(
                    data=source, disk_format=found.disk_format, virtual_size=info.virtual_size
                )
            ctx.log.info("the %s is converted to another: %s", found.disk_format, "; ".join(differences))
        return self._convert(image, path, found, info.virtual_size, ctx)

    def _convert(self, image: Image, source: Path, found: ImageFormat, size: int, ctx: Context) -> Image:
        wanted = self.config.output_format
        if wanted == "raw":
            data = self._read_out(source, found, size, ctx)
            return image.evolve(data=data, disk_format="raw", container_format="bare", virtual_size=data.size)
        padded = self.config.padded(size)
        self.config.require_room(padded)
        # Most disks are nearly empty, and zeros take no space: this may well fit.
        if (free := shutil.disk_usage(ctx.work_folder).free) < size:
            ctx.log.warning(
                "the disk has %s, and the staging directory %s free", format_size(size), format_size(free)
            )
        path = ctx.work_file(f".{wanted}")
        target = qemu_img.Target(
            path, wanted, padded, options=self.config.create_options(), compress=self.config.compress
        )
        expansion = self._expansion_of(found, source)

        def watch() -> None:
            with suppress(FileNotFoundError):
                expansion(space_taken(path))

        try:
            qemu_img.convert(source, found.disk_format, target, ctx, size=size, watch=watch)
            result = inspect_file(path)
            _check_result(result, wanted, padded, ctx)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return image.evolve(
            data=ImageData.from_file(path),
            disk_format=wanted,
            container_format="bare",
            virtual_size=result.virtual_size,
        )

    def _expansion_of(self, found: ImageFormat, source: Path) -> Callable[[int], None]:
        """Return a function that raises ``LimitExceeded`` when so many bytes are too many for *source*."""
        limit, size = ExpansionLimit(self.config.max_ratio), bytes_without_holes(source)
        return lambda output: limit.require(
            f"the disk in the {found.name} image expands", output=output, source=size
        )

    def _read_out(self, source: Path, found: ImageFormat, size: int, ctx: Context) -> ImageData:
        """Return the disk of *size* bytes in *source*, which is removed after it; it is checked as it passes."""
        sectors, expansion = whole_sectors(size), self._expansion_of(found, source)

        def checked(chunks: Chunks) -> Chunks:
            inspection, solid = FormatInspection(), 0
            try:
                with closed_after(chunks):
                    for piece in chunks:
                        inspection.feed(piece)
                        solid += sum(stop - start for start, stop in nonzero_ranges(piece))
                        expansion(solid)
                        yield piece
                _check_result(inspection.finish(), "raw", None, ctx)
            finally:
                _remove_work_file(source, ctx)

        data = qemu_img.raw_disk(source, found.disk_format, ctx, size=sectors).tapped(checked)
        padded = self.config.padded(sectors)
        return data if padded == sectors else data.through(self.config.with_padding, size=padded)


def _accepted(found: ImageFormat, recorded: str | None, size: int | None, ctx: Context) -> ImageFormat:
    """Return the format as which an image of *size* bytes, with the *found* format, is converted."""
    accepted = ctx.inspection.accept(found, recorded)
    if accepted == found.disk_format:
        return found
    if accepted == "raw":
        # An ISO that boots from a disk, too, and was declared to be one.
        return ImageFormat("raw", size)
    raise VerificationFailed(
        f"images of disk_format {recorded} cannot be converted",
        hint=f"declare disk_format {found.disk_format} if that is what it is, or leave the step out",
    )


def _check_result(result: ImageFormat, wanted: str, size: int | None, ctx: Context) -> None:
    """Refuse a disk whose content pretends to be an image itself: a program that opens it might believe that.

    A disk may hold an ISO 9660 file system: as a disk, every program reads it in the same way. *size* is that of the
    disk in bytes, None where it is known to be right.
    """
    if result.disk_format not in ({"raw", "iso"} if wanted == "raw" else {wanted}):
        raise VerificationFailed(
            f"the converted image is not a proper {wanted}: it looks like {result.name}",
            hint="the disk inside the image is not what it should be; get it from a source you trust",
        )
    ctx.inspection.accept(result, wanted)
    if size is not None and result.virtual_size != size:
        raise VerificationFailed(
            f"the converted disk has {result.virtual_size} bytes instead of {size}",
            hint=f"qemu-img does not write disks of this size as {wanted}; choose another output_format",
        )


def _remove_work_file(path: Path, ctx: Context) -> None:
    """Remove the file at *path*, unless it is staged data."""
    if path != ctx.staged:
        # The work folder goes at the end of the import in any case.
        with suppress(OSError):
            path.unlink(missing_ok=True)
