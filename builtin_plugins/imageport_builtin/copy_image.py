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

    The copy in the default store is tried first, then the others in their order. The bytes must have the size and
    digests of the record, or nothing is published.
    """

    stability = "stable"
    starts_from = frozenset({"active"})

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Refuse a url or path: the source is the image itself."""
        if source.uri is not None:
            raise SourceRejected(
                f"copy-image copies a stored image and cannot read {source.uri}",
                hint="leave the source out and name the image with --image",
            )

    @hookimpl
    def stage(self, image: ImageRecord, ctx: Context) -> ImageData:
        """Open the first copy that can be read."""
        failures = []
        for location in ctx.replicas:
            try:
                return ctx.read_replica(location)
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
