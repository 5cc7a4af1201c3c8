"""Detect the format of an image, and whether it refers to other files.

The inspectors are those of oslo.utils, which OpenStack uses at the same place. They see the bytes in order
and keep little of them, so an image is inspected while it streams past. Added here: the result never
depends on how the bytes were cut into pieces; fixed VHD images are known by their footer and bare VMDK
descriptors by their text; an image that needs a parent file is not safe in any format; qcow2 with extended L2
entries, which refer to nothing outside the file, is safe.
"""

from __future__ import annotations

import struct
import uuid
from typing import Any

from imageport.dataplane.buffers import Chunk
from imageport.dataplane.file_types import HEAD, identify, identify_end
from imageport.dataplane.file_types.texts import is_vmdk_descriptor
from imageport.dataplane.inspection import faulty
from imageport.dataplane.inspection.boot_record import is_file_system, oddity, reach
from imageport.dataplane.inspection.formats import Fault, ImageFormat
from imageport.dataplane.inspection.inspectors import format_inspector
from imageport.dataplane.inspection.layouts.vhd import DIFFERENCING, FIXED, Footer, is_footer
from imageport.errors import VerificationFailed

#: Inspectors get pieces of exactly this length, because some decide by the first piece they see.
_PIECE = 64 << 10

#: Bytes after which an inspector that wants still more is given up. The metadata of a vhdx is at 2 MiB.
_HEAD = 64 << 20

#: Bytes at the end that matter: the last three sectors of a streamOptimized vmdk.
TAIL = 1536

_SECTOR = 512
_LARGEST_SIZE = (1 << 63) - 1
_QCOW2_KNOWN_FEATURES = 5
#: Types of image that have but the changes to another: undo and differencing.
_VDI_DIFFERENCING = (3, 4)
#: The metadata item for the location of the parent (MS-VHDX 2.6.2.6).
_VHDX_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le


