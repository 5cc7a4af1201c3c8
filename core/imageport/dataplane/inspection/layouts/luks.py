"""The layout of LUKS version 1 (LUKS On-Disk Format Specification 1.2.3): the header and the keys."""

from __future__ import annotations

import struct

from imageport.dataplane.inspection.layouts.layout import SECTOR, Layout

_HEADER = struct.Struct(">6sH96xII")
_SLOTS_AT, _SLOT, _SLOTS = 208, struct.Struct(">II32xII"), 8
_ACTIVE = 0x00AC71F3


class LuksLayout(Layout):
    """Compares where the keys and the payload are; the length of the payload is not stored."""

    NAME = "luks"
    MAGIC = b"LUKS\xba\xbe"

    def _start(self) -> None:
        self._want(0, _SLOTS_AT + _SLOTS * _SLOT.size, self._take_header)

    def _take_header(self, data: bytes) -> None:
        _, version, payload, key_bytes = _HEADER.unpack_from(data)
        if version != 1:
            return
        for number in range(_SLOTS):
            state, _, offset, stripes = _SLOT.unpack_from(data, _SLOTS_AT + number * _SLOT.size)
            if state == _ACTIVE:
                end = offset * SECTOR + key_bytes * stripes
                self.end = max(self.end, end)
        self.end = max(self.end, payload * SECTOR)
