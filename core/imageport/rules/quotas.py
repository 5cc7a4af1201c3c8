"""How much each owner may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from imageport.errors import OverQuota
from imageport.limits import ByteSize, Count

if TYPE_CHECKING:
    from imageport.catalog import Catalog
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


def require_room(
    quotas: Quotas,
    catalog: Catalog,
    owner: str | None,
    *,
    besides: str | None = None,
    image_count_total: int | None = None,
    image_size_total: int | None = None,
    image_stage_total: int | None = None,
    image_count_uploading: int | None = None,
) -> None:
    """Raise ``OverQuota`` unless *owner* may have this much on top of what there is, the image *besides* left out.

    0 asks whether the owner has too much already; what is not given is not looked at.
    """
    wanted = {
        "image_count_total": image_count_total,
        "image_size_total": image_size_total,
        "image_stage_total": image_stage_total,
        "image_count_uploading": image_count_uploading,
    }
    limits = {name: limit for name in wanted if (limit := getattr(quotas, name)) is not None}
    if not limits:
        return
    usage = catalog.usage(owner, besides=besides)
    for name, limit in limits.items():
        more, used = wanted[name], getattr(usage, name)
        if more is not None and used + more > limit:
            unit = "bytes" if name in {"image_size_total", "image_stage_total"} else "images"
            adding = f"wanted {more} more, " if more else ""
            raise OverQuota(
                f"{owner or 'nobody'} is over quota {name}: {unit} used {used}, {adding}limit {limit}",
                hint=f"{_REMEDIES[name]}, or raise quotas.{name} in the site file",
            )


def require_room_to_bring(quotas: Quotas, catalog: Catalog, record: ImageRecord, size: int | None) -> None:
    """Raise ``OverQuota`` unless *size* bytes (None: not known yet) may now be staged or fetched for *record*."""
    require_room(
        quotas, catalog, record.owner, besides=record.id, image_stage_total=size or 0, image_count_uploading=1
    )


def require_room_to_keep(
    quotas: Quotas, catalog: Catalog, record: ImageRecord, size: int | None, copies: int
) -> None:
    """Raise ``OverQuota`` unless *copies* more of *record*, of *size* bytes (None: not known yet), may be stored."""
    stored = (size or 0) * (len(record.locations) + copies)
    require_room(quotas, catalog, record.owner, besides=record.id, image_size_total=stored)


def require_few_copies(limits: Limits, record: ImageRecord, copies: int) -> None:
    """Raise ``OverQuota`` unless the image may have *copies* more."""
    count = len(record.locations) + copies
    if count > limits.image_locations:
        raise OverQuota(
            f"an image may have {limits.image_locations} copies, image {record.id} would have {count}",
            hint="name fewer stores, or raise limits.image_locations in the site file",
        )


_REMEDIES = {
    "image_count_total": "delete images that nobody needs",
    "image_size_total": "delete images or copies that nobody needs",
    "image_stage_total": "wait until other imports are over, or import or delete what is staged",
    "image_count_uploading": "wait until other imports are over, or import or delete what is staged",
}
