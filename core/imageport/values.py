"""The frozen values that cross hooks: the caller, the request, and the image in flight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from imageport.data import ImageData

__all__ = [
    "MAX_NAME",
    "MAX_VALUE",
    "RESERVED_PREFIX",
    "Caller",
    "ClientSettings",
    "Finding",
    "Image",
    "ImageRecord",
    "ImageStatus",
    "Location",
    "PendingCopy",
    "Source",
    "StagedCopy",
    "StoreCapabilities",
    "StoredCopy",
]

#: Statuses of an image, as in Glance.
ImageStatus = Literal[
    "queued", "saving", "uploading", "importing", "active", "deactivated", "pending_delete", "deleted"
]

#: Properties whose names start so belong to Imageport; neither users nor plugins may set them.
RESERVED_PREFIX = "os_glance"

#: Characters of the longest name of an image, property, tag, user or project, as in Glance.
MAX_NAME = 255

#: Characters of the longest value of a property.
MAX_VALUE = 65_535


def _no_properties() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user of a call. Their images belong to ``owner``: their project, or the user without one.

    ``is_remote`` is true for callers of a service, who have no files on this machine.
    """

    user: str
    project: str | None = None
    roles: frozenset[str] = frozenset({"member"})
    is_remote: bool = False

    @property
    def owner(self) -> str:
        """Whose images the caller makes and changes."""
        return self.project or self.user


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an image comes from.

    ``uri`` is a url, a path, ``-`` for standard input, or None when the method needs no address (a copy of a stored
    image, or data that was staged before). For a redirect, ``uri`` is the target and ``redirected_from`` the page
    that named it. Steps and stores see every other url that a plugin fetches as well, such as a list of checksums.
    """

    method: str
    uri: str | None = None
    redirected_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where one stored copy lives.

    ``url`` is the store's own address of the copy; ``metadata`` holds the facts with which the store finds it again
    (never secrets). ``store`` is filled in by the runner.
    """

    url: str
    store: str = ""
    metadata: Mapping[str, str] = field(default_factory=_no_properties)

    def as_dict(self) -> dict[str, Any]:
        """Return store and address as plain values; how the store finds the copy is its own affair."""
        return {"url": self.url, "store": self.store}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """The metadata row of an image, with the field names of the Glance v2 API.

    Sizes are bytes. ``checksum`` is the MD5 and ``os_hash_value`` the ``os_hash_algo`` digest (hexadecimal) of the
    bytes as stored.
    """

    id: str
    name: str | None = None
    status: ImageStatus = "queued"
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    owner: str | None = None
    visibility: str = "shared"
    protected: bool = False
    min_disk: int = 0
    min_ram: int = 0
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=_no_properties)
    locations: tuple[Location, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))

    def evolve(self, **changes: Any) -> ImageRecord:
        """Return a copy with *changes*."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain values, ready for JSON; times in ISO 8601."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["properties"] = dict(self.properties)
        plain["tags"] = list(self.tags)
        plain["locations"] = [location.as_dict() for location in self.locations]
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in plain.items()
        }


@dataclass(frozen=True, slots=True)
class Image:
    """An image in flight: its record and its bytes. Never mutated; a step returns a new one."""

    record: ImageRecord
    data: ImageData

    def evolve(self, *, data: ImageData | None = None, **changes: Any) -> Image:
        """Return a copy with other *data*, with *changes* to fields of the record, or both."""
        return Image(self.record.evolve(**changes) if changes else self.record, data or self.data)

    def with_properties(self, **properties: str) -> Image:
        """Return a copy whose record has *properties* added or replaced."""
        return self.evolve(properties={**self.record.properties, **properties})


class PendingCopy(Protocol):
    """A copy that a store has written and that is not visible yet.

    Exactly one of ``publish`` and ``discard`` is called, from any thread.
    """

    @property
    def location(self) -> Location:
        """Where the copy will be found once published."""
        ...

    @property
    def bytes_written(self) -> int:
        """Bytes of the image that the store took, holes included."""
        ...

    def publish(self) -> None:
        """Make the copy durable and visible at ``location``. Raises ``StoreFailed``; then nothing is visible."""
        ...

    def discard(self) -> None:
        """Remove every trace of the copy."""
        ...


@dataclass(frozen=True, slots=True)
class StagedCopy:
    """A ready-made ``PendingCopy``, which is published and discarded by plain functions."""

    location: Location
    bytes_written: int
    on_publish: Callable[[], None]
    on_discard: Callable[[], None]

    def publish(self) -> None:
        """Make the copy visible."""
        self.on_publish()

    def discard(self) -> None:
        """Remove every trace of the copy."""
        self.on_discard()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCopy:
    """A published copy as its store sees it.

    ``size`` counts the bytes of the image and ``modified`` is when it was written, None where the store does not know.
    ``digests`` has hexadecimal digests by the names of :mod:`hashlib`, as the server computed them of what it holds.
    """

    location: Location
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=_no_properties)
    modified: datetime | None = None

    def __post_init__(self) -> None:
        are_texts = all(isinstance(text, str) for pair in self.digests.items() for text in pair)
        if not (isinstance(self.location, Location) and are_texts and (self.size or 0) >= 0):
            raise ValueError(
                "a stored copy has a Location, a size in bytes, and digests that are texts by name"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCapabilities:
    """Facts about a store, which the plan of an import obeys.

    ``formats`` are the disk formats that the store accepts, None for all. With ``needs_size`` the store has to know the
    size of an image before its first byte, and with ``wants_file`` it reads the image from a file: Imageport spools
    the image once for all stores that ask. The size of an image is a multiple of ``alignment`` and at most
    ``largest``, both in bytes.

    ``unwritten_is_zero`` is true when ranges that were never written read as zeros, ``keeps_holes`` when a copy takes
    no space for zeros, and ``seekable`` when a copy can be read from any offset.
    """

    formats: frozenset[str] | None = None
    needs_size: bool = False
    wants_file: bool = False
    alignment: int = 1
    largest: int | None = None
    unwritten_is_zero: bool = False
    keeps_holes: bool = False
    seekable: bool = False

    def __post_init__(self) -> None:
        if self.formats is not None and not (
            isinstance(self.formats, frozenset)
            and self.formats
            and all(isinstance(name, str) for name in self.formats)
        ):
            raise TypeError("formats of a store are a frozenset of some names, or None for all")
        if self.alignment < 1 or (self.largest is not None and self.largest < 1):
            raise ValueError("alignment and largest of a store are at least 1 byte")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, ready for JSON; formats are sorted."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        return plain | {"formats": None if self.formats is None else sorted(self.formats)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Settings of the site for libraries that open connections themselves.

    ``proxy`` is ``http://host:port`` or None, ``ca_bundle`` a PEM file of the certificates to trust instead of the
    system's. The time-outs are seconds: until a connection is there, and until an answer goes on.
    """

    proxy: str | None = None
    ca_bundle: Path | None = None
    connect_timeout: float = 15.0
    read_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a plugin has examined, for ``imageport doctor``, ``plan`` and the start of an import.

    ``severity`` is ``ok``, ``warning`` for a thing that will soon be a fault, or ``error`` for one that makes imports
    fail. ``message`` is the state, and ``hint`` the remedy; it is empty when nothing is to be done. ``free`` is how
    many bytes a store has room for, if it knows.
    """

    severity: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""
    free: int | None = None

    def __post_init__(self) -> None:
        if self.severity not in ("ok", "warning", "error"):
            raise ValueError(f"a finding cannot have the severity {self.severity!r:.40}")
        if not (isinstance(self.message, str) and isinstance(self.hint, str)):
            raise TypeError("message and hint of a finding are texts")
        if not (self.free is None or isinstance(self.free, int)):
            raise TypeError("free of a finding is a number of bytes")
