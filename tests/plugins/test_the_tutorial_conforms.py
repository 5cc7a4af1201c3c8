"""The plugins of the tutorial keep the promises of stores and steps."""

from __future__ import annotations

import sys
from importlib import import_module
from unittest.mock import patch

from tests.plugins.installing import REPOSITORY

from imageport.testing import StepConformance, StoreConformance

with patch.object(sys, "path", [str(REPOSITORY / "docs/tutorial/first-plugin/src"), *sys.path]):
    archive, stamp = import_module("imageport_first.archive"), import_module("imageport_first.stamp")


class TestGzipArchive(StoreConformance):
    plugin = archive.GzipArchive
    options = {"directory": "packed"}


class TestStamp(StepConformance):
    plugin = stamp.Stamp
