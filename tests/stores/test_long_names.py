"""A name that the file system cannot hold is refused before a byte of the image is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageport import Image, ImageData, ImageRecord, StoreFailed
from imageport.stores import FolderStore, FolderStoreConfig
from imageport.testing.contexts import make_context

ID = "8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01"


class ByName(FolderStore[FolderStoreConfig]):
    """Name files as their images are called."""

    def file_name(self, image: Image) -> str:
        """Return the name of the image."""
        return image.record.name or ""


@pytest.mark.parametrize("letter", ["a", "ä"], ids=["one byte", "two bytes"])
def test_a_long_name_is_refused_before_the_data_is_read(tmp_path: Path, letter: str) -> None:
    def chunks() -> object:
        pytest.fail("the data was read")

    ctx = make_context(tmp_path, step="store", image_id=ID, announce_location=lambda *_: None)
    store = ByName(FolderStoreConfig(directory=tmp_path / "images"))
    name = letter * (250 // len(letter.encode()))
    image = Image(ImageRecord(id=ID, name=name), ImageData.from_chunks(chunks))  # type: ignore[arg-type]
    with pytest.raises(StoreFailed, match=r"bytes too long for .*/images") as caught:
        store.store_write(image, ctx)
    assert caught.value.hint == "give the image a shorter name"
    assert list((tmp_path / "images").iterdir()) == []
