"""A method with a defect."""

import urllib.request

from imageport import ImageData, NoConfig, Plugin, Source, hookimpl


class PassesTheNetworkBy(Plugin[NoConfig]):
    """Open connections without the rules of the site."""

    @hookimpl
    def stage(self, source: Source) -> ImageData:
        """Fetch the url."""
        with urllib.request.urlopen(source.uri or "") as answer:
            content = answer.read()
        return ImageData.from_chunks(lambda: iter([content]), size=len(content))
