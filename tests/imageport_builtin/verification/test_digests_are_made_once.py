"""A digest that a check computes is that of the stored bytes, too, when nothing comes between them."""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import pytest
from tests.imageport_builtin.verification.imports import UNPACK, Imports
from tests.noise import noise
from tests.plugin_folder import PluginFolder

DISK = noise(1 << 20) + bytes(1 << 20)
PACKED = gzip.compress(DISK, 1)
STORED = {name: hashlib.new(name, DISK).hexdigest() for name in ("md5", "sha512")}

MEDDLING = """
    from imageport import NoConfig, Plugin, hookimpl


    class Meddling(Plugin[NoConfig]):
        '''Declare that no bytes change, and change bytes.'''

        @hookimpl
        def transform(self, image):
            def meddle(chunks):
                for piece in chunks:
                    yield bytes(piece).replace(piece[:16], b"meddled with it!")

            return image.evolve(data=image.data.tapped(meddle))
"""


def sha512(body: bytes) -> str:
    return f"sha512:{hashlib.sha512(body).hexdigest()}"


def check(body: bytes) -> str:
    return f"{{use: checksum, with: {{expected: '{sha512(body)}'}}}}"


@pytest.fixture
def published(imports: Imports) -> Imports:
    imports.publish({"disk.raw": DISK, "disk.raw.gz": PACKED})
    return imports


@pytest.mark.parametrize("max_parallel_stores", [None, 1])
@pytest.mark.parametrize(
    ("source", "steps"),
    [
        (f"checksum: '{sha512(DISK)}'", ""),
        ("", check(DISK)),
        (f"checksum: '{sha512(DISK)}'", f"{check(DISK)}, {UNPACK}"),
    ],
    ids=["by the method", "by a step", "by both, and a step that has nothing to do"],
)
def test_of_the_same_bytes(
    published: Imports, source: str, steps: str, max_parallel_stores: int | None
) -> None:
    if max_parallel_stores is not None:
        with (published.folder / "imageport.yaml").open("a") as site:
            site.write(f"limits: {{max_parallel_stores: {max_parallel_stores}}}\n")
    published.pipeline(source=source, steps=steps)
    report = published("disk.raw")
    assert report["digests"] == STORED
    assert "md5" in report["waited_for"]
    # Where stores have to wait, the digest is that of the file that they read.
    assert ("sha512" in report["waited_for"]) == (max_parallel_stores == 1)


def test_of_other_bytes_both_are_made(published: Imports) -> None:
    published.pipeline(source=f"checksum: '{sha512(PACKED)}'", steps=UNPACK)
    report = published("disk.raw.gz")
    assert report["digests"] == STORED
    assert {"md5", "sha512"} <= set(report["waited_for"])


def test_what_a_step_does_to_checked_bytes_shows_in_the_digests_of_the_stored_ones(
    published: Imports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = PluginFolder(tmp_path / "site-packages")
    folder.install("meddling", {"meddling": "meddling:Meddling"}, {"meddling": MEDDLING})
    monkeypatch.syspath_prepend(str(folder.folder))
    published.pipeline(source=f"checksum: '{sha512(DISK)}'", steps="{use: meddling}")
    report = published("disk.raw")
    sys.modules.pop("meddling", None)
    [stored, _] = published.stored()
    assert stored != DISK
    assert report["digests"] == {name: hashlib.new(name, stored).hexdigest() for name in ("md5", "sha512")}
