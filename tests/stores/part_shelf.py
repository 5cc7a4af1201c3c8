"""A store in parts whose server is in memory, and which fails where a test wants it to."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import md5

from imageport import Image, ImageData, NoConfig
from imageport.context import Context
from imageport.stores import PartStore, StoredObject, retry


class Busy(Exception):
    """The server has no time for a call."""


class Refused(Exception):
    """The server refuses a call."""


@dataclass
class Upload:
    """An upload that is not completed."""

    key: str
    token: str
    parts: dict[int, bytes] = field(default_factory=dict)


class Server:
    """An object server: ``faults`` has what a call of that name does first, ``lost`` names calls without an answer, and
    with ``forgets`` it keeps no bytes."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, Upload] = {}
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, Callable[[], None]] = {}
        self.lost: set[str] = set()
        self.forgets = False
        self.lock = threading.Lock()

    def call(self, name: str) -> None:
        with self.lock:
            self.calls[name] += 1
        self.faults.get(name, lambda: None)()

    def answer(self, name: str) -> None:
        if name in self.lost:
            self.lost.discard(name)
            raise Busy("the answer is lost")

    @property
    def traces(self) -> list[str]:
        return sorted([*self.objects, *self.uploads])


class PartShelf(PartStore[NoConfig]):
    """Keep images in the memory of a server."""

    server = Server()
    errors = {Busy: retry("wait"), Refused: "ask the owner of the shelf"}
    part_size = 1 << 20
    in_flight = 3
    max_parts = 40
    root = "shelf://one/"

    def key(self, image: Image) -> str:
        return f"images/{image.record.id}"

    def begin(self, key: str, token: str, image: Image) -> str:
        self.server.call("begin")
        upload = f"upload-{self.server.calls['begin']}"
        self.server.uploads[upload] = Upload(key, token)
        self.server.answer("begin")
        return upload

    def put(self, key: str, upload: str, number: int, offset: int, part: bytearray) -> str:
        self.server.call("put")
        with self.server.lock:
            self.server.uploads[upload].parts[number] = b"" if self.server.forgets else bytes(part)
        self.server.answer("put")
        return md5(part).hexdigest()

    def complete(self, key: str, upload: str, receipts: Sequence[str]) -> str:
        self.server.call("complete")
        if upload not in self.server.uploads:
            raise Refused("no such upload")
        if key in self.server.objects:
            raise Refused("there already")
        gone = self.server.uploads.pop(upload)
        parts = [gone.parts[number] for number in range(1, len(receipts) + 1)]
        assert [md5(part).hexdigest() for part in parts] == list(receipts)
        self.server.objects[key] = (gone.token, b"".join(parts))
        self.server.answer("complete")
        return _version(b"".join(parts))

    def abort(self, key: str, upload: str | None) -> None:
        self.server.call("abort")
        found = self.server.uploads
        empty = [name for name, one in found.items() if one.key == key and not one.parts]
        for name in [upload] if upload else empty:
            found.pop(name, None)

    def head(self, key: str) -> StoredObject | None:
        self.server.call("head")
        if key not in self.server.objects:
            return None
        token, content = self.server.objects[key]
        return StoredObject(size=len(content), token=token, version=_version(content))

    def get(self, key: str, stored: StoredObject, ctx: Context) -> ImageData:
        self.server.call("get")
        content = self.server.objects[key][1]
        return ImageData.from_chunks(lambda: iter([content]), size=len(content))

    def remove(self, key: str) -> None:
        self.server.call("remove")
        self.server.objects.pop(key, None)

    def keys(self) -> Iterable[str]:
        self.server.call("keys")
        return list(self.server.objects)


def _version(content: bytes) -> str:
    return md5(content).hexdigest()
