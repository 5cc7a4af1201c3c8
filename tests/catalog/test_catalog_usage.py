from __future__ import annotations

from imageport.catalog import Catalog
from imageport.values import ImageRecord, Location


def image_of(owner: str, number: int, status: str, copies: int = 0) -> ImageRecord:
    return ImageRecord(
        id=f"{owner}-{number}",
        owner=owner,
        status=status,  # type: ignore[arg-type]
        size=1000,
        locations=tuple(Location(store=f"s{copy}", url=f"x:{copy}") for copy in range(copies)),
    )


def test_usage_is_counted_as_quotas_define_it(catalog: Catalog) -> None:
    for number, (status, copies) in enumerate(
        [("queued", 0), ("uploading", 0), ("importing", 0), ("saving", 0), ("active", 1), ("active", 3)]
    ):
        catalog.create_image(image_of("ada", number, status, copies))
    catalog.create_image(image_of("bob", 9, "active", 2))
    usage = catalog.usage("ada")
    assert (usage.image_count_total, usage.image_size_total) == (6, 4000)
    assert (usage.image_count_uploading, usage.image_stage_total) == (3, 3000)
    lease = catalog.begin_import(
        "ada-5", starts_from=["active"], request={}, owner="ada", targets=["s9"], lease_seconds=60
    )
    assert catalog.usage("ada").image_count_uploading == 4
    assert catalog.usage("ada", besides="ada-5").image_size_total == 1000
    lease.fail(message="")
    assert catalog.usage("ada") == usage
    assert catalog.usage("unknown").image_count_total == 0
    assert catalog.usage(None).image_size_total == 0
