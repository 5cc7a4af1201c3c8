"""The options of the plugins."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from imageport import PluginConfig
from imageport.limits import ByteSize
from pydantic import Field, SecretStr, field_validator, model_validator

#: Names of buckets, after the rules of AWS; servers that allow others are rare.
_BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"


#: Beginnings of names: no part between slashes is empty, and none begins with a dot.
_PREFIX = r"^(?:[^/.][^/]*/)*(?:[^/.][^/]*)?$"


class S3Access(PluginConfig):
    """How a server is reached."""

    endpoint: str | None = Field(
        default=None, description="Url of the server, such as https://s3.example.org; that of AWS without it."
    )
    region: str | None = Field(
        default=None, description="Region of the bucket; that of the profile, or us-east-1, without it."
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto",
        description="Whether the bucket is in the path of urls or in the host name; auto: in the path with endpoint.",
    )
    access_key_id: str | None = Field(
        default=None, description="The access key; without it, those of the profile or of the environment."
    )
    secret_access_key: SecretStr | None = Field(default=None, description="The secret of the access key.")
    session_token: SecretStr | None = Field(default=None, description="The token of a temporary access key.")
    profile: str | None = Field(
        default=None, description="Profile of the configuration files of AWS with the access key."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_server(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        url = urlsplit(endpoint)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("write http:// or https:// and the name of the server")
        if url.username or url.password or url.query or url.fragment or url.path.strip("/"):
            raise ValueError("write only the scheme, the name of the server and the port")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def _whole_key(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("give both access_key_id and secret_access_key, or none of them")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token belongs to an access_key_id")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("give profile or access_key_id, not both")
        return self


class S3SourceConfig(S3Access):
    """Options of ``s3-download``."""

    anonymous: bool = Field(
        default=False, description="Whether the object is public, and read without an access key."
    )


class S3StoreConfig(S3Access):
    """Options of ``s3``."""

    bucket: str = Field(pattern=_BUCKET, description="The bucket, which is there already.")
    prefix: str = Field(
        default="",
        max_length=512,
        pattern=_PREFIX,
        description="Beginning of the names of objects, such as images/.",
    )
    storage_class: str | None = Field(
        default=None,
        description="Storage class of the objects, such as STANDARD_IA; not one that must be restored.",
    )
    server_side_encryption: Literal["AES256", "aws:kms"] | None = Field(
        default=None, description="Encryption at the server; as the bucket is set up without it."
    )
    kms_key_id: str | None = Field(
        default=None, description="The key for aws:kms; that of the account without it."
    )
    part_size: ByteSize = Field(
        default=16 << 20, ge=5 << 20, le=5 << 30,
        description="Bytes of a part; parts of larger images of known size are larger. An object has 10000 parts.",
    )  # fmt: skip
    in_flight: int = Field(
        default=4, ge=1, le=16,
        description="Parts that are sent at the same time; memory for one more is needed.",
    )  # fmt: skip
    checksum: Literal["md5", "sha256"] | None = Field(
        default=None,
        description="Digest of each part that the server compares: md5 works with every server, sha256 is faster on "
        "most processors. Without it sha256 for AWS, and md5 with endpoint.",
    )

    @property
    def algorithm(self) -> str:
        """The digest of parts."""
        return self.checksum or ("sha256" if self.endpoint is None else "md5")

    @property
    def of_objects(self) -> dict[str, str]:
        """Return the properties of objects, as the library names them."""
        options = {
            "StorageClass": self.storage_class,
            "ServerSideEncryption": self.server_side_encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "ChecksumAlgorithm": "SHA256" if self.algorithm == "sha256" else None,
        }
        return {name: value for name, value in options.items() if value is not None}

    @field_validator("storage_class")
    @classmethod
    def _is_readable(cls, storage_class: str | None) -> str | None:
        if storage_class in ("GLACIER", "DEEP_ARCHIVE"):
            raise ValueError(f"objects in {storage_class} cannot be read before they are restored")
        return storage_class

    @model_validator(mode="after")
    def _key_of_kms(self) -> Self:
        if self.kms_key_id is not None and self.server_side_encryption != "aws:kms":
            raise ValueError("kms_key_id needs server_side_encryption: aws:kms")
        return self
