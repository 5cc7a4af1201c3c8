"""Find and remove what killed commands and failed imports have left in staging."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path

from imageport.catalog import Catalog
from imageport.catalog.lock import LOCK
from imageport.errors import Conflict, ImageportError, UsageError
from imageport.importing.staging import HALF_STAGED, Staging
from imageport.values import ImageRecord

log = logging.getLogger(__name__)

#: Images in these statuses may have data in staging.
_STAGED_STATUSES = frozenset({"uploading", "importing"})


class OrphanFiles:
    """The files in staging that belong to no image which is being staged or imported.

    Files whose name up to the first dot is no id of an image are somebody else's.
    """

    def __init__(self, catalog: Catalog, staging: Staging) -> None:
        self._catalog = catalog
        self._staging = staging

    def find(self, image_id: str | None = None) -> list[Path]:
        """Return what has been left of this image, or of any."""
        return [
            path
            for path in self._staging.contents(image_id)
            if path.name.endswith(HALF_STAGED) or not self._is_in_use(path)
        ]

    def remove(self, path: Path) -> bool:
        """Remove one of the found; False when it is in use by now, or when somebody else removed it.

        An image whose staging was killed becomes queued again. Raises ``OSError`` and ``ImageportError``.
        """
        image_id = _image_of(path)
        try:
            if path.name.endswith(HALF_STAGED):
                self._give_up_staging(image_id)
            elif path.is_dir() and not path.is_symlink():
                # Nobody begins to use this one again: the name has the id of its task.
                shutil.rmtree(path)
            else:
                # Data that was staged since the search bears the same name.
                with self._catalog.holding(image_id) as record:
                    if _uses(record, path):
                        return False
                    path.unlink()
        except (Conflict, FileNotFoundError):
            return False
        return True

    def without_data(self) -> list[str]:
        """Return the images that are staged here and have no data in staging, be it lost or never written."""
        return [
            image_id
            for image_id in self._catalog.staged_in(self._staging.directory)
            if self._staging.staged(image_id) is None and not self._staging.is_written(image_id)
        ]

    def queue_again(self, image_id: str) -> bool:
        """Make one of the images without data queued again; False when it has data by now, or gets some."""
        try:
            return self._give_up_staging(image_id)
        except Conflict:
            return False

    def clear(self, image_id: str, *, besides: Path | None = None) -> None:
        """Remove what has been left of the image, before its next import; what cannot be removed stays for ``gc``."""
        for path in self.find(image_id):
            if path == besides:
                continue
            try:
                self.remove(path)
            except (OSError, ImageportError) as error:
                log.warning("left behind: %s (%s)", path, error)
        if image_id in self.without_data():
            self.queue_again(image_id)

    def _give_up_staging(self, image_id: str) -> bool:
        """Make the image queued again unless its data is in staging; return whether it was changed."""
        with self._staging.incoming(image_id):
            if self._staging.staged(image_id) is None:
                # Conflict: the image was imported meanwhile. UsageError: it was deleted.
                with (
                    suppress(Conflict, UsageError),
                    self._catalog.changing_status(image_id, of=("uploading",), to="queued"),
                ):
                    return True
        return False

    def _is_in_use(self, path: Path) -> bool:
        try:
            return _uses(self._catalog.get_image(_image_of(path)), path)
        except UsageError:
            return False


def _uses(record: ImageRecord | None, path: Path) -> bool:
    if record is None:
        return False
    # Should somebody have made the folder of a store the staging directory, the copies there stay.
    is_copy = path.absolute().as_uri() in {location.url for location in record.locations}
    return is_copy or record.status in _STAGED_STATUSES or LOCK in record.properties


def _image_of(path: Path) -> str:
    return path.name.partition(".")[0]
