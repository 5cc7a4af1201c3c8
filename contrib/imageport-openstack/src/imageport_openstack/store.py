"""The store that creates images in the Glance of an OpenStack."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial

from imageport import Chunks, Context, Image, ImageData, Location, StoreFailed, hookimpl
from imageport.stores import Store
from imageport.values import Finding, StoredCopy

from imageport_openstack.diagnosis import examine
from imageport_openstack.glance import Glance, stored_copy
from imageport_openstack.new_image import ALL, OPEN, TOKEN, NewImage, is_published
from imageport_openstack.options import OpenStackOptions
from imageport_openstack.remedies import ERRORS


class OpenStackStore(Store[OpenStackOptions, NewImage]):
    """Create each image in the Glance of an OpenStack, hidden and private until it is published.

    Every attempt makes a new image of Glance, whose id is chosen and announced before. Glance has all bytes, with the
    digests of the import, before one request shows the image. No other image is changed or deleted.
    """

    errors = ERRORS

    def setup(self, ctx: Context) -> None:
        """Prepare the connection, which signs in with its first request."""
        from imageport_openstack.connection import connect

        self.glance = Glance(connect(self.config, ctx.client))

    def close(self) -> None:
        """Close the connection."""
        self.glance.close()

    def url(self, image: Image) -> str:
        """Return the address of a new image of Glance."""
        return self.config.address + str(uuid.uuid4())

    def open(self, location: Location, image: Image, ctx: Context) -> NewImage:
        """Make the image, with its last visibility first, so that a lack of rights shows before any byte."""
        new = NewImage(self._id(location), location, image, ctx, self.config)
        new.require_first(self.glance)
        self.glance.create(new.pending())
        if new.visibility in OPEN:
            self.glance.change(new.id, visibility="private")
        return new

    def write_all(self, copy: NewImage, chunks: Chunks) -> None:
        """Send the bytes as one request; where Glance fetches them itself, read them for the checks alone."""
        if self.config.method == "upload":
            self.glance.upload(
                copy.id, self.config.upload_to, chunks, copy.image.data.size, self.config.store
            )
        else:
            sum(map(len, chunks))

    def finish(self, copy: NewImage) -> None:
        """Wait until Glance has brought the bytes to its stores, where the upload does not do that."""
        if self.config.imports:
            self.glance.import_image(copy.id, copy.import_request(), copy.ctx.cancelled)

    def publish(self, copy: NewImage) -> None:
        """Compare the digests of Glance, and show the image."""
        copy.require_first(self.glance)
        copy.verify(self.glance.image(copy.id))
        self.glance.change(copy.id, **copy.published())

    def discard(self, copy: NewImage) -> None:
        """Delete the image."""
        self.delete(copy.location, copy.ctx)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes that Glance has."""
        if (found := self.store_stat(location, ctx)) is None:
            hint = "copy it from another store, or import it again"
            raise StoreFailed(f"{location.url} is missing, or is not the image that was stored", hint=hint)
        return ImageData.from_chunks(partial(self.glance.download, self._id(location)), size=found.size)

    def delete(self, location: Location, ctx: Context) -> None:
        """Delete the image, published or not, unless it has another token."""
        found = self.glance.image(self._id(location)) or {}
        if found.get(TOKEN) == location.metadata["mark"]:
            self.glance.delete(self._id(location))

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return the published image."""
        found = self.glance.image(self._id(location)) or {}
        return stored_copy(found, location) if is_published(found, location.metadata["mark"]) else None

    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]:
        """Yield the published images of the project."""
        for found in self.glance.images(**ALL):
            location = Location(url=self.config.address + found["id"], metadata={"mark": found[TOKEN]})
            yield stored_copy(found, location)

    @hookimpl
    def diagnose(self, ctx: Context) -> Iterator[Finding]:
        """Yield whether the cloud accepts the options, and how much room the project has."""
        return examine(self.glance, self.config)

    def _id(self, location: Location) -> str:
        if not location.url.startswith(self.config.address):
            hint = "cloud, auth_url or region_name was changed after this copy was written; change it back"
            raise StoreFailed(f"{location.url} is not in {self.config.address}", hint=hint)
        return location.url.removeprefix(self.config.address)
