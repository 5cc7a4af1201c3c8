"""A module that changes the way in which plugins are found."""

from imageport import Image, NoConfig, Plugin, hookimpl
from imageport.plugins.registry import PluginRegistry

PluginRegistry.names = lambda self: ["breaks-others"]  # type: ignore[method-assign]


class BreaksOthers(Plugin[NoConfig]):
    """Hide all other plugins."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Leave the image as it is."""
        return image
