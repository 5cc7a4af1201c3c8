"""Store images as files in a directory."""

from __future__ import annotations

from imageport import Image
from imageport.stores import FolderStore, FolderStoreConfig


class FileStoreConfig(FolderStoreConfig):
    """Options of the file store."""


class FileStore(FolderStore[FileStoreConfig]):
    """Keep each image in a file named by its id, with zeros left out as holes.

    A copy has no name in the directory while it is written, and a hidden one, ``.<id>.*.partial``, from its last byte
    until it is published, so that a reader of the directory never sees half an image. Where the file system has no
    nameless files (NFS), it has the hidden name from its first byte. ``imageport gc`` removes the files of a killed
    import.

    Zeros cost nothing, and neither do bytes that are in a file here already: scratch data on the same file system is
    moved into place, and another copy is cloned where the file system can (Btrfs, XFS). Everything else is written
    past the page cache where the file system permits.

    Each file bears a mark, its modification time and an extended attribute. A file that has lost both belongs to
    another program, and is never deleted.
    """

    stability = "stable"

    def file_name(self, image: Image) -> str:
        """Return the id of the image."""
        return image.record.id
