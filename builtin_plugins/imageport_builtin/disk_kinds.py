"""Variants of the disk formats: those that can be requested for an image, and that of an image."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from imageport import Chunks, PluginConfig, TransformFailed
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK
from imageport.limits import ByteSize, format_size
from imageport_builtin.qemu_img import DiskInfo
from imageport_builtin.unpacking.job import closed_after

#: Kinds of image by format, the usual one first. All are one file: kinds of vmdk that are several are not written.
_SUBFORMATS = {
    "vhd": ("fixed", "dynamic"),
    "vhdx": ("dynamic", "fixed"),
    "vmdk": ("streamOptimized", "monolithicSparse"),
}

#: Formats that an option belongs to.
_FORMATS_WITH = {
    "subformat": tuple(_SUBFORMATS),
    "adapter_type": ("vmdk",),
    "compat": ("qcow2",),
    "cluster_size": ("qcow2",),
    "compress": ("qcow2",),
    "compression_type": ("qcow2",),
}

#: Largest disks that QEMU writes, in bytes. Those of qcow2 have an L1 table of 32 MiB, with entries of 8 bytes.
_LARGEST_DISKS = {"vhd": 2040 << 30, "vhdx": 64 << 40, "vdi": 0x1FFFFF8000000}
_QCOW2_L1_ENTRIES = 4 << 20
_QCOW2_CLUSTER = 64 << 10

_SECTOR = 512
_SMALLEST_CLUSTER, _LARGEST_CLUSTER = 512, 2 << 20

_VHD_FOOTER = 512
_VHD_TYPES = {2: "fixed", 3: "dynamic"}
#: GUIDs of the metadata region and of its item "file parameters" (MS-VHDX 2.2.3.2 and 2.6.2.1).
_VHDX_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
_VHDX_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le
_VHDX_REGION_TABLE = 192 << 10
_VHDX_LEAVE_ALLOCATED = 1
#: Largest descriptor of a vmdk that is read; qemu-img has read it before.
_VMDK_DESCRIPTOR = 1 << 20


def _version_as_text(value: Any) -> Any:
    """Take the numbers 0.10 and 1.1, which YAML makes of these words when they are not quoted."""
    return {0.1: "0.10", 1.1: "1.1"}.get(value, value) if isinstance(value, float) else value


class OutputOptions(PluginConfig):
    """Options for the kind of the converted image."""

    output_format: Literal["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"] = Field(
        default="raw",
        description="The disk format to store. An image that has it already, and fits the other options, "
        "is left as it is.",
    )
    subformat: Literal["dynamic", "fixed", "streamOptimized", "monolithicSparse"] | None = Field(
        default=None,
        description="Kind of vhd (fixed, dynamic), vhdx (dynamic, fixed) or vmdk (streamOptimized, monolithicSparse) "
        "to store; unset, any kind passes, and converted images have the first.",
    )
    adapter_type: Literal["ide", "lsilogic", "buslogic", "legacyESX"] | None = Field(
        default=None, description="Disk controller that a vmdk names; unset, converted images name ide."
    )
    compat: Annotated[Literal["0.10", "1.1"], BeforeValidator(_version_as_text)] | None = Field(
        default=None,
        description="Version of qcow2: 0.10 for QEMU before 1.1 (of 2012); unset, converted images have 1.1.",
    )
    cluster_size: ByteSize | None = Field(
        default=None,
        description="Cluster size of a qcow2, a power of two from 512 to 2 MiB; unset, converted images have 64 KiB.",
    )
    compress: bool = Field(default=False, description="Compress the clusters of a qcow2 that is written.")
    compression_type: Literal["zlib", "zstd"] | None = Field(
        default=None,
        description="Method for compress: zlib, or zstd, which needs QEMU 5.1 to be read; unset, it is zlib.",
    )
    pad_to: ByteSize | None = Field(
        default=None,
        ge=_SECTOR,
        description="Grow the disk with zeros at its end until its size is a multiple of this: 1 MiB for Azure.",
    )

    @field_validator("subformat", "adapter_type", "compat", "cluster_size", "compress", "compression_type")
    @classmethod
    def _belongs_to_the_format(cls, value: Any, info: ValidationInfo) -> Any:
        name, wanted = str(info.field_name), info.data.get("output_format")
        formats = _FORMATS_WITH[name]
        if value and wanted is not None and wanted not in formats:
            raise ValueError(f"{name} needs output_format {' or '.join(formats)}; it is {wanted}")
        return value

    @field_validator("subformat")
    @classmethod
    def _is_a_kind_of_the_format(cls, value: str | None, info: ValidationInfo) -> str | None:
        kinds = _SUBFORMATS.get(info.data.get("output_format", ""), ())
        if value and kinds and value not in kinds:
            formats = " or ".join(name for name, others in _SUBFORMATS.items() if value in others)
            raise ValueError(
                f"subformat {value} needs output_format {formats}; "
                f"a {info.data['output_format']} is {' or '.join(kinds)}"
            )
        return value

    @field_validator("cluster_size")
    @classmethod
    def _is_a_power_of_two(cls, value: int | None) -> int | None:
        if value is not None and not (
            _SMALLEST_CLUSTER <= value <= _LARGEST_CLUSTER and value.bit_count() == 1
        ):
            raise ValueError(
                f"cluster_size must be a power of two from {_SMALLEST_CLUSTER} to {_LARGEST_CLUSTER}"
            )
        return value

    @field_validator("pad_to")
    @classmethod
    def _has_whole_sectors(cls, value: int | None) -> int | None:
        if value is not None and value % _SECTOR:
            raise ValueError(f"pad_to must be a multiple of {_SECTOR}")
        return value

    @model_validator(mode="after")
    def _fit_each_other(self) -> Self:
        if self.compression_type and not self.compress:
            raise ValueError("compression_type needs compress: true")
        if self.compression_type == "zstd" and self.compat == "0.10":
            raise ValueError("compression_type zstd needs compat 1.1; it is 0.10")
        return self

    @property
    def kind(self) -> dict[str, Any]:
        """The options that an image in the output format may already meet, without those that are not set."""
        names = ("subformat", "adapter_type", "compat", "cluster_size", "compression_type")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def padded(self, size: int) -> int:
        """Return the size in bytes of the converted disk, given the *size* of the one in the image."""
        return -(-size // self.pad_to) * self.pad_to if self.pad_to else whole_sectors(size)

    def with_padding(self, chunks: Chunks) -> Chunks:
        """Pass *chunks* on, which are a raw disk, and the zeros that are asked for behind them."""
        size = 0
        with closed_after(chunks):
            for piece in chunks:
                size += len(piece)
                yield piece
        missing = self.padded(size) - size
        while missing > 0:
            zeros = ZERO_CHUNK if missing >= CHUNK_SIZE else bytes(missing)
            yield zeros
            missing -= len(zeros)

    def require_room(self, size: int) -> None:
        """Raise ``TransformFailed`` when the format cannot hold a disk of *size* bytes."""
        wanted, cluster = self.output_format, self.cluster_size or _QCOW2_CLUSTER
        largest = _LARGEST_DISKS.get(wanted)
        if wanted == "qcow2":
            largest = _QCOW2_L1_ENTRIES * (cluster // 8) * cluster
        if largest is not None and size > largest:
            with_clusters = f" with clusters of {format_size(cluster)}" if wanted == "qcow2" else ""
            raise TransformFailed(
                f"a {wanted}{with_clusters} holds at most {format_size(largest)}; the disk has {format_size(size)}",
                hint="choose a larger cluster_size" if wanted == "qcow2" else "choose another output_format",
            )

    def create_options(self) -> dict[str, str]:
        """Return the options of ``qemu-img create -o``."""
        options = {name: str(value) for name, value in self.kind.items()}
        if kinds := _SUBFORMATS.get(self.output_format):
            options.setdefault("subformat", kinds[0])
        if self.output_format == "vhd":
            # Else the size of the disk is rounded up to whole cylinders.
            options["force_size"] = "on"
        return options

    def differences(self, path: Path, info: DiskInfo) -> list[str]:
        """Return how the image at *path*, which is in the output format, differs from the options."""
        kind = kind_of(path, self.output_format, info) if self.kind else {}
        found = [
            f"{name} is {kind.get(name, 'unknown')}"
            for name, value in self.kind.items()
            if kind.get(name) != value
        ]
        if self.pad_to and info.virtual_size % self.pad_to:
            found.append(f"its size is not a multiple of {format_size(self.pad_to)}")
        return found


def whole_sectors(size: int) -> int:
    """Return *size* bytes, rounded up to whole sectors: so long is the disk that QEMU sees."""
    return -(-size // _SECTOR) * _SECTOR


def kind_of(path: Path, disk_format: str, info: DiskInfo) -> dict[str, Any]:
    """Return the variant of the image at *path*, which qemu-img can open, in the words of ``OutputOptions.kind``.

    An entry that cannot be read is missing.
    """
    if disk_format == "qcow2":
        return {
            "compat": info.details.get("compat"),
            "cluster_size": info.cluster_size,
            # QEMU before 5.1 does not know of any other.
            "compression_type": info.details.get("compression-type", "zlib"),
        }
    if disk_format == "vmdk":
        return {"subformat": info.details.get("create-type"), "adapter_type": _vmdk_adapter(path)}
    read = {"vhd": _vhd_subformat, "vhdx": _vhdx_subformat}.get(disk_format)
    return {"subformat": read(path)} if read else {}


def _read(path: Path, position: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(position)
        return file.read(length)


def _vhd_subformat(path: Path) -> str | None:
    footer = _read(path, max(0, path.stat().st_size - _VHD_FOOTER), _VHD_FOOTER)
    return _VHD_TYPES.get(int.from_bytes(footer[60:64], "big"))


def _vhdx_subformat(path: Path) -> str | None:
    """Return the meaning of the flag "leave blocks allocated" of a VHDX (MS-VHDX 2.6.2.1)."""
    regions = _read(path, _VHDX_REGION_TABLE, 64 << 10)
    if (entry := regions.find(_VHDX_METADATA)) < 0:
        return None
    table = int.from_bytes(regions[entry + 16 : entry + 24], "little")
    items = _read(path, table, 64 << 10)
    if (entry := items.find(_VHDX_FILE_PARAMETERS)) < 0:
        return None
    offset = int.from_bytes(items[entry + 16 : entry + 20], "little")
    flags = int.from_bytes(_read(path, table + offset + 4, 4), "little")
    return "fixed" if flags & _VHDX_LEAVE_ALLOCATED else "dynamic"


def _vmdk_adapter(path: Path) -> str | None:
    header = _read(path, 0, _SECTOR)
    start, length = (int.from_bytes(header[at : at + 8], "little") * _SECTOR for at in (28, 36))
    if start >= path.stat().st_size:
        return None
    text = _read(path, start, min(length, _VMDK_DESCRIPTOR)).decode("utf-8", "replace")
    found = re.search(r'^\s*ddb\.adapterType\s*=\s*"(\w+)"', text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None
