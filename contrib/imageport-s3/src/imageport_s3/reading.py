"""Bytes of objects, read in one request that goes on where it broke off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport import Chunks, Context
from imageport.dataplane import CHUNK_SIZE

from imageport_s3.clients import make_reader
from imageport_s3.options import S3Access

if TYPE_CHECKING:
    from obstore import GetResult


def open_object(
    access: S3Access, bucket: str, key: str, ctx: Context, *, etag: str = "", anonymous: bool = False
) -> GetResult:
    """Return an object of which nothing is read yet, with *etag* if that is given. Raises errors of obstore."""
    import obstore  # noqa: PLC0415 - takes long to import

    reader = make_reader(access, bucket, ctx.client, anonymous=anonymous)
    return obstore.get(reader, key, options={"if_match": f'"{etag}"'} if etag else {})


def chunks_of(found: GetResult, ctx: Context) -> Chunks:
    """Yield the bytes of an object; all are of the same version of it. Raises errors of obstore."""
    for piece in found.stream(CHUNK_SIZE):
        ctx.check_cancelled()
        yield memoryview(piece).toreadonly()
