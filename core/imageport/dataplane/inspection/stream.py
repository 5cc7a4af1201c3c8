"""Inspect an image while it streams past, or as a file: its format, and whether all of it is there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from imageport.dataplane.buffers import Chunk
from imageport.dataplane.file_types import HEAD
from imageport.dataplane.inspection.detection import TAIL, FormatDetection
from imageport.dataplane.inspection.formats import ImageFormat
from imageport.dataplane.inspection.layouts import Layout, layout_of
from imageport.dataplane.inspection.layouts.layout import order_fault
from imageport.dataplane.inspection.regions import FileRegions, StreamRegions

_PIECE = 64 << 10


class FormatInspection:
    """Takes the bytes of an image in order, in pieces of any length, and returns its format at the end."""

    def __init__(self) -> None:
        self._detection = FormatDetection()
        self._start: bytearray | None = bytearray()
        self._regions: StreamRegions | None = None
        self._layout: Layout | None = None
        self._needs_file = False

    @property
    def needs_more(self) -> bool:
        """Whether the format is still undecided."""
        return self._detection.needs_more

    def feed(self, chunk: Chunk) -> None:
        """Take the next bytes. Never raises: faults are returned at the end."""
        self._detection.feed(chunk)
        if self._start is not None:
            self._start += chunk
            if len(self._start) >= HEAD:
                self._begin(bytes(self._start))
        elif self._regions is not None:
            self._regions.feed(chunk)

    def finish(self) -> ImageFormat:
        """Return the detected format. Call it once, after the last byte.

        Raises ``VerificationFailed`` when they are two formats at once.
        """
        if self._start is not None:
            self._begin(bytes(self._start))
        found = self._detection.finish()
        if self._needs_file:
            return replace(found, faults=(*found.faults, order_fault()))
        if self._layout is None or self._regions is None:
            return found
        self._regions.finish()
        return _with_layout(found, self._layout, self._detection)

    def _begin(self, start: bytes) -> None:
        self._start = None
        if (layout := layout_of(start)) is None:
            return
        keep = layout.to_keep(start)
        self._needs_file = keep is None
        if keep is not None:
            self._regions = StreamRegions(keep)
            self._layout = layout(self._regions)
            self._regions.feed(start)


def inspect_file(path: Path) -> ImageFormat:
    """Return the format of the file at *path*; reads its start, its end, and the tables that lead to its data.

    Raises ``VerificationFailed`` when it is two formats at once.
    """
    detection = FormatDetection()
    with path.open("rb", buffering=0) as file:
        start = head = file.read(_PIECE)
        while piece := start:
            detection.feed(piece)
            start = file.read(_PIECE) if detection.needs_more else b""
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if not detection.needs_more and rest > TAIL:
            detection.skip(rest - TAIL)
            file.seek(-TAIL, os.SEEK_END)
        detection.feed(file.read(TAIL))
        found = detection.finish()
        if (kind := layout_of(head)) is None or found.name != kind.NAME:
            return found
        regions = FileRegions(file.fileno())
        layout = kind(regions)
        regions.finish()
    return _with_layout(found, layout, detection)


def inspect_head(head: bytes) -> ImageFormat:
    """Return the likely format of an image with *head*, which is its first 64 KiB, or all of a shorter image.

    The format may show at the end only (a fixed vhd), and most faults do: so no faults are returned. Raises
    ``VerificationFailed`` when the image is two formats at once.
    """
    detection = FormatDetection()
    detection.feed(head[:HEAD])
    return detection.finish().without_faults()


def needs_file(head: bytes) -> bool:
    """Return whether an image that begins with *head*, its first 64 KiB, can only be inspected as a file."""
    layout = layout_of(head)
    return layout is not None and layout.to_keep(head) is None


def _with_layout(found: ImageFormat, layout: Layout, detection: FormatDetection) -> ImageFormat:
    """Return *found* with the faults in the *layout*; an image that is not safe stays as it is."""
    if found.name != layout.NAME or found.unsafe:
        return found
    return replace(found, faults=(*layout.faults(detection.size, detection.tail), *found.faults))
