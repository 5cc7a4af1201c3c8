"""Readers of packed formats; an image that is not packed needs none of these modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from imageport import Chunks, ImageData
from imageport_builtin.unpacking.frames import (
    bzip2_codec,
    decode_frames,
    gzip_codec,
    lzma_codec,
    xz_codec,
    zstd_codec,
)
from imageport_builtin.unpacking.job import Job
from imageport_builtin.unpacking.lha_member import unpack_lha
from imageport_builtin.unpacking.seven_zip_member import unpack_seven_zip
from imageport_builtin.unpacking.tar_member import unpack_tar
from imageport_builtin.unpacking.zip_member import unpack_zip

#: Functions that return the one image in an archive, by the format of that.
UNPACKERS: Mapping[str, Callable[[ImageData, Job], Chunks]] = MappingProxyType(
    {
        "gzip": lambda data, job: decode_frames(gzip_codec(), data, job),
        "xz": lambda data, job: decode_frames(xz_codec(job.memory), data, job),
        "lzma": lambda data, job: decode_frames(lzma_codec(job.memory), data, job),
        "bzip2": lambda data, job: decode_frames(bzip2_codec(), data, job),
        "zstd": lambda data, job: decode_frames(zstd_codec(job.memory), data, job),
        "tar": unpack_tar,
        "zip": unpack_zip,
        "lha": unpack_lha,
        "7z": unpack_seven_zip,
    }
)
