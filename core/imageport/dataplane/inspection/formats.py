"""The findings of an inspection: the format of an image and its faults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from imageport.dataplane.file_types import FileType

#: Formats that the bytes show; others that are declared (ami, ari, aki, ploop) look raw.
INSPECTABLE = frozenset({"raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "gpt", "luks", "qed"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A reason why an image is refused.

    ``check`` names the check that failed. ``reason`` completes the sentence "the image is not safe: ..." (kind
    ``unsafe``: it refers to other files, or two programs can read it as two different disks), "the image is damaged:
    ..." (``damaged``) or "the image is not supported: ..." (``unsupported``). ``hint`` is the next step for the user.
    """

    check: str
    kind: Literal["unsafe", "damaged", "unsupported"]
    reason: str
    hint: str


@dataclass(frozen=True)
class ImageFormat:
    """The detected format of an image.

    ``name`` is raw, qcow2, vmdk, vdi, vhd, vhdx, iso, gpt, luks or qed. ``virtual_size`` is the size of the
    disk in bytes as its header gives it (raw and gpt: the number of bytes), None when it cannot be known.
    ``faults`` are the reasons to refuse the image; a good image has none. ``file_type`` is set when the image has
    none of these formats and is a file of a known type that is not a disk. ``is_hybrid`` is set for an ISO that begins
    with a boot record, so that it is a disk as well. ``doubts`` are signs, and no proof, that the image was cut off.
    """

    name: str
    virtual_size: int | None
    faults: tuple[Fault, ...] = ()
    file_type: FileType | None = None
    is_hybrid: bool = False
    doubts: tuple[str, ...] = ()

    @property
    def disk_format(self) -> str:
        """The name for the image record: a partitioned disk (gpt) is raw."""
        return "raw" if self.name == "gpt" else self.name

    @property
    def unsafe(self) -> tuple[str, ...]:
        """The reasons why no program must open the image."""
        return tuple(fault.reason for fault in self.faults if fault.kind == "unsafe")

    def without_faults(self) -> ImageFormat:
        """Return this without its faults and doubts, for a decision by the format alone."""
        return replace(self, faults=(), doubts=())
