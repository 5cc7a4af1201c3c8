"""What the bytes of an image are, whatever anybody says about them, and whether they are safe to open.

The inspectors are those of oslo.utils, which OpenStack uses at the same place. They see the bytes in order
and keep little of them, so an image is inspected while it streams past. Added here: the verdict never
depends on how the bytes were cut into pieces; fixed VHD images are known by their footer and bare VMDK
descriptors by their text; what needs a parent file is not safe in any format; qcow2 with extended L2
entries, which refer to nothing outside the file, is safe.
"""

from __future__ import annotations

import os
import struct
import uuid
from pathlib import Path
from typing import Any

from imageport.buffers import Piece
from imageport.errors import VerificationFailed
from imageport.file_types import HEAD, identify
from imageport.inspection import faulty
from imageport.inspection.formats import Fault, ImageFormat

#: Inspectors get pieces of exactly this length, because some decide by the first piece they see.
_PIECE = 64 << 10

#: Bytes after which an inspector that wants still more is given up. The metadata of a vhdx is at 2 MiB.
_HEAD = 64 << 20

#: Bytes at the end that matter: the last three sectors of a streamOptimized vmdk.
_TAIL = 1536

_SECTOR = 512
_LARGEST_SIZE = (1 << 63) - 1
_QCOW2_KNOWN_FEATURES = 5
_VHD_FIXED = 2
_VHD_DIFFERENCING = 4
_VDI_DIFFERENCING = 4
#: The metadata item that says where the parent is (MS-VHDX 2.6.2.6).
_VHDX_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le


class FormatInspection:
    """Feed it the bytes of an image in order, in pieces of any length; ask at the end."""

    def __init__(self) -> None:
        self._inspectors = _new_inspectors()
        self._hungry = list(self._inspectors)
        self._broken: dict[str, Exception] = {}
        self._pending = bytearray()
        self._is_descriptor = False
        self._head = b""
        self._eaten = 0
        self._size = 0
        self._tail = b""

    @property
    def needs_more(self) -> bool:
        """Whether the head is still undecided; afterwards only the end of the image matters."""
        return bool(self._hungry)

    def feed(self, chunk: Piece) -> None:
        """Take the next bytes. Never raises: an inspector that cannot cope with them is out of the race."""
        self._size += len(chunk)
        self._tail = (self._tail + bytes(chunk[-_TAIL:]))[-_TAIL:]
        if not self._hungry:
            return
        self._pending += chunk
        while len(self._pending) >= _PIECE:
            self._eat(bytes(self._pending[:_PIECE]))
            del self._pending[:_PIECE]

    def skip(self, count: int) -> None:
        """Leave out the next *count* bytes; allowed when no more than the end of the image is needed."""
        if self._hungry:
            raise RuntimeError("the head of the image is not decided yet")
        self._size += count
        self._tail = b""

    def finish(self) -> ImageFormat:
        """Return what the bytes are. Call it once, after the last byte.

        Raises ``VerificationFailed`` when they are two formats at once.
        """
        self._eat(bytes(self._pending))
        # Short files read as zeros up to the end of the sector: so does qemu.
        self._eat(bytes(-self._size % _SECTOR))
        for inspector in self._inspectors:
            if inspector.has_region("footer") and self._size >= _TAIL:
                inspector.region("footer").capture(self._tail[-_TAIL:], self._size)
            inspector.finish()
        found = {inspector.NAME: inspector for inspector in self._inspectors if self._matches(inspector)}
        return self._verdict(found)

    def _eat(self, piece: bytes) -> None:
        if not self._eaten:
            self._head = piece[:HEAD]
            self._is_descriptor = b'createtype="' in piece.partition(b"\0")[0].lower()
        self._eaten += len(piece)
        for inspector in tuple(self._hungry) if piece else ():
            try:
                inspector.eat_chunk(piece)
            except Exception as error:  # noqa: BLE001 - hostile bytes may break a parser in any way
                self._broken[inspector.NAME] = error
                self._hungry.remove(inspector)
            else:
                if self._eaten >= _HEAD or not _wants_more(inspector):
                    self._hungry.remove(inspector)

    def _matches(self, inspector: Any) -> bool:
        if inspector.NAME == "vmdk" and self._is_descriptor:
            return True
        try:
            return bool(inspector.format_match)
        except AttributeError:
            # The vmdk inspector, given text in which it found no type.
            return False

    def _verdict(self, found: dict[str, Any]) -> ImageFormat:
        fixed_vhd = _fixed_vhd_size(self._tail, self._size)
        if fixed_vhd is not None and found.keys() <= {"gpt"}:
            return ImageFormat("vhd", fixed_vhd)
        if found.keys() == {"iso", "gpt"}:
            # A hybrid ISO boots from a disk too, so it begins with a partition table.
            del found["gpt"]
        names = sorted(found.keys() | ({"vhd"} if fixed_vhd is not None else set()))
        if len(names) > 1:
            raise VerificationFailed(
                f"the image is several formats at once: {', '.join(names)}",
                hint="such files are made to deceive; get the image from a source you trust",
            )
        if not found:
            return ImageFormat("raw", self._size, file_type=identify(self._head))
        [(name, inspector)] = found.items()
        virtual_size = self._virtual_size(inspector)
        faults = self._faults(inspector)
        if virtual_size is not None and not 0 <= virtual_size <= _LARGEST_SIZE:
            reason = f"its header gives a virtual size of {virtual_size} bytes"
            faults.append(Fault("virtual_size", "damaged", reason, faulty.FETCH_AGAIN))
            virtual_size = None
        return ImageFormat(name, virtual_size, tuple(faults))

    def _virtual_size(self, inspector: Any) -> int | None:
        """Return the size in the header of an image that matches, None when that cannot be read."""
        if inspector.NAME == "gpt":
            return self._size
        if inspector.NAME == "qed":
            return None
        if inspector.NAME == "vhd":
            return _vhd_size(inspector.region("header").data)
        try:
            if inspector.NAME == "luks":
                return self._size - int(inspector.header_items["payload_offset"]) * _SECTOR
            return int(inspector.virtual_size) or None
        except (LookupError, ValueError, struct.error):
            return None

    def _faults(self, inspector: Any) -> list[Fault]:
        """Return the reasons to refuse an image that matches."""
        name = inspector.NAME
        if name == "vmdk" and self._is_descriptor:
            return [faulty.fault(name, "file_reference")]
        if name in self._broken:
            return [faulty.fault(name, "header")]
        if _is_differencing(inspector):
            return [faulty.fault(name, "parent")]
        try:
            inspector.safety_check()
        except Exception as error:  # noqa: BLE001 - whatever a check stumbles over is no sign of safety
            failures: dict[str, Exception] = getattr(error, "failures", {"header": error})
            return [faulty.fault(name, check, str(failure)) for check, failure in failures.items()]
        return []


