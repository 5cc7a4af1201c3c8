"""Every format, packed by its own program, comes out as it went in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imageport import Context, ImageData

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]

FORMATS = [
    ("gzip",),
    ("gzip", "-1"),
    ("xz", "-1"),
    ("xz", "-0", "--check=sha256", "--block-size=1MiB"),
    ("bzip2", "-1"),
    ("zstd", "-3"),
    ("zstd", "--long=27", "-3", "--check"),
    ("zip",),
    ("zip", "-0"),
    ("zip", "-Z", "bzip2"),
    ("zip", "-fz"),
    ("7z", "-tzip", "-mm=LZMA"),
    ("7z", "-mx=1"),
    ("7z", "-m0=lzma"),
    ("7z", "-m0=bzip2", "-mx=1"),
    ("7z", "-m0=ppmd", "-mx=1"),
    ("7z", "-m0=copy"),
    ("7z", "-m0=BCJ", "-m1=lzma2", "-mx=1"),
    ("7z", "-m0=deflate", "-mx=1"),
    ("lha", "ao5"),
    ("lha", "ao6"),
    ("lha", "ao7"),
    ("lha", "az"),
    ("lha", "ao50"),
    ("lha", "ao51"),
    ("lha", "ao52"),
    ("tar", "--format=ustar"),
    ("tar", "--format=pax"),
    ("tar", "--format=gnu"),
    ("tar", "--format=pax", "--pax-option=comment:=hello"),
]


@pytest.mark.parametrize("kind", FORMATS, ids=" ".join)
def test_what_was_packed_comes_out_again(
    kind: tuple[str, ...], pack: Pack, unpack: Unpack, original: bytes
) -> None:
    assert unpack(pack(kind[0], original, *kind[1:])) == original
