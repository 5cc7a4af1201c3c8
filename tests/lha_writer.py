"""Write LHA archives header by header, for what no program at hand writes."""

from __future__ import annotations

import struct

from imageport_builtin.unpacking.lha_header import crc16

END = b"\0"
UNIX, MAC = b"U", b"m"


def member(
    level: int,
    name: bytes,
    data: bytes,
    *,
    packed: bytes | None = None,
    method: bytes = b"-lh0-",
    folder: bytes = b"",
    system: bytes = UNIX,
    extensions: tuple[tuple[int, bytes], ...] = (),
    with_crc: bool = True,
) -> bytes:
    """Return a member: *data* stored, or *packed* by *method*. *folder* ends with and separates by b"\\xff"."""
    packed = data if packed is None else packed
    further = list(extensions)
    if level >= 2:
        further = [(0x01, name), *further]
    if folder and level:
        further = [*further, (0x02, folder)]
    if with_crc and level:
        further = [(0x00, b"\0\0"), *further]
    size = struct.Struct("<I" if level == 3 else "<H")
    # The length of each extended header is in front of it, behind the header before.
    lengths = [size.pack(1 + len(content) + size.size) for _, content in further] + [size.pack(0)]
    chain = lengths[0] + b"".join(
        bytes([kind]) + content + length for (kind, content), length in zip(further, lengths[1:], strict=True)
    )
    crc = struct.pack("<H", crc16(data))
    if level < 2:
        beyond = len(chain) - 2 if level else 0
        name = name if level else folder.replace(b"\xff", b"\\") + name
        base = method + struct.pack("<IIIBB", len(packed) + beyond, len(data), 0x58A1B2C3, 0x20, level)
        base += bytes([len(name)]) + name + crc + (system + chain[:2] if level else b"")
        start = len(base)
        header = bytes([len(base), sum(base) & 0xFF]) + base + (chain[2:] if level else b"")
    else:
        common = (
            method + struct.pack("<IIIBB", len(packed), len(data), 0x58A1B2C3, 0x20, level) + crc + system
        )
        start = 2 + len(common) + (4 if level == 3 else 0)
        length = struct.pack("<H" if level == 2 else "<I", start + len(chain))
        header = (length + common if level == 2 else b"\4\0" + common + length) + chain
    if with_crc and level:
        place = start + size.size + 1
        header = header[:place] + struct.pack("<H", crc16(header)) + header[place + 2 :]
    return header + packed