def inspect_head(head: bytes) -> ImageFormat:
    """Return what an image seems to be that begins with *head*, which is its first 64 KiB, or all of a shorter image.

    The format may show at the end only (a fixed vhd), and most faults do: so no faults are returned. Raises
    ``VerificationFailed`` when the image is two formats at once.
    """
    inspection = FormatInspection()
    inspection.feed(head[:HEAD])
    return inspection.finish().without_faults()


def inspect_file(path: Path) -> ImageFormat:
    """Return what the file at *path* is; reads its head and its end only.

    Raises ``VerificationFailed`` when it is two formats at once.
    """
    inspection = FormatInspection()
    with path.open("rb", buffering=0) as file:
        while inspection.needs_more and (piece := file.read(_PIECE)):
            inspection.feed(piece)
        rest = os.fstat(file.fileno()).st_size - file.tell()
        if not inspection.needs_more and rest > _TAIL:
            inspection.skip(rest - _TAIL)
            file.seek(-_TAIL, os.SEEK_END)
        inspection.feed(file.read(_TAIL))
    return inspection.finish()


def _new_inspectors() -> list[Any]:
    from oslo_utils.imageutils import format_inspector  # noqa: PLC0415 - needed by few commands, slow to import

    inspectors: list[Any] = [
        inspector() for name, inspector in format_inspector.ALL_FORMATS.items() if name != "raw"
    ]
    for inspector in inspectors:
        if inspector.NAME == "qcow2":
            inspector.I_FEATURES_MAX_BIT = _QCOW2_KNOWN_FEATURES
    return inspectors


def _wants_more(inspector: Any) -> bool:
    if inspector.has_region("footer"):
        return not inspector.region("descriptor").complete
    return not inspector.complete


def _is_differencing(inspector: Any) -> bool:
    """Say whether the image has but the changes to a parent, for formats in which oslo.utils does not look."""
    match inspector.NAME:
        case "vhd":
            return int.from_bytes(inspector.region("header").data[60:64], "big") == _VHD_DIFFERENCING
        case "vdi":
            return int.from_bytes(inspector.region("header").data[76:80], "little") == _VDI_DIFFERENCING
        case "vhdx" if inspector.has_region("metadata"):
            return _VHDX_PARENT_LOCATOR in inspector.region("metadata").data
        case "vmdk":
            return "parentfilenamehint" in (inspector.desc_text or "")
    return False


def _vhd_size(footer: bytes) -> int:
    """Return the current size in a VHD footer, in bytes (Virtual Hard Disk Image Format 1.0)."""
    return int.from_bytes(footer[48:56], "big")


def _fixed_vhd_size(tail: bytes, size: int) -> int | None:
    """Return the virtual size when the image of *size* bytes ends with the footer of a fixed VHD."""
    footer = tail[-_SECTOR:]
    if len(footer) < _SECTOR or not footer.startswith(b"conectix"):
        return None
    disk_type, checksum = struct.unpack_from(">II", footer, 60)
    expected = ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF
    virtual_size = _vhd_size(footer)
    is_fixed = disk_type == _VHD_FIXED and checksum == expected and virtual_size <= size - _SECTOR
    return virtual_size if is_fixed else None
