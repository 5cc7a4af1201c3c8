"""Real images in real archives come out byte for byte as independent tools make them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.noise import noise

from imageport.catalog import Catalog
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site import Site
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import make_plan
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

DISK_SIZE = 5 << 20

PIPELINE = """
name: round-trip
source: {use: glance-direct}
steps:
  - use: image_decompression
  - use: image_conversion
    with: {output_format: raw}
stores:
  - {use: file, id: one, with: {directory: "{var.folder}/one"}}
  - {use: file, id: two, with: {directory: "{var.folder}/two"}}
"""

FORMATS = {
    "raw": [],
    "qcow2": ["-O", "qcow2", "-c"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vdi": ["-O", "vdi"],
    "vhd": ["-O", "vpc", "-o", "force_size=on"],
    "vhd-fixed": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
    "vhdx": ["-O", "vhdx"],
    "iso": [],
}


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(part) for part in command], check=True, cwd=cwd, stdout=subprocess.DEVNULL)


def _stdout_to(target: Path, *command: str | Path) -> Path:
    with target.open("wb") as file:
        subprocess.run([str(part) for part in command], check=True, stdout=file)
    return target


def _filter(tool: str, *options: str) -> Callable[[Path, Path], Path]:
    return lambda source, folder: _stdout_to(folder / "packed", tool, *options, "-c", source)


def _archive(*command: str) -> Callable[[Path, Path], Path]:
    def pack(source: Path, folder: Path) -> Path:
        _run(*command, folder / "packed", source.name, cwd=source.parent)
        found = [path for path in folder.iterdir() if path.name.startswith("packed")]
        return found[0]

    return pack


def _zip(source: Path, folder: Path) -> Path:
    _run("zip", "-q", folder / "packed.zip", source.name, cwd=source.parent)
    return folder / "packed.zip"


def _lha(source: Path, folder: Path) -> Path:
    _run("jlha", "ao5q", folder / "packed.lzh", source.name, cwd=source.parent)
    return folder / "packed.lzh"


COMPRESSIONS: dict[str, Callable[[Path, Path], Path]] = {
    "plain": lambda source, folder: source,
    "gzip": _filter("gzip", "-1"),
    "xz": _filter("xz", "-0"),
    "bzip2": _filter("bzip2", "-1"),
    "zstd": _filter("zstd", "-q", "-1"),
    "zip": _zip,
    "lha": _lha,
    "7z": _archive("7z", "a", "-bd", "-bso0", "-mx=1"),
    "tar": _archive("tar", "-cf"),
    "tar.gz": _archive("tar", "--use-compress-program=gzip -1", "-cf"),
    "tar.xz": _archive("tar", "--use-compress-program=xz -0", "-cf"),
}


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return one image of every format, made by qemu-img and genisoimage, with their raw original as ``original``."""
    folder = tmp_path_factory.mktemp("images")
    original = folder / "original"
    with original.open("wb") as file:
        file.truncate(DISK_SIZE)
        file.seek(1 << 20)
        file.write(noise(1 << 20))
        file.seek(3 << 20)
        file.write(b"a line that compresses well\n" * 20_000)
    made = {"original": original}
    for name, options in FORMATS.items():
        made[name] = folder / f"disk.{name}"
        if options:
            _run("qemu-img", "convert", "-f", "raw", *options, original, made[name])
    shutil.copy(original, made["raw"])
    (folder / "tree").mkdir()
    (folder / "tree" / "readme").write_bytes(noise(500_000))
    _run("genisoimage", "-quiet", "-R", "-o", made["iso"], folder / "tree")
    return made


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("disk_format", FORMATS)
def test_the_stored_bytes_are_those_of_an_independent_tool(
    images: dict[str, Path], tmp_path: Path, compression: str, disk_format: str
) -> None:
    (tmp_path / "packed").mkdir()
    upload = COMPRESSIONS[compression](images[disk_format], tmp_path / "packed")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    site = Site.model_validate({"staging": {"directory": tmp_path / "staging"}})
    registry = PluginRegistry.installed()
    plan = make_plan(
        load_pipeline(
            tmp_path / "pipeline.yaml",
            site=site,
            registry=registry,
            source_uri=str(upload),
            variables={"folder": str(tmp_path)},
        )
    )
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    with Interruption() as interruption:
        request = ImportRequest(caller=Caller(user="tester"))
        report = Importer(site, catalog, registry, interruption).run(plan, request)
    catalog.close()

    assert report.error is None
    expected = images["iso" if disk_format == "iso" else "original"].read_bytes()
    record = report.image
    assert record is not None
    for store in ("one", "two"):
        assert (tmp_path / store / record.id).read_bytes() == expected
    assert record.os_hash_value == hashlib.sha512(expected).hexdigest()
    assert record.checksum == hashlib.md5(expected).hexdigest()
    assert record.disk_format == ("iso" if disk_format == "iso" else "raw")
    assert record.size == record.virtual_size == len(expected)
    assert upload.exists()
    assert not list((tmp_path / "staging").iterdir())
