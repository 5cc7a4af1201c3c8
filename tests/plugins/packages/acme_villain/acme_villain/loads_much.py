"""A module that imports what it may need one day."""

import alembic.command  # noqa: F401
import sqlalchemy.orm  # noqa: F401

from imageport import Image, NoConfig, Plugin, hookimpl


class LoadsMuch(Plugin[NoConfig]):
    """Take seconds before anything happens."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Leave the image as it is."""
        return image
