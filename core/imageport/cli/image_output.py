"""Print one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.cli.output import print_fields, print_json, short_time

if TYPE_CHECKING:
    from imageport.values import ImageRecord


def show_image(image: ImageRecord, *, json: bool) -> None:
    """Print all fields of *image*."""
    from imageport.cli.summary import readable_location
    from imageport.limits import format_size

    if json:
        print_json(image.as_dict())
        return
    shown = image.as_dict()
    for field in ("size", "virtual_size"):
        if (count := shown[field]) is not None:
            shown[field] = f"{count} ({format_size(count)})"
    shown |= {
        "protected": "yes" if image.protected else "no",
        "created_at": short_time(image.created_at),
        "updated_at": short_time(image.updated_at),
        "tags": " ".join(image.tags),
        "properties": [f"{name}={value}" for name, value in sorted(image.properties.items())],
        "locations": [f"{copy.store}: {readable_location(copy.url)}" for copy in image.locations],
    }
    print_fields(shown)
