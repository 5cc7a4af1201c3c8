"""Quotas: how much each owner may have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from imageport.errors import OverQuota
from imageport.limits import ByteSize, Count

if TYPE_CHECKING:
    from imageport.limits import Limits
    from imageport.values import ImageRecord


class Quotas(BaseModel):
    """``quotas:`` of the site file: limits for each owner, a project or a user without one; without a value, none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_count_total: Count | None = Field(default=None, description="Images.")
    image_size_total: ByteSize | None = Field(
        default=None, description="Bytes in all stores: the size of each image, times its copies."
    )
    image_stage_total: ByteSize | None = Field(
        default=None, description="Bytes of images that are staged, imported or copied just now."
    )
    image_count_uploading: Count | None = Field(
        default=None, description="Images that are staged, imported or copied just now."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaDemand:
    """The growth that *owner* asks for, by the names of the quotas; the image with the id *besides* does not count.

    0 asks whether the owner has too much already.
    """

    limits: Mapping[str, int]
    wanted: Mapping[str, int]
    owner: str | None
    besides: str | None = None

    @property
    def quotas(self) -> Collection[str]:
        """The names of the quotas that have a limit and are asked for."""
        return self.limits.keys()

    def compare(self, used: Mapping[str, int]) -> None:
        """Raise ``OverQuota`` when the usage *used* leaves too little of a quota."""
        for name, limit in self.limits.items():
            more = self.wanted[name]
            if used[name] + more > limit:
                unit = "bytes" if name in {"image_size_total", "image_stage_total"} else "images"
                adding = f"wanted {more} more, " if more else ""
                owner = self.owner or "an empty owner"
                raise OverQuota(
                    f"{owner} is over quota {name}: {unit} used {used[name]}, {adding}limit {limit}",
                    hint=f"{_REMEDIES[name]}, or raise quotas.{name} in the site file",
                )


def demand(quotas: Quotas, owner: str | None, *, besides: str | None = None, **wanted: int) -> QuotaDemand:
    """Return the demand for the amounts *wanted*, under the names of the quotas."""
    limits = {name: limit for name in wanted if (limit := getattr(quotas, name)) is not None}
    return QuotaDemand(limits=limits, wanted=wanted, owner=owner, besides=besides)


def demand_of_one(quotas: Quotas, owner: str | None) -> QuotaDemand:
    """Return the demand for one more image."""
    return demand(quotas, owner, image_count_total=1)


def demand_to_bring(quotas: Quotas, record: ImageRecord, size: int | None) -> QuotaDemand:
    """Return the demand for *size* bytes (None: not known yet) that are staged or fetched for *record* now."""
    return demand(
        quotas, record.owner, besides=record.id, image_stage_total=size or 0, image_count_uploading=1
    )


def demand_to_keep(quotas: Quotas, record: ImageRecord, stored: int) -> QuotaDemand:
    """Return the demand for *stored* bytes in all copies of *record*, those that it has included."""
    return demand(quotas, record.owner, besides=record.id, image_size_total=stored)


def require_few_copies(limits: Limits, record: ImageRecord, copies: int) -> None:
    """Raise ``OverQuota`` unless the image may have *copies* more."""
    count = len(record.locations) + copies
    if count > limits.image_locations:
        raise OverQuota(
            f"an image may have {limits.image_locations} copies, image {record.id} would have {count}",
            hint="name fewer stores, or raise limits.image_locations in the site file",
        )


_REMEDIES = {
    "image_count_total": "delete images that are not needed",
    "image_size_total": "delete images or copies that are not needed",
    "image_stage_total": "wait until other imports are over, or import or delete staged data",
    "image_count_uploading": "wait until other imports are over, or import or delete staged data",
}
