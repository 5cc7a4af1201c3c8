"""The imports that are made twice, and what is compared of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: What both have to agree on.
COMPARED = (
    "task", "status", "disk_format", "container_format", "size", "virtual_size", "checksum", "os_hash_value",
    "stores", "importing", "failed", "lock", "properties", "copies",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One import.

    ``stores`` are the target stores, ``broken`` those of them that cannot be written. With ``copy_to`` the image is
    copied there after a good import, and it is the copying that is compared.
    """

    title: str
    image: str
    disk_format: str = "raw"
    container_format: str = "bare"
    method: str = "glance-direct"
    plugins: tuple[str, ...] = ()
    stores: tuple[str, ...] = ("s1",)
    broken: tuple[str, ...] = ()
    must: bool = True
    copy_to: tuple[str, ...] = ()
    role: str = "member"


#: ``None`` for what is not there, so that a difference can be written down.
Outcome = dict[str, Any]

_UNPACK = ("image_decompression",)
_CONVERT = ("image_conversion",)
_BOTH = _UNPACK + _CONVERT
_ALL = ("s1", "s2", "s3")

CASES = (
    Case("raw data", "data"),
    Case("raw data, downloaded", "data", method="web-download"),
    Case("raw data of an odd length", "odd"),
    Case("a partitioned disk into three stores", "partitioned", stores=_ALL),
    Case("a disk with an invalid boot flag", "bad-boot-flag"),
    Case("qcow2", "qcow2", "qcow2"),
    Case("qcow2, downloaded into three stores", "compressed.qcow2", "qcow2", method="web-download", stores=_ALL),
    Case("qcow2 declared raw", "qcow2", "raw"),
    Case("raw data declared qcow2", "data", "qcow2"),
    Case("raw data declared qcow2, downloaded", "data", "qcow2", method="web-download"),
    Case("qcow2 with a backing file", "backing.qcow2", "qcow2", method="web-download"),
    Case("qcow2 with a data file", "data-file.qcow2", "qcow2", method="web-download"),
    Case("qcow2 with extended L2 entries", "extended-l2.qcow2", "qcow2", method="web-download"),
    Case("vmdk, stream-optimized", "stream.vmdk", "vmdk"),
    Case("vdi", "vdi", "vdi"),
    Case("vhdx", "vhdx", "vhdx"),
    Case("vhd", "vhd", "vhd"),
    Case("iso", "iso", "iso"),
    Case("hybrid iso", "hybrid.iso", "iso"),
    Case("kernel", "data", "aki", "aki"),
    Case("a kernel in a bare container", "data", "aki"),
    Case("ova", "qcow2", "vmdk", "ova"),
    Case("an empty file, downloaded", "empty", method="web-download"),
    Case("gzip, to be kept as it is", "data.gz", container_format="compressed", plugins=_UNPACK),
    Case("gzip of raw data", "data.gz", plugins=_UNPACK),
    Case("gzip of raw data, downloaded", "data.gz", method="web-download", plugins=_UNPACK),
    Case("zip of raw data", "data.zip", plugins=_UNPACK),
    Case("lha of raw data", "lha", plugins=_UNPACK),
    Case("no archive, with decompression", "data", plugins=_UNPACK),
    Case("gzip that is cut off", "truncated.gz", plugins=_UNPACK),
    Case("gzip that is cut off, downloaded", "truncated.gz", method="web-download", plugins=_UNPACK),
    Case("zip of two files", "two.zip", plugins=_UNPACK, method="web-download"),
    Case("gzip of qcow2, converted to raw", "qcow2.gz", "qcow2", plugins=_BOTH),
    Case("qcow2, converted to raw", "qcow2", "qcow2", plugins=_CONVERT, method="web-download", stores=_ALL),
    Case("vmdk, converted to raw", "sparse.vmdk", "vmdk", plugins=_CONVERT),
    Case("vhd, converted to raw", "vhd", "vhd", plugins=_CONVERT),
    Case("raw data, nothing to convert", "data", plugins=_CONVERT),
    Case("iso, not converted", "iso", "iso", plugins=_CONVERT),
    Case("hybrid iso, not converted", "hybrid.iso", "iso", plugins=_CONVERT),
    Case("qcow2 declared raw, to be converted", "qcow2", plugins=_CONVERT, method="web-download"),
    Case("converted, and a store fails", "qcow2", "qcow2", plugins=_CONVERT, stores=_ALL, broken=("s2",)),
    Case("properties are injected", "data", plugins=("inject_image_metadata",)),
    Case("properties are not injected for admin", "data", plugins=("inject_image_metadata",), role="admin"),
    Case("one of three stores fails and may", "data", stores=_ALL, broken=("s2",), must=False),
    Case("one of three stores fails and must not", "data", stores=_ALL, broken=("s2",)),
    Case("a download, and one store fails", "data", "raw", "bare", "web-download", stores=_ALL, broken=("s2",)),
    Case("all stores fail and may", "data", stores=("s2",), broken=("s2",), must=False, method="web-download"),
    Case("a store is named twice", "data", stores=("s1", "s1")),
    Case("copied to two stores", "qcow2", "qcow2", copy_to=("s2", "s3"), role="admin"),
    Case("copied, and one store fails", "data", copy_to=("s2", "s3"), broken=("s3",), role="admin"),
    Case("copied, and one store fails and may", "data", copy_to=("s2", "s3"), broken=("s3",), must=False, role="admin"),
    Case("copied, and all stores fail and may", "data", copy_to=("s2",), broken=("s2",), must=False, role="admin"),
    Case("copied to where it is", "data", copy_to=("s1",), role="admin"),
    Case("copied by a member", "data", copy_to=("s2",)),
)  # fmt: skip
