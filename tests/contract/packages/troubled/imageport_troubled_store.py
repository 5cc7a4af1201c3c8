"""A file store that gets into the trouble a test asks for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import Field

from imageport import Chunks, Context, Image, ImageData, Location, PendingCopy, Plugin, StoreFailed, hookimpl
from imageport.values import StagedCopy
from imageport_builtin.file_store import FileStore, FileStoreConfig

Fault = Literal["begin", "middle", "end", "lie", "publish", "discard", "delete", "read"]


class TroubledConfig(FileStoreConfig):
    """Options of the file store, and the trouble."""

    faults: frozenset[Fault] = Field(default=frozenset(), description="Where this store fails.")
    repaired: Path | None = Field(default=None, description="File whose presence ends all faults.")
    wait_for: Path | None = Field(
        default=None, description="File to wait for before any data is taken, for a minute at most."
    )
    journal: Path | None = Field(default=None, description="File to note 'begin' and 'end' of writing in.")


class TroubledStore(Plugin[TroubledConfig]):
    """Keep images as the file store does, but for what the test breaks."""

    def __init__(self, config: TroubledConfig) -> None:
        super().__init__(config)
        self.files = FileStore(FileStoreConfig(directory=config.directory, mode=config.mode))

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        self._note("begin")
        try:
            self._fail("begin")
            copy = self.files.store_write(image.evolve(data=image.data.through(self._watched(ctx))), ctx)
        finally:
            self._note("end")
        try:
            self._fail("end")
        except StoreFailed:
            copy.discard()
            raise

        def publish() -> None:
            self._fail("publish")
            copy.publish()

        def discard() -> None:
            self._fail("discard")
            copy.discard()

        return StagedCopy(copy.location, copy.bytes_written + ("lie" in self.config.faults), publish, discard)

    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        self._fail("read")
        return self.files.store_read(location, ctx)

    @hookimpl
    def store_delete(self, location: Location, ctx: Context) -> None:
        self._fail("delete")
        self.files.store_delete(location, ctx)

    def _fail(self, where: Fault) -> None:
        repaired = self.config.repaired is not None and self.config.repaired.exists()
        if where in self.config.faults and not repaired:
            raise StoreFailed(f"{self.config.directory.name} broke: {where}", hint="repair it")

    def _watched(self, ctx: Context) -> Callable[[Chunks], Chunks]:
        def watched(pieces: Chunks) -> Chunks:
            for number, piece in enumerate(pieces):
                if number == 0:
                    self._wait(ctx)
                yield piece
                self._fail("middle")

        return watched

    def _wait(self, ctx: Context) -> None:
        give_up = time.monotonic() + 60
        while self.config.wait_for is not None and not self.config.wait_for.exists():
            ctx.check_cancelled()
            if time.monotonic() > give_up:
                raise StoreFailed(f"no test let {self.config.directory.name} go", hint="see the test")
            time.sleep(0.01)

    def _note(self, what: str) -> None:
        if self.config.journal is not None:
            descriptor = os.open(self.config.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{what} {self.config.directory.name}\n".encode())
            os.close(descriptor)
