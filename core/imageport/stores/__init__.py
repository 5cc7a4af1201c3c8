"""Base classes of stores. The author of a store writes the differences; the base keeps the promises of the hooks."""

from imageport.stores.copy_file import CopyFile, has_time
from imageport.stores.extents import ExtentStore, VolumeCopy
from imageport.stores.folder import FileMode, FolderStore, FolderStoreConfig
from imageport.stores.part_upload import PartUpload
from imageport.stores.parts import PartStore
from imageport.stores.remedies import Errors, Remedy, Retry, retry
from imageport.stores.store import Store
from imageport.stores.stored_object import StoredObject
from imageport.stores.volumes import Volume, VolumeFacts

__all__ = [
    "CopyFile",
    "Errors",
    "ExtentStore",
    "FileMode",
    "FolderStore",
    "FolderStoreConfig",
    "PartStore",
    "PartUpload",
    "Remedy",
    "Retry",
    "Store",
    "StoredObject",
    "Volume",
    "VolumeCopy",
    "VolumeFacts",
    "has_time",
    "retry",
]
