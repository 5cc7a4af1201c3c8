"""One of two packages that both want to be the plugin called twin."""

from imageport import Image, NoConfig, Plugin, hookimpl


class Twin(Plugin[NoConfig]):
    """Be the only one."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Leave a trace."""
        return image.with_properties(twin="two")
