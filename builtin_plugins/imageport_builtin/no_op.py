"""The step that does nothing: a template for new plugins."""

from __future__ import annotations

from imageport import Context, Image, NoConfig, Plugin, hookimpl


class NoOp(Plugin[NoConfig]):
    """Do nothing but log one line for debugging."""

    writes = "nothing"
    stability = "stable"

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> None:
        """Leave the image as it is."""
        ctx.log.debug("no_op saw image %s", image.record.id)
