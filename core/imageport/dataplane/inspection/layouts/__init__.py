"""Follow the tables of an image to all of its data, and compare them with the length of the file."""

from __future__ import annotations

from imageport.dataplane.inspection.layouts.layout import Layout
from imageport.dataplane.inspection.layouts.luks import LuksLayout
from imageport.dataplane.inspection.layouts.qcow2 import Qcow2Layout
from imageport.dataplane.inspection.layouts.vdi import VdiLayout
from imageport.dataplane.inspection.layouts.vhd import VhdLayout
from imageport.dataplane.inspection.layouts.vhdx import VhdxLayout
from imageport.dataplane.inspection.layouts.vmdk import VmdkLayout

__all__ = ["Layout", "layout_of"]

_LAYOUTS: tuple[type[Layout], ...] = (Qcow2Layout, VmdkLayout, VdiLayout, VhdLayout, VhdxLayout, LuksLayout)


def layout_of(head: bytes) -> type[Layout] | None:
    """Return the layout of an image that begins with *head*, None when it has no tables."""
    for layout in _LAYOUTS:
        if head.startswith(layout.MAGIC, layout.MAGIC_OFFSET):
            return layout
    return None
