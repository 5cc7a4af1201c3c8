"""Caps on everything that grows, and the sizes people write in YAML."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "ByteSize",
    "Count",
    "Limits",
    "Seconds",
    "format_size",
]

_UNITS = {"": 1, "b": 1} | {
    prefix + suffix: 1024 ** (power + 1) if suffix == "ib" else 1000 ** (power + 1)
    for power, prefix in enumerate("kmgtp")
    for suffix in ("b", "ib")
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)

#: Databases and system calls take no larger number.
_LARGEST = (1 << 63) - 1

#: Longest time span, about 31 years: timers of the operating system take no longer ones.
_LONGEST = 1e9


def parse_size(value: Any) -> Any:
    """Turn ``"1.5 GiB"`` or ``"200 MB"`` into bytes; numbers pass."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if not found or found[2].lower() not in _UNITS:
        raise ValueError(f"'{value}' is not a size; write for instance 512 MiB, 20 GiB or a number of bytes")
    # A float would change the last digits of large numbers.
    count = Decimal(found[1]) * _UNITS[found[2].lower()]
    if count > _LARGEST:
        raise ValueError("a size must be at most 8 EiB")
    return round(count)


def format_size(count: float) -> str:
    """Return *count* bytes for people: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


#: Type of an option that is a size: a number of bytes, or text such as ``512 MiB``.
ByteSize = Annotated[
    int,
    Field(ge=0, le=_LARGEST),
    BeforeValidator(parse_size, json_schema_input_type=int | str),
]

#: Type of an option that is a time span in seconds, more than zero.
Seconds = Annotated[float, Field(gt=0, le=_LONGEST, allow_inf_nan=False)]

#: Type of an option that counts something.
Count = Annotated[int, Field(ge=0, le=_LARGEST)]


class Limits(BaseModel):
    """``limits:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size_cap: ByteSize = Field(
        default=1 << 40, gt=0, description="Largest image in bytes, at every point of an import."
    )
    max_parallel_stores: Count = Field(
        default=0, description="Stores written at the same time; 0 means all of them."
    )
    image_properties: Count = Field(
        default=128,
        description="Properties that users may give an image, those of Imageport not counted.",
    )
    image_locations: Count = Field(
        default=10, ge=1, description="Copies of one image, in all stores together."
    )
    import_deadline: Seconds | None = Field(
        default=None, description="Seconds that an import may take in all; without it there is no end."
    )
    store_patience: Seconds = Field(
        default=900.0, description="Seconds that a store may do nothing before it counts as failed."
    )
    source_patience: Seconds = Field(
        default=900.0,
        description="Seconds that a method may take to begin, and for each further piece of the image.",
    )
    plugin_patience: Seconds = Field(
        default=60.0,
        description="Seconds that a plugin may take to get ready, to judge a source, and to end.",
    )
    diagnose_patience: Seconds = Field(
        default=10.0, description="Seconds that a plugin may take to examine its options and its server."
    )
    observer_patience: Seconds = Field(
        default=10.0, description="Seconds that the end of a command waits for all observers together."
    )
    connect_timeout: Seconds = Field(default=15.0, description="Seconds to wait for a connection.")
    read_timeout: Seconds = Field(default=60.0, description="Seconds a source may send nothing.")
    download_deadline: Seconds = Field(
        default=86400.0, description="Seconds that one download may take, each try by itself."
    )
    minimum_rate: ByteSize = Field(
        default=1024, description="Bytes a second below which a download counts as stalled; 0 turns this off."
    )
    conversion_deadline: Seconds = Field(
        default=14400.0,
        description="Seconds that one conversion may take in all, and of CPU time that unpacking may take.",
    )
    conversion_memory: ByteSize = Field(
        default=1 << 30, description="Bytes of address space for a program that converts images."
    )
