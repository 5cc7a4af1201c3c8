"""Small images that become large ones."""

from __future__ import annotations

import struct
import zlib


def qcow2_bomb(size: int) -> bytes:
    """Return a qcow2 of *size* bytes, all of whose clusters are one and the same compressed cluster."""
    bits = 21
    cluster = 1 << bits
    count = size >> bits
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    packed = packer.compress(b"\xa7" * cluster) + packer.flush()
    refcounts, block, level_1, level_2, data = (number * cluster for number in range(1, 6))
    sectors_at = 62 - (bits - 8)
    entry = 1 << 62 | (-(-len(packed) // 512) - 1) << sectors_at | data
    image = bytearray(data + cluster)
    image[:112] = struct.pack(
        ">4sIQIIQIIQQIIQQQQIIQ",
        *(b"QFI\xfb", 3, 0, 0, bits, size, 0),
        *(1, level_1, refcounts, 1, 0, 0, 0, 0, 0, 4, 112, 0),
    )
    struct.pack_into(">Q", image, refcounts, block)
    struct.pack_into(">6H", image, block, 1, 1, 1, 1, 1, count)
    struct.pack_into(">Q", image, level_1, level_2 | 1 << 63)
    struct.pack_into(f">{count}Q", image, level_2, *[entry] * count)
    image[data : data + len(packed)] = packed
    return bytes(image)
