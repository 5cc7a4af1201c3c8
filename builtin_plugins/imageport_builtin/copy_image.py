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
        if ctx.staged is not None and ctx.staged.stat().st_size == image.size:
            return _verified(ImageData.from_file(ctx.staged), None, image)
        failures = []
        for location in ctx.replicas:
            try:
                return _verified(ctx.read_replica(location), location.store, image)
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


def _verified(data: ImageData, store: str | None, image: ImageRecord) -> ImageData:
    """Return *data*, from *store* or else from staging, with a comparison at its end."""
    if data.size is not None and image.size not in (None, data.size):
        raise _damaged(store, image, f"{data.size} bytes", f"{image.size} bytes")
    algorithm, expected = image.os_hash_algo or "md5", image.os_hash_value or image.checksum

    def compare(chunks: Chunks) -> Chunks:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        for piece in chunks:
            digest.update(piece)
            yield piece
        if expected not in (None, digest.hexdigest()):
            raise _damaged(store, image, f"{algorithm} {digest.hexdigest()}", expected)

    return data.through(compare, size=data.size)


def _damaged(store: str | None, image: ImageRecord, found: str, expected: str | None) -> VerificationFailed:
    place = "staging" if store is None else f"store {store}"
    return VerificationFailed(
        f"the copy in {place} is damaged: it has {found}, the record says {expected}",
        hint=""
        if store is None
        else f"if another store holds the image, remove this copy with "
        f"'imageport images delete {image.id} --store {store} --role admin' and copy again",
    )
