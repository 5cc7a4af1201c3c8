"""The state of a bucket: its objects, and the uploads to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError
from imageport.stores import StoredObject

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

#: The name of the metadata that carries the token of a copy: the header ``x-amz-meta-imageport-token``.
TOKEN = "imageport-token"  # noqa: S105 - a name


def find_object(client: S3Client, Bucket: str, Key: str) -> StoredObject | None:  # noqa: N803 - names of the library
    """Return the state of an object, or None when there is none."""
    try:
        found = client.head_object(Bucket=Bucket, Key=Key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    return StoredObject(
        size=found["ContentLength"],
        token=found["Metadata"].get(TOKEN, ""),
        version=found["ETag"].strip('"'),
        modified=found["LastModified"],
    )


def object_names(client: S3Client, bucket: str, prefix: str) -> Iterator[str]:
    """Yield the names of all objects that begin with *prefix*."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (item["Key"] for item in page.get("Contents", ()))


def begun_uploads(client: S3Client, Bucket: str, Key: str) -> list[str]:  # noqa: N803 - names of the library
    """Return the ids of the uploads to an object that have no part yet."""
    begun: list[str] = []
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=Bucket, Prefix=Key):
        for upload in page.get("Uploads", ()):
            if upload["Key"] == Key:
                found = client.list_parts(Bucket=Bucket, Key=Key, UploadId=upload["UploadId"], MaxParts=1)
                begun += [] if found.get("Parts") else [upload["UploadId"]]
    return begun
