"""The calls of the Image API v2 that the store makes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imageport import Chunks, Location, StoreFailed
from imageport.text import printable
from imageport.values import StoredCopy

if TYPE_CHECKING:
    import requests
    from openstack.connection import Connection

#: An image as Glance shows it: its fields beside its properties.
Record = Mapping[str, Any]

#: Bytes of one read of a download.
_PIECE = 1 << 20
#: Seconds between two looks at an image that Glance imports.
_INTERVAL = 0.5
#: Looks at an image between two looks at its task, each of which makes Glance write to its database.
_LOOKS = 20
_NOT_FOUND = 404
#: Requests that are made again, with a delay that doubles from half a second, when Glance or a proxy has a moment of
#: weakness: a database that is locked, a service that starts again.
_REPEATABLE = frozenset({"GET", "PATCH", "DELETE"})
_PASSING = (500, 502, 503, 504)
_RETRIES = 3
_LOCK = "os_glance_import_task"


class _Body:
    """Bytes of a known number above zero, which ``requests`` promises; all others it sends in chunks."""

    def __init__(self, chunks: Chunks, size: int) -> None:
        self._chunks = chunks
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter(self._chunks)


class Glance:
    """The image service of a cloud. Every method raises the errors in ``remedies.ERRORS``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def project(self) -> str:
        """The id of the project that was signed in to."""
        return str(self._connection.current_project_id)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def show(self, path: str, **query: str) -> Any:
        """Return the answer to a GET request as plain values."""
        return self._call("GET", path, params=query).json()

    def optional(self, path: str) -> dict[str, Any]:
        """Return the answer to a GET request, or nothing where this Glance does not know the path."""
        answer = self._call("GET", path, missing_ok=True)
        return answer.json() if answer else {}

    def image(self, image_id: str) -> Record | None:
        """Return an image, or None when it is not there."""
        answer = self._call("GET", f"/images/{image_id}", missing_ok=True)
        return answer.json() if answer else None

    def images(self, *hidden: bool, **query: str) -> Iterator[Record]:
        """Yield the images of the project that match *query*: those that are *hidden* or not, or both kinds."""
        for each in hidden or (False, True):
            page = self.show("/images", owner=self.project, os_hidden=str(each).lower(), **query)
            while True:
                yield from page["images"]
                if not page.get("next"):
                    break
                page = self.show(page["next"].removeprefix("/v2"))

    def create(self, fields: Record) -> None:
        """Make an image without data."""
        self._call("POST", "/images", json=dict(fields))

    def change(self, image_id: str, **fields: Any) -> None:
        """Replace fields or add properties, all at once."""
        changes = [{"op": "add", "path": f"/{name}", "value": value} for name, value in fields.items()]
        kind = "application/openstack-images-v2.1-json-patch"
        self._call("PATCH", f"/images/{image_id}", json=changes, headers={"Content-Type": kind})

    def upload(self, image_id: str, place: str, chunks: Chunks, size: int | None, store: str | None) -> None:
        """Send the data of an image to its ``file`` or ``stage``, once: nothing of it can be sent again."""
        headers = {"Content-Type": "application/octet-stream"}
        if store is not None:
            headers["X-Image-Meta-Store"] = store
        data = _Body(chunks, size) if size else chunks
        self._call(
            "PUT", f"/images/{image_id}/{place}", data=data, headers=headers,
            log=False, connect_retries=0, allow_reauth=False, redirect=False,
        )  # fmt: skip

    def import_image(self, image_id: str, request: Record, cancelled: threading.Event) -> None:
        """Let Glance import an image, and wait until it has. Raises ``StoreFailed`` when it has not."""
        self._call("POST", f"/images/{image_id}/import", json=dict(request))
        looks = 0
        while not self._is_imported(image_id, with_task=looks % _LOOKS == _LOOKS - 1):
            if cancelled.wait(_INTERVAL):
                return  # the next chunk or hook raises
            looks += 1

    def download(self, image_id: str) -> Chunks:
        """Yield the data of an image."""
        with self._call("GET", f"/images/{image_id}/file", stream=True) as answer:
            yield from answer.iter_content(_PIECE)

    def delete(self, image_id: str) -> None:
        """Delete an image, which may be gone."""
        self._call("DELETE", f"/images/{image_id}", missing_ok=True)

    def _is_imported(self, image_id: str, *, with_task: bool) -> bool:
        """Whether the import has ended. A failure may leave the lock on the image, but not its task running."""
        found = self.image(image_id) or {}
        if _LOCK in found and not (with_task and self._failure(image_id)):
            return False
        if found.get("status") != "active" or found.get("os_glance_failed_import"):
            why = self._failure(image_id) or f"the image is {found.get('status', 'gone')}"
            raise StoreFailed(
                f"Glance could not import image {image_id}: {printable(why)[:500]}",
                hint="look at the log of that Glance, and whether its import method and its stores work",
            )
        return True

    def _failure(self, image_id: str) -> str:
        """Return why the last task of an image failed, or an empty text."""
        tasks: Iterable[Record] = self.show(f"/images/{image_id}/tasks")["tasks"]
        last = max(tasks, key=lambda task: str(task["created_at"]), default={})
        return str(last.get("message") or "its task failed") if last.get("status") == "failure" else ""

    def _call(self, method: str, path: str, *, missing_ok: bool = False, **options: Any) -> requests.Response:
        """Return the answer to a request; one without the image is false. Raises for every other refusal."""
        from openstack.exceptions import raise_from_response

        if method in _REPEATABLE:
            options = {"status_code_retries": _RETRIES, "retriable_status_codes": _PASSING, **options}
        answer: requests.Response = self._connection.image.request(path, method, **options)
        if not (missing_ok and answer.status_code == _NOT_FOUND):
            raise_from_response(answer)
        return answer


def stored_copy(found: Record, location: Location) -> StoredCopy:
    """Return an image as a copy; its digests are those that Glance has computed."""
    computed = {"md5": found.get("checksum"), str(found.get("os_hash_algo")): found.get("os_hash_value")}
    return StoredCopy(
        location=location,
        size=found.get("size"),
        digests={algorithm: digest for algorithm, digest in computed.items() if digest},
        modified=datetime.fromisoformat(found["updated_at"]),
    )
