"""Unpack compressed images and archives of one image."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import ClassVar, Literal

from pydantic import Field

from imageport import Chunks, Context, Image, ImageData, LimitExceeded, Plugin, PluginConfig, hookimpl
from imageport.dataplane import identify
from imageport.limits import ByteSize
from imageport_builtin.limited_process import WRAPPERS
from imageport_builtin.unpacking.expansion_guard import ExpansionGuard
from imageport_builtin.unpacking.job import Job
from imageport_builtin.unpacking.sniff import HEAD, layer_of

#: Containers that are tar archives themselves, to be stored as such.
_TAR_CONTAINERS = frozenset({"ova", "docker"})


class DecompressionConfig(PluginConfig):
    """Options of ``image_decompression``."""

    keep: frozenset[Literal["gzip", "xz", "lzma", "bzip2", "zstd", "tar", "zip", "lha", "7z"]] = Field(
        default=frozenset(),
        description="Formats to leave packed; [tar] stores a tar.gz as the tar in it, as Glance does.",
    )
    max_layers: int = Field(
        default=4,
        ge=1,
        le=16,
        description="Most archives inside each other (tar.gz is two); more are an error.",
    )
    max_output: ByteSize | None = Field(
        default=None,
        description="Most bytes a layer may unpack to; unset, limits.image_size_cap of the site holds.",
    )
    max_ratio: int = Field(
        default=1000,
        ge=1,
        description="Most bytes of output, zeros left out, for a byte of the archive; from 256 MiB on.",
    )
    decoder_memory: ByteSize = Field(
        default=216 << 20,
        ge=1 << 20,
        description="Most bytes a decoder may take for its dictionary or window; for 7z and lha, which are unpacked "
        "in a separate process, the most that all of it may take (96 MiB at least).",
    )
    trailing_bytes: Literal["refuse", "ignore"] = Field(
        default="refuse",
        description="The action for bytes that follow the compressed data and are not padding. They may be the rest "
        "of the image behind a damaged byte. A matching checksum of the published bytes rules that out: then they are "
        "ignored with a warning.",
    )
    member: str | None = Field(
        default=None,
        min_length=1,
        description="Pattern such as *.vmdk that chooses one of several files, by name or path; the case of letters "
        "matters only where several files differ by it. An archive with a single file needs no pattern.",
    )
    verify_manifest: bool = Field(
        default=True,
        description="Compare the disk of an appliance (.ova) with its digest in the manifest (.mf), if there is one.",
    )


class ImageDecompression(Plugin[DecompressionConfig]):
    """Unpack gzip, xz, lzma, bzip2, zstd, zip, 7z, lha and tar, also inside each other.

    The first bytes decide, never a name or a declared format. An archive must hold exactly one file, or ``member``
    chooses one; files that macOS adds do not count. Of an appliance (``.ova``) the only disk is taken. Other
    bytes pass unchanged, and so do everything in the container format ``compressed`` and the tar archive that an
    ``ova`` or ``docker`` container is. Archives that cannot be unpacked, such as lz4 and rar, are refused. gzip, xz,
    lzma, bzip2, zstd and tar are unpacked as bytes pass; zip, 7z and lha are put into the work folder first. The
    archive is always read to its end.

    Zeros do not count towards ``max_ratio``, for a nearly empty disk honestly shrinks 30,000 to 1; they take no
    space either, and ``max_output``, and the image size cap and the ``conversion_deadline`` of the site bound them.
    """

    reads: ClassVar[Literal["stream", "file", "either"]] = "either"
    runs_before: ClassVar[frozenset[str]] = frozenset({"image_conversion"})
    binaries = WRAPPERS
    stability = "stable"

    def leaves_unchanged(self, head: bytes) -> bool:
        """Whether *head* is that of no archive, or of one that stays packed."""
        layer = layer_of(head)
        return layer is None or layer in self.config.keep

    def formats_made(self, disk_format: str | None) -> frozenset[str] | None:
        """Return the declared format: it is that of the disk in the archive."""
        return None if disk_format is None else frozenset({disk_format})

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None:
        """Return *image* without its layers of compression, or None when it has none."""
        if image.record.container_format == "compressed":
            return None
        keep: set[str] = {*self.config.keep}
        if image.record.container_format in _TAR_CONTAINERS:
            keep.add("tar")
        data = self._unpacked(image.data, ctx, keep)
        return None if data is image.data else image.evolve(data=data)

    def _unpacked(self, data: ImageData, ctx: Context, keep: Collection[str]) -> ImageData:
        published = data
        guard = ExpansionGuard(ctx, self.config.max_output, self.config.max_ratio)
        layers: list[str] = []
        try:
            while (layer := layer_of(head := data.peek(HEAD))) and layer not in keep:
                self._check_depth(layers, layer)
                source = data if layers else guard.watch_source(data)
                data = self._without(layer, source, published, guard, ctx)
                layers.append(layer)
            _settle(layer, head, layers, ctx)
        except BaseException:
            data.close()
            raise
        if layers:
            ctx.log.info("unpacking %s", " > ".join(layers))
        return data

    def _without(
        self, layer: str, data: ImageData, published: ImageData, guard: ExpansionGuard, ctx: Context
    ) -> ImageData:
        """Return the content of *data*, an archive of the format *layer*."""
        from imageport_builtin.unpacking.formats import UNPACKERS

        def unpack(data: ImageData, require_time: Callable[[], None]) -> Chunks:
            job = Job(
                ctx=ctx,
                published=published,
                member=self.config.member,
                memory=self.config.decoder_memory,
                ignore_trailing=self.config.trailing_bytes == "ignore",
                verify_manifest=self.config.verify_manifest,
                require_time=require_time,
            )
            return UNPACKERS[layer](data, job)

        return ImageData.from_chunks(lambda: guard.watch_layer(layer, data, unpack))

    def _check_depth(self, layers: list[str], layer: str) -> None:
        if len(layers) == self.config.max_layers:
            raise LimitExceeded(
                f"more than {len(layers)} archives inside each other: {' > '.join([*layers, layer])}",
                hint="raise max_layers of this step if that is meant",
            )


def _settle(kept: str | None, head: bytes, layers: list[str], ctx: Context) -> None:
    """Permit an archive that is *kept* packed. Raises ``UnsupportedFormat`` for one that cannot be unpacked."""
    if kept is not None:
        ctx.inspection.permit(kept)
    elif (file_type := identify(head)) is not None and file_type.kind == "archive":
        subject = f"the content of the {layers[-1]} archive" if layers else "the image"
        ctx.inspection.require_disk(file_type, subject)
