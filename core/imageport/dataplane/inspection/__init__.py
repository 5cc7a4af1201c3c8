"""Detect the format of an image from its bytes, and decide whether it may be stored.

``formats`` has the findings, ``stream`` makes them out of the format that ``detection`` finds and the tables that
``layouts`` follows, ``policy`` judges them.
"""

from imageport.dataplane.inspection.formats import INSPECTABLE, Fault, ImageFormat
from imageport.dataplane.inspection.policy import InspectionPolicy
from imageport.dataplane.inspection.stream import FormatInspection, inspect_file, inspect_head, needs_file

__all__ = [
    "INSPECTABLE",
    "Fault",
    "FormatInspection",
    "ImageFormat",
    "InspectionPolicy",
    "inspect_file",
    "inspect_head",
    "needs_file",
]
