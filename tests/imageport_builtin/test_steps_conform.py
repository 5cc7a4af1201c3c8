"""Every built-in step keeps the promises of steps."""

from __future__ import annotations

import gzip
import hashlib

from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.plugins.roles import fits
from imageport.testing import StepConformance
from imageport.testing.step_suite import DISK


class TestChecksum(StepConformance):
    plugin = "checksum"
    options = {"expected": f"sha256:{hashlib.sha256(DISK).hexdigest()}"}


class TestImageConversion(StepConformance):
    plugin = "image_conversion"
    options = {"output_format": "qcow2"}


class TestImageDecompression(StepConformance):
    plugin = "image_decompression"
    content = gzip.compress(DISK, mtime=0)


class TestImageDecompressionOfADisk(StepConformance):
    plugin = "image_decompression"


class TestImageSignature(StepConformance):
    plugin = "image_signature"
    options = {"certificates": "."}


class TestInjectImageMetadata(StepConformance):
    plugin = "inject_image_metadata"
    options = {"inject": {"os_distro": "debian"}}


class TestNoOp(StepConformance):
    plugin = "no_op"


class TestUriFilter(StepConformance):
    plugin = "uri_filter"


def test_every_step_of_the_project_is_here() -> None:
    registry = PluginRegistry.installed()
    own = [plugin for plugin in registry if plugin.distribution.startswith("imageport ")]
    hooks = {plugin.name: frozenset(hooks_of(plugin.load())) for plugin in own}
    steps = {name for name, found in hooks.items() if fits(found, "step") and not fits(found, "observer")}
    classes = [found for found in globals().values() if isinstance(found, type)]
    assert steps == {vars(found)["plugin"] for found in classes if StepConformance in found.__bases__}
