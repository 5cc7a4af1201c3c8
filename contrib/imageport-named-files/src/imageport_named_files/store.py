"""The store for folders in which people look."""

from __future__ import annotations

from pathlib import Path

from imageport import Context, Image, ImageData, Location, StoreFailed
from imageport.dataplane import inspect_head
from imageport.stores import FileMode, FolderStore, FolderStoreConfig, has_time

from imageport_named_files.naming import file_name

#: Bytes of an image that show its format.
_HEAD = 64 << 10


class NamedFileConfig(FolderStoreConfig):
    """Options of ``named_file``."""

    mode: FileMode = "0644"


class NamedFileStore(FolderStore[NamedFileConfig]):
    """Keep each image in a file named after it, such as ``debian-12.qcow2``.

    For image folders of libvirt and Proxmox, and others that people browse. The suffix is the disk format. A file
    that is there already is never replaced; until a copy is published it is a hidden file.

    People work in such folders. So the store marks its files with a special modification time and reads and
    deletes only files that still have it: a file that another program changed or put there is left alone.
    """

    stability = "stable"
    taken_hint = "remove or rename that file, or give the image another name with --name"

    def file_name(self, image: Image) -> str:
        """Return the name of the image, made safe, with its format as the suffix."""
        suffix = image.record.disk_format or inspect_head(image.data.peek(_HEAD)).disk_format
        return file_name(image.record.name or image.record.id, suffix)

    def is_ours(self, path: Path, mark: str) -> bool:
        """Return whether the file is there and unchanged."""
        return has_time(path, mark)

    def mark(self, location: Location) -> str:
        """Return the time of the file, which the first version of this store recorded under another name."""
        return location.metadata.get("modified") or super().mark(location)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of a copy that is still the one that was written."""
        path = self.path(location)
        if path.exists() and not self.is_ours(path, self.mark(location)):
            raise StoreFailed(
                f"{path} was changed or replaced after the import",
                hint="copy from another store, or import the file as a new image",
            )
        return super().read(location, ctx)
