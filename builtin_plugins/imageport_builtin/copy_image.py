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
    VerificationFailed,
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
            return _sized(ImageData.from_file(ctx.staged), None, image)
        failures = []
        for location in ctx.replicas:
            try:
                return _sized(ctx.read_replica(location), location.store, image)
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


def _sized(data: ImageData, store: str | None, image: ImageRecord) -> ImageData:
    """Return *data*, from *store* or else from staging. Raises ``VerificationFailed`` when its size is wrong."""
    if data.size is not None and image.size not in (None, data.size):
        place = "staging" if store is None else f"store {store}"
        raise VerificationFailed(
            f"the copy in {place} is damaged: it has {data.size} bytes, the record has {image.size} bytes",
            hint=""
            if store is None
            else f"if another store holds the image, remove this copy with "
            f"'imageport images delete {image.id} --store {store} --role admin' and copy again",
        )
    # As a stream: errors while it is read are reported as errors of this method, and another copy is read.
    return data.tapped(lambda chunks: chunks)
