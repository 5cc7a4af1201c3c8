"""The catalog: the database of images and tasks."""

from imageport.catalog.catalog import Catalog, upgrade
from imageport.catalog.failures import CommitUnknown
from imageport.catalog.lease import Lease, data_is_staged, require_startable
from imageport.catalog.locations import HiddenCopy
from imageport.catalog.processes import this_process
from imageport.catalog.schema import Upgrade
from imageport.catalog.stored_copies import StoredRow
from imageport.catalog.tasks import TaskRow
from imageport.catalog.usage import Usage

__all__ = [
    "Catalog", "CommitUnknown", "HiddenCopy", "Lease", "StoredRow", "TaskRow", "Upgrade", "Usage", "data_is_staged",
    "require_startable", "this_process", "upgrade",
]  # fmt: skip
