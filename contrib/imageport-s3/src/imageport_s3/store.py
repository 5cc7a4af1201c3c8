"""The store in a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from imageport import Context, Image, ImageData, Location, StoreFailed
from imageport.stores import PartStore, StoredObject
from imageport.values import StoreCapabilities

from imageport_s3 import digests, listing
from imageport_s3.clients import make_client
from imageport_s3.errors import ERRORS, with_place
from imageport_s3.options import S3StoreConfig
from imageport_s3.reading import object_chunks


class S3Store(PartStore[S3StoreConfig]):
    """Keep each image in an object named by its id, in a bucket of AWS or of a compatible server.

    An image is uploaded in parts, each with a digest that the server compares, and its object shows when every check
    has passed. An object that is there is never replaced, and only objects that this store wrote are removed.
    """

    errors = ERRORS
    capabilities = StoreCapabilities(largest=5 << 40)

    def setup(self, ctx: Context) -> None:
        self.part_size, self.in_flight = self.config.part_size, self.config.in_flight
        self.client = make_client(self.config, ctx.client, connections=self.in_flight + 1)

    def close(self) -> None:
        self.client.close()

    @property
    def root(self) -> str:
        return f"s3://{self.config.bucket}/"

    def key(self, image: Image) -> str:
        return self.config.prefix + image.record.id

    def begin(self, key: str, token: str, image: Image) -> str:
        marked: Any = {"Metadata": {listing.TOKEN: token}, **self.config.of_objects}
        return self.client.create_multipart_upload(**self._at(key), **marked)["UploadId"]

    def put(self, key: str, upload: str, number: int, offset: int, part: bytearray) -> str:
        sent = {"PartNumber": number, "Body": part, **digests.of_part(part, self.config.algorithm)}
        return digests.receipt(self.client.upload_part(**self._at(key, upload), **sent), sent)

    def complete(self, key: str, upload: str, receipts: Sequence[str]) -> str:
        parts: Any = {"MultipartUpload": {"Parts": digests.as_parts(receipts)}, "IfNoneMatch": "*"}
        answer = self.client.complete_multipart_upload(**self._at(key, upload), **parts)
        return digests.of_object(receipts, answer)

    def abort(self, key: str, upload: str | None) -> None:
        for one in [upload] if upload else listing.begun_uploads(self.client, **self._at(key)):
            with suppress(self.client.exceptions.NoSuchUpload):
                self.client.abort_multipart_upload(**self._at(key, one))

    def head(self, key: str) -> StoredObject | None:
        return listing.find_object(self.client, **self._at(key))

    def get(self, key: str, stored: StoredObject, ctx: Context) -> ImageData:
        read = partial(object_chunks, self.config, self.config.bucket, key, stored.version, ctx)
        return ImageData.from_chunks(read, size=stored.size)

    def remove(self, key: str) -> None:
        self.client.delete_object(**self._at(key))

    def keys(self) -> Iterator[str]:
        return listing.object_names(self.client, self.config.bucket, self.config.prefix)

    def failure(self, location: Location, error: Exception) -> StoreFailed:
        return with_place(super().failure(location, error), location)

    def _at(self, key: str, upload: str | None = None) -> Any:
        at = {"Bucket": self.config.bucket, "Key": key}
        return at if upload is None else {**at, "UploadId": upload}
