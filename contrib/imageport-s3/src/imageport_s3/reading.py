"""Bytes of objects, read in one request that goes on where it broke off."""

from __future__ import annotations

from imageport import Chunks, Context
from imageport.dataplane import CHUNK_SIZE

from imageport_s3.clients import make_reader
from imageport_s3.options import S3Access


def object_chunks(access: S3Access, bucket: str, key: str, etag: str, ctx: Context) -> Chunks:
    """Yield the bytes of an object, as long as it is the one with *etag*. Raises errors of obstore."""
    import obstore  # noqa: PLC0415 - takes long to import

    reader = make_reader(access, bucket, ctx.client)
    found = obstore.get(reader, key, options={"if_match": f'"{etag}"'})
    for piece in found.stream(CHUNK_SIZE):
        ctx.check_cancelled()
        yield memoryview(piece).toreadonly()
