"""Copy a stored image to further stores."""

from __future__ import annotations

import hashlib

from imageport import (
    Chunks,
    Conflict,
    Context,
    ImageData,
    ImageportError,
    ImageRecord,
    Location,
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

    The copy in the default store is tried first, then the others in their order; one of another size than the record
    says is passed over. The bytes must have the digests of the record, or nothing is published.
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
                return _verified(ctx.read_replica(location), location, image)
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


def _verified(data: ImageData, location: Location, image: ImageRecord) -> ImageData:
    """Return *data* with a comparison at its end: only here it is known which copy is read."""
    if data.size is not None and image.size not in (None, data.size):
        raise _damaged(location, image, f"{data.size} bytes", f"{image.size} bytes")
    algorithm, expected = image.os_hash_algo or "md5", image.os_hash_value or image.checksum

    def compare(chunks: Chunks) -> Chunks:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for piece in chunks:
            digest.update(piece)
            yield piece
        if expected not in (None, digest.hexdigest()):
            raise _damaged(location, image, f"{algorithm} {digest.hexdigest()}", expected)

    return data.through(compare, size=data.size)


def _damaged(location: Location, image: ImageRecord, found: str, expected: str | None) -> VerificationFailed:
    return VerificationFailed(
        f"the copy in store {location.store} is damaged: it has {found}, the record says {expected}",
        hint=f"if another store holds the image, remove this copy with 'imageport images delete {image.id} "
        f"--store {location.store}' and copy again",
    )
