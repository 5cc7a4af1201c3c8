"""The record of an image in another Glance (Image API v2)."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError

from imageport import SourceUnavailable
from imageport.text import printable
from imageport.values import RESERVED_PREFIX
from imageport_builtin.checksum_digests import Digest

#: The fields of every image; all others are properties. From the schema of the Image API.
_BASE = frozenset(
    {
        "checksum", "container_format", "created_at", "direct_url", "disk_format", "file", "id", "locations",
        "min_disk", "min_ram", "name", "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "schema",
        "self", "size", "status", "stores", "tags", "updated_at", "virtual_size", "visibility",
    }
)  # fmt: skip
_LONGEST_NAME = 255
#: PostgreSQL keeps no null characters.
_NULL = "\0"

FormatName = Annotated[str, Field(pattern=re.compile(r"\A[a-z0-9_.-]{1,32}\Z"))]


class RemoteImage(BaseModel):
    """An image that is active and has a size."""

    # The validator of the answer is built with the first one: every command imports this, and few have one.
    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    size: Annotated[StrictInt, Field(ge=1)]
    disk_format: FormatName | None = None
    container_format: FormatName | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None

    @classmethod
    def parse(cls, text: str, shown: str) -> RemoteImage:
        """Read the answer *text* that came from *shown*.

        Raises ``SourceUnavailable`` when the image is not active, or the answer is not that of a Glance.
        """
        try:
            status = _Status.model_validate_json(text).status
            if status != "active":
                raise SourceUnavailable(
                    f"{shown} is {printable(status)}, not active",
                    hint="import it when its upload is complete; 'openstack image show' prints the status",
                )
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "all of it"
            raise SourceUnavailable(
                f"{shown} did not describe an image as Glance does: {printable(place)}: {first['msg']}",
                hint="check that the url is that of an image service, version 2, and that the image is complete there",
            ) from None

    def digest(self, log: logging.Logger) -> Digest | None:
        """Return the best digest that the bytes can be compared with, or None."""
        given = ((self.os_hash_algo, self.os_hash_value), ("md5", self.checksum))
        for algorithm, value in given:
            if not algorithm or not value:
                continue
            try:
                return Digest.of(algorithm, value)
            except ValueError as error:
                log.warning("a digest of the remote image cannot be used: %s", printable(str(error)))
        log.warning("the remote image has no digest that can be used: only its size is compared")
        return None

    def properties_with(self, prefixes: Sequence[str]) -> dict[str, str]:
        """Return the properties whose names begin with one of *prefixes*, but for reserved ones."""
        return {
            name: value
            for name, value in (self.model_extra or {}).items()
            if name.startswith(tuple(prefixes)) and not name.startswith(RESERVED_PREFIX) and name not in _BASE
            if isinstance(value, str) and len(name) <= _LONGEST_NAME and _NULL not in name + value
        }


class _Status(BaseModel, defer_build=True):
    status: str
