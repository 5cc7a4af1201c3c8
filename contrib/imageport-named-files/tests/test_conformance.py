"""The plugins keep the promises of stores and steps."""

from imageport.testing import StepConformance, StoreConformance


class TestNamedFile(StoreConformance):
    plugin = "named_file"
    options = {"directory": "library"}


class TestMinDisk(StepConformance):
    plugin = "min_disk"
