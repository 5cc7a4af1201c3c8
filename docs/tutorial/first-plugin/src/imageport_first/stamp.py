"""A step that notes who imported an image."""

from pydantic import Field

from imageport import Context, Image, Plugin, PluginConfig, hookimpl


class StampConfig(PluginConfig):
    """Options of ``stamp``."""

    name: str = Field(default="imported_by", description="Property that receives the name of the caller.")


class Stamp(Plugin[StampConfig]):
    """Write who imported the image into one of its properties."""

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        """Return the image with the property."""
        return image.with_properties(**{self.config.name: ctx.caller.user})
