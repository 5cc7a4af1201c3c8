"""Recognise files that are not disks: archives, documents, and disk formats that cannot be imported.

Only the first bytes decide, never a name. A file that is not recognised here may be a disk.
"""

from __future__ import annotations

from imageport.dataplane.file_types.archives import ARCHIVES
from imageport.dataplane.file_types.disks import DISKS
from imageport.dataplane.file_types.documents import DOCUMENTS
from imageport.dataplane.file_types.ends import identify_end
from imageport.dataplane.file_types.signature import HEAD, FileType

__all__ = ["HEAD", "FileType", "identify", "identify_end"]

#: In this order: binary formats come before text.
_SIGNATURES = (*DISKS, *ARCHIVES, *DOCUMENTS)


def identify(head: bytes) -> FileType | None:
    """Return the type of the file that begins with *head*, or None when it may be a disk."""
    if not head:
        return None
    for signature in _SIGNATURES:
        if signature.matches(head):
            return signature.file_type
    return None