class FormatDetection:
    """Takes the bytes of an image in order, in pieces of any length, and returns its format at the end."""

    def __init__(self) -> None:
        self._inspectors = _new_inspectors()
        self._hungry = list(self._inspectors)
        self._broken: dict[str, Exception] = {}
        self._pending = bytearray()
        self._is_descriptor = False
        self._head = b""
        self._eaten = 0
        self.size = 0
        self.tail = b""

    @property
    def needs_more(self) -> bool:
        """Whether the head is still undecided; afterwards only the end of the image matters."""
        return bool(self._hungry)

    def feed(self, chunk: Chunk) -> None:
        """Take the next bytes. Never raises: an inspector that cannot cope with them is out of the race."""
        self.size += len(chunk)
        self.tail = (self.tail + bytes(chunk[-TAIL:]))[-TAIL:]
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
        self.size += count
        self.tail = b""

    def finish(self) -> ImageFormat:
        """Return the detected format. Call it once, after the last byte.

        Raises ``VerificationFailed`` when they are two formats at once.
        """
        self._eat(bytes(self._pending))
        # Short files read as zeros up to the end of the sector: so does qemu.
        self._eat(bytes(-self.size % _SECTOR))
        for inspector in self._inspectors:
            if inspector.has_region("footer") and self.size >= TAIL:
                inspector.region("footer").capture(self.tail[-TAIL:], self.size)
            inspector.finish()
        found = {inspector.NAME: inspector for inspector in self._inspectors if self._matches(inspector)}
        return self._verdict(found)

    def _eat(self, piece: bytes) -> None:
        if not self._eaten:
            self._head = piece[:HEAD]
            self._is_descriptor = is_vmdk_descriptor(self._head)
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
        if inspector.NAME == "gpt" and len(self._head) >= _SECTOR and is_file_system(self._head):
            return False
        try:
            return bool(inspector.format_match)
        except AttributeError:
            # The vmdk inspector, given text in which it found no type.
            return False

    def _verdict(self, found: dict[str, Any]) -> ImageFormat:
        footer = Footer.of(self.tail[-_SECTOR:]) if is_footer(self.tail[-_SECTOR:]) else None
        if footer is not None and found.keys() <= {"gpt"}:
            return _vhd_of_footer(footer, self.size)
        is_hybrid = found.keys() == {"iso", "gpt"}
        if is_hybrid:
            # An ISO that boots from a disk too begins with a partition table.
            del found["gpt"]
        names = sorted(found.keys() | ({"vhd"} if footer is not None and footer.is_intact else set()))
        if len(names) > 1:
            raise VerificationFailed(
                f"the image is several formats at once: {', '.join(names)}",
                hint="such files are made to deceive; get the image from a source you trust",
            )
        if not found:
            begins, ends = identify(self._head), identify_end(self.tail)
            # An archive that is whole ends as one; a disk image of macOS begins with any data.
            file_type = ends if ends and (begins is None or ends.kind == "disk") else begins
            return ImageFormat(
                "raw", self.size, file_type=file_type, doubts=self._doubts(is_partitioned=False)
            )
        [(name, inspector)] = found.items()
        faults = self._faults(inspector)
        virtual_size = self._virtual_size(inspector)
        if name == "iso" and (volume := int(inspector.virtual_size)) > self.size:
            reason = (
                f"it is not whole: the file has {self.size} bytes, and its volume {volume}"
                f" ({volume - self.size} bytes are missing)"
            )
            faults.append(Fault("length", "damaged", reason, faulty.CUT_OFF))
        if virtual_size is not None and not 0 <= virtual_size <= _LARGEST_SIZE:
            reason = f"its header gives a virtual size of {virtual_size} bytes"
            faults.append(Fault("virtual_size", "damaged", reason, faulty.FETCH_AGAIN))
            virtual_size = None
        doubts = self._doubts(is_partitioned=True) if name == "gpt" or is_hybrid else ()
        return ImageFormat(name, virtual_size, tuple(faults), is_hybrid=is_hybrid, doubts=doubts)

    def _doubts(self, *, is_partitioned: bool) -> tuple[str, ...]:
        """Return the sign that a disk, which is raw or an ISO, was cut off."""
        doubts = []
        if self.size % _SECTOR:
            doubts.append(
                f"it has {self.size} bytes, which is not a multiple of the sector size of {_SECTOR} bytes"
            )
        if is_partitioned and (reached := reach(self._head.ljust(_SECTOR, b"\0"))) > self.size:
            doubts.append(f"its partition table is for a disk of {reached} bytes, and it has {self.size}")
        return tuple(doubts)

    def _virtual_size(self, inspector: Any) -> int | None:
        """Return the size in the header of an image that matches, None when that cannot be read."""
        if inspector.NAME in ("gpt", "iso"):
            return self.size
        if inspector.NAME == "qed":
            return None
        if inspector.NAME == "vhd":
            return int.from_bytes(inspector.region("header").data[48:56], "big")
        try:
            if inspector.NAME == "luks":
                return self.size - int(inspector.header_items["payload_offset"]) * _SECTOR
            return int(inspector.virtual_size) or None
        except (LookupError, ValueError, struct.error):
            return None

    def _is_extent(self, inspector: Any) -> bool:
        """Return whether a VMDK has a header but no descriptor: it is one file of several."""
        if self._head[28:36] == bytes(8):
            return True
        text = inspector.region("descriptor")
        return bool(text.complete and text.data and not text.data.strip(b"\0"))

    def _faults(self, inspector: Any) -> list[Fault]:
        """Return the reasons to refuse an image that matches."""
        name = inspector.NAME
        if name == "vmdk" and self._is_descriptor:
            return [faulty.fault(name, "file_reference")]
        if name == "vmdk" and self._is_extent(inspector):
            return [faulty.fault(name, "extent")]
        if name in self._broken:
            return [faulty.fault(name, "header")]
        if name == "gpt":
            odd = oddity(self._head.ljust(_SECTOR, b"\0"))
            return [faulty.fault(name, "mbr", odd)] if odd else []
        if name == "qcow2" and self._head[4:8] == b"\0\0\0\1":
            return [faulty.fault(name, "version_1")]
        if _is_differencing(inspector):
            return [faulty.fault(name, "parent")]
        try:
            inspector.safety_check()
        except Exception as error:  # noqa: BLE001 - a check that fails does not show safety
            failures: dict[str, Exception] = getattr(error, "failures", {"header": error})
            return [faulty.fault(name, check) for check in failures]
        return []


def _new_inspectors() -> list[Any]:
    inspectors: list[Any] = [
        inspector() for name, inspector in format_inspector().ALL_FORMATS.items() if name != "raw"
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
    """Return whether the image has but the changes to a parent, for formats in which oslo.utils does not look."""
    match inspector.NAME:
        case "vhd":
            return int.from_bytes(inspector.region("header").data[60:64], "big") == DIFFERENCING
        case "vdi":
            return int.from_bytes(inspector.region("header").data[76:80], "little") in _VDI_DIFFERENCING
        case "vhdx" if inspector.has_region("metadata"):
            return _VHDX_PARENT_LOCATOR in inspector.region("metadata").data
        case "vmdk":
            return "parentfilenamehint" in (inspector.desc_text or "")
    return False


def _vhd_of_footer(footer: Footer, size: int) -> ImageFormat:
    """Return the format of an image of *size* bytes that ends with *footer*, and does not begin with a copy of it."""
    content = size - _SECTOR
    if not footer.is_intact:
        reason = "the checksum of its footer is wrong"
    elif footer.disk_type != FIXED:
        reason = "its first sector is not the copy of its footer: its start is missing, or something is in front of it"
    elif footer.current_size != content:
        reason = (
            f"its footer gives a disk of {footer.current_size} bytes, and there are {content} in front of it"
        )
    else:
        return ImageFormat("vhd", content)
    return ImageFormat("vhd", None, (Fault("footer", "damaged", reason, faulty.FETCH_AGAIN),))
