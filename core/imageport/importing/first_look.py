"""Look at an image before a store gets its first byte: refuse what is no disk, and what a file shows to be wrong."""

from __future__ import annotations

from imageport.context import Context
from imageport.dataplane.file_types import HEAD
from imageport.dataplane.inspection import ImageFormat, inspect_file, inspect_head, needs_file
from imageport.values import Image


def look_first(image: Image, ctx: Context) -> tuple[Image, ImageFormat | None]:
    """Return *image*, and what it was found to be, None when that has to be found while it is written.

    An image that can only be inspected as a file is spooled. A file of the caller may change while it is read, so it is
    inspected in flight. Raises what ``ctx.inspection`` and ``ctx.spool`` raise.
    """
    head = image.data.peek(HEAD)
    ctx.inspection.require_disk(inspect_head(head).file_type)
    if needs_file(head):
        image = image.evolve(data=ctx.spool(image.data))
    path = image.data.path
    if path is None or not ctx.is_private(path):
        return image, None
    found = inspect_file(path)
    ctx.inspection.accept(found, image.record.disk_format)
    return image, found
