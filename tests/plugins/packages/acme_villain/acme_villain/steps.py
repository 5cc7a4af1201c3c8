"""Steps, each with one defect."""

import os
import sys
from pathlib import Path

from imageport import Image, NoConfig, Plugin, hookimpl


class WritesOutside(Plugin[NoConfig]):
    """Write a scratch file into the working folder of the process."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Leave a file."""
        Path("acme-was-here").write_text("scratch")
        return image


class Exits(Plugin[NoConfig]):
    """End the process politely."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Raise SystemExit."""
        sys.exit(0)


class Interrupts(Plugin[NoConfig]):
    """Pretend that the user has pressed Ctrl-C."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Raise KeyboardInterrupt."""
        raise KeyboardInterrupt


class Dies(Plugin[NoConfig]):
    """End the process at once."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Leave no time for anything."""
        os._exit(0)
