"""The image of Glance for an image: hidden while it is written, compared, and then published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from imageport import Context, Image, Location, StoreFailed

from imageport_openstack.glance import Glance, Record
from imageport_openstack.options import OpenStackOptions

#: Properties of every image that the store makes: the id in Imageport, the token of the attempt, and the state.
IMAGE, TOKEN, _STATE = "imageport_image", "imageport_token", "imageport_state"
_PENDING, _PUBLISHED = "pending", "published"

#: The query for all published images.
ALL: Final = {_STATE: _PUBLISHED}

#: Visibilities with which other projects can use an image.
OPEN: Final = ("community", "public")


@dataclass(frozen=True, slots=True)
class NewImage:
    """The image *id* of Glance for one attempt to store *image*."""

    id: str
    location: Location
    image: Image
    ctx: Context
    options: OpenStackOptions

    @property
    def visibility(self) -> str:
        """The visibility of the published image."""
        return self.options.visibility or self.image.record.visibility

    def pending(self) -> dict[str, Any]:
        """Return the fields of the new image, without the name, by which people and programs look for it."""
        record = self.image.record
        properties = {**record.properties, **self.options.properties}
        return {
            **{name: value for name, value in properties.items() if not name.startswith("os_glance")},
            "id": self.id,
            "disk_format": record.disk_format,
            "container_format": record.container_format,
            "min_disk": record.min_disk,
            "min_ram": record.min_ram,
            "tags": list(record.tags),
            "visibility": self.visibility,
            "os_hidden": True,
            IMAGE: record.id,
            TOKEN: self.location.metadata["mark"],
            _STATE: _PENDING,
        }

    def published(self) -> dict[str, Any]:
        """Return the fields that show the image."""
        name = {"name": self.image.record.name} if self.image.record.name else {}
        return {**name, "visibility": self.visibility, "os_hidden": self.options.hidden, _STATE: _PUBLISHED}

    def require_first(self, glance: Glance) -> None:
        """Raise ``StoreFailed`` when there is a published image already, or Glance could not fetch this one."""
        self.import_request()
        for found in glance.images(self.options.hidden, **{IMAGE: self.image.record.id, **ALL}):
            raise StoreFailed(
                f"{self.location.url.rpartition('/')[0]} has the image already, as {found['id']}",
                hint="run 'imageport gc', which removes what failed imports left; "
                "if it stays, it does not belong to this catalog: delete it there",
            )

    def import_request(self) -> dict[str, Any]:
        """Return how Glance gets the bytes to its stores. Raises ``StoreFailed`` when it cannot fetch them itself."""
        targets = {"all_stores_must_succeed": True, **self.options.targets}
        if self.options.method == "upload":
            return {"method": {"name": "glance-direct"}, **targets}
        uri = (self.ctx.origin and self.ctx.origin.uri) or ""
        if not uri.startswith(("http://", "https://")):
            raise StoreFailed(
                "Glance can fetch images only from the web, and this one comes from elsewhere",
                hint="set 'method: upload' in the options of the store",
            )
        if not self.ctx.unchanged:
            raise StoreFailed(
                "Glance would fetch the image as it is at its source, and a step unpacks or converts it",
                hint="set 'method: upload' in the options of the store, or remove the step",
            )
        return {"method": {"name": "web-download", "uri": uri}, **targets}

    def verify(self, found: Record | None) -> None:
        """Raise ``StoreFailed`` unless *found* is the image of this attempt, whole and with the right bytes."""
        if found is None or found.get(TOKEN) != self.location.metadata["mark"]:
            raise StoreFailed("another process deleted the image in Glance", hint="import the image again")
        if found["status"] != "active":
            raise StoreFailed(
                f"the image in Glance is {found['status']}, not active", hint="look at the log of that Glance"
            )
        ours = self.ctx.digests()
        computed = {"md5": found.get("checksum"), str(found.get("os_hash_algo")): found.get("os_hash_value")}
        for algorithm, digest in computed.items():
            if digest and digest != ours.get(algorithm, digest):
                raise StoreFailed(
                    f"the {algorithm} of the image in Glance is {digest}, but {ours[algorithm]} was imported",
                    hint="a plugin of that Glance converts or unpacks what it imports, the source has changed, or "
                    "the storage damages data: set 'method: upload' and one of its stores, and import again",
                )


def is_published(found: Record, token: str) -> bool:
    """Whether an image of Glance is the published one of the attempt with *token*."""
    return found.get(TOKEN) == token and found.get(_STATE) == _PUBLISHED
