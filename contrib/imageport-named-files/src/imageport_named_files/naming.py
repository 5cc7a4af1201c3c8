"""File names that people can read, made of untrusted image names."""

from __future__ import annotations

import unicodedata

#: Bytes of a name before its suffix. File systems allow 255.
LONGEST_STEM = 200

_FORMATS = frozenset(
    {"raw", "img", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ploop", "ami", "ari", "aki"}
)
_PACKINGS = frozenset({"gz", "xz", "bz2", "zst", "zip", "lha", "lzh", "7z", "tar", "tgz"})


def file_name(name: str, disk_format: str) -> str:
    """Return the file name for an image: ``Debian 12.qcow2.gz`` stored as raw is ``Debian-12.raw``.

    Suffixes of packings and formats at the end of *name* give way to *disk_format*. What could leave the folder,
    hide the file or trouble a shell becomes ``_``; spaces become ``-``. A name of which nothing is left is ``image``.
    """
    stem = unicodedata.normalize("NFC", name)
    while "." in stem and stem.rpartition(".")[2].lower() in _FORMATS | _PACKINGS:
        stem = stem.rpartition(".")[0]
    stem = "-".join(stem.split())
    stem = "".join(char if char.isalnum() or char in "._-+" else "_" for char in stem)
    stem = stem.encode()[:LONGEST_STEM].decode(errors="ignore").lstrip(".-")
    return f"{stem or 'image'}.{disk_format}"
