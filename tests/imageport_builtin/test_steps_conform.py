"""Every built-in step keeps the promises of steps."""

from __future__ import annotations

import gzip
import hashlib

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
