from __future__ import annotations

from pathlib import Path

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import Context, Image, NoConfig, PendingCopy, hookimpl
from imageport_builtin.glance_direct import GlanceDirect

CONTENT = b"disk\0" * 1000


class Asking(Shelf):
    """Note which size is known when writing begins."""

    size: int | None = -1

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        self.size = image.data.size
        return super().store_write(image, ctx)


@pytest.mark.parametrize("at_once", [0, 1])
def test_a_store_knows_the_size_before_it_reads_a_byte(desk: Desk, tmp_path: Path, at_once: int) -> None:
    """A store of objects needs it to choose the size of the parts that it uploads."""
    limits = desk.site.limits.model_copy(update={"max_parallel_stores": at_once})
    desk.site = desk.site.model_copy(update={"limits": limits})
    disk = tmp_path / "disk.raw"
    disk.write_bytes(CONTENT)
    one, two = Asking("one"), Asking("two")
    report = desk.run(GlanceDirect(NoConfig()), one, two, uri=str(disk))
    assert report.error is None
    assert (one.size, two.size) == (len(CONTENT), len(CONTENT))


def test_an_unknown_size_is_reported_as_such(desk: Desk) -> None:
    one = Asking("one")
    report = desk.run(Bytes(CONTENT), one)
    assert report.error is None
    assert one.size is None
