"""The step that sets how large a disk the image needs."""

from __future__ import annotations

from imageport import Context, Image, NoConfig, Plugin, hookimpl
from imageport.dataplane import inspect_file, inspect_head

#: Enough of an image to find its virtual size in the header, if the header has it at all.
_HEAD = 64 << 10
_GIB = 1 << 30


class MinDisk(Plugin[NoConfig]):
    """Raise min_disk of the image to its virtual size, in GiB, rounded up.

    Stands below the steps that change the bytes. A larger min_disk that the user set stays. Where the size shows only
    at the end of a stream, as with raw data of unknown length, nothing is changed and a warning is logged.
    """

    runs_after = frozenset({"image_decompression", "image_conversion"})
    stability = "stable"

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None:
        """Return the image with min_disk set."""
        if image.record.container_format != "bare":
            return None
        size = _virtual_size(image)
        if size is None:
            ctx.log.warning(
                "min_disk is not set: the virtual size of image %s is not known yet", image.record.id
            )
            return None
        return image.evolve(min_disk=max(image.record.min_disk, -(-size // _GIB)))


def _virtual_size(image: Image) -> int | None:
    if image.record.virtual_size is not None:
        return image.record.virtual_size
    if image.data.path is not None:
        return inspect_file(image.data.path).virtual_size
    found = inspect_head(image.data.peek(_HEAD))
    return image.data.size if found.disk_format == "raw" else found.virtual_size
