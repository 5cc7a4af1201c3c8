"""Compare what the bytes have shown with what was promised."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from imageport.configuration.site import Site
from imageport.dataplane.inspection import InspectionPolicy
from imageport.errors import VerificationFailed
from imageport.importing.writing import WrittenImage
from imageport.values import RESERVED_PREFIX, Image, ImageRecord

log = logging.getLogger("imageport")

#: Fields of a record that an import may change.
_OWNED_FIELDS = (
    "name", "disk_format", "container_format", "size", "virtual_size", "checksum",
    "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "tags",
)  # fmt: skip


def judge(
    image: Image, written: WrittenImage, policy: InspectionPolicy, digests: Sequence[str]
) -> ImageRecord:
    """Return the record of *image* with what its bytes have shown; *digests* are those that the site records.

    Raises ``VerificationFailed`` when there are no bytes, and what ``policy`` raises.
    """
    _refuse_empty(written)
    record = image.record.evolve(size=written.size, checksum=written.digests.get("md5"))
    if written.format is not None:
        record = record.evolve(disk_format=policy.accept(written.format, record.disk_format))
        known = record.disk_format == written.format.disk_format
        size = written.format.virtual_size if known else None
        if (record.disk_format, written.format.name) == ("raw", "iso"):
            size = written.size
        record = record.evolve(virtual_size=size)
    secure = [name for name in digests if name != "md5"]
    if secure:
        record = record.evolve(os_hash_algo=secure[-1], os_hash_value=written.digests[secure[-1]])
    return record


def compare_with_record(record: ImageRecord, written: WrittenImage, store: str | None) -> None:
    """Raise ``VerificationFailed`` unless the bytes are those that *record* describes.

    They were read from the copy in *store*, or from staging when that is None.
    """
    _refuse_empty(written)
    expected: list[tuple[str, Any, Any]] = [
        ("bytes", record.size, written.size),
        ("md5", record.checksum, written.digests.get("md5")),
        (record.os_hash_algo or "", record.os_hash_value, written.digests.get(record.os_hash_algo or "")),
    ]
    for name, wanted, found in expected:
        if wanted is not None and found is not None and wanted != found:
            raise _damaged(record, store, f"{name} {found}", wanted)


def _damaged(record: ImageRecord, store: str | None, found: str, wanted: object) -> VerificationFailed:
    """Return the error for a copy in *store* (None: in staging) that has other bytes than *record* says."""
    return VerificationFailed(
        f"the copy in {'staging' if store is None else f'store {store}'} is damaged: it has {found}, "
        f"the record says {wanted}",
        hint=""
        if store is None
        else f"if another store holds the image, remove this copy with "
        f"'imageport images delete {record.id} --store {store} --role admin' and copy again",
    )


def digests_to_make(record: ImageRecord, site: Site, *, copies: bool) -> list[str]:
    """Return the digests of the site, and that of a record which was made under other rules.

    For *copies* of a stored image, the strongest that its record has is enough.
    """
    if copies and record.os_hash_value and record.os_hash_algo:
        return [record.os_hash_algo]
    if copies and record.checksum:
        return ["md5"]
    wanted = [*site.digests, record.os_hash_algo] if record.os_hash_algo else site.digests
    return list(dict.fromkeys(wanted))


def changes_between(before: ImageRecord, after: ImageRecord) -> dict[str, Any]:
    """Return the fields and properties that an import changed, so that a user's edit in the meantime survives.

    A property that is None was removed. Reserved properties that a step set are left out.
    """
    changed: dict[str, Any] = {
        name: getattr(after, name) for name in _OWNED_FIELDS if getattr(after, name) != getattr(before, name)
    }
    properties: dict[str, str | None] = {
        name: None for name in before.properties if name not in after.properties
    }
    for name, value in after.properties.items():
        if before.properties.get(name) != value:
            properties[name] = value
    for name in [name for name in properties if name.startswith(RESERVED_PREFIX)]:
        if properties.pop(name) is not None:
            log.warning("property %s is reserved and was not set", name)
    return changed | {"properties": properties}


def _refuse_empty(written: WrittenImage) -> None:
    if written.size == 0:
        raise VerificationFailed("the image is empty", hint="check the source: it delivered no bytes")
