"""Recognise an archive by its first bytes, and by nothing else."""

from __future__ import annotations

from imageport.dataplane import identify
from imageport_builtin.unpacking.lha_header import looks_like_lha
from imageport_builtin.unpacking.tar_header import looks_like_tar

#: Bytes that ``layer_of`` needs; fewer are enough for a shorter file.
HEAD = 64 << 10

_UNPACKED = frozenset({"gzip", "xz", "lzma", "bzip2", "zstd", "zip", "7z", "lha", "tar"})


def layer_of(head: bytes) -> str | None:
    """Return the name of the format that *head* begins, or None when it is not an archive that can be unpacked.

    A zip without entries has no local header and therefore is none.
    """
    found = identify(head)
    if found is not None and found.name in _UNPACKED:
        return found.name
    # Damaged ones, too.
    return "lha" if looks_like_lha(head) else "tar" if looks_like_tar(head) else None
