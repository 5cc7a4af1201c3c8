"""Copy a stored image to further stores."""

from __future__ import annotations

from imageport import (
    Conflict,
    Context,
    ImageData,
    ImageportError,
    ImageRecord,
    NoConfig,
    Plugin,
    Source,
    SourceRejected,
    StoreFailed,
    hookimpl,
)


class CopyImage(Plugin[NoConfig]):
    """Read an active image from a store that holds it, for the stores that lack it.

    The copy in the default store is tried first, then the others in their order. A copy that cannot be read, or whose
    size or digests are not those of the record, is passed over; nothing of it is published. Data that was left in
    staging with the right size is read before any store.
    """

    stability = "stable"
    starts_from = frozenset({"active"})
    copies = True

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse a url or path: the source is the image itself."""
        if source.uri is not None:
            raise SourceRejected(
                "copy-image copies a stored image and reads no other source",
                hint="leave the source out and name the image with --image",
            )

    @hookimpl
    def stage(self, image: ImageRecord, ctx: Context) -> ImageData:
        """Open the first copy that can be read."""
        if ctx.staged is not None and ctx.staged.stat().st_size == image.size:
            return _as_stream(ImageData.from_file(ctx.staged))
        failures = []
        for location in ctx.replicas:
            try:
                return _as_stream(ctx.read_replica(location))
            except ImageportError as error:
                ctx.log.warning("copy in store %s cannot be read: %s", location.store, error)
                failures.append(f"{location.store}: {error.message}")
        if not failures:
            raise Conflict(
                f"no store holds image {image.id}",
                hint="import the image before copying it to further stores",
            )
        raise StoreFailed(
            f"no copy of image {image.id} can be read ({'; '.join(failures)})",
            hint="bring one of these stores back, or import the image again under a new id",
        )


def _as_stream(data: ImageData) -> ImageData:
    """Return *data* as a stream: its errors are then errors of this method, and another copy is read."""
    return data.tapped(lambda chunks: chunks)
