"""Images of every kind, small, and the same in every run."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

MIB = 1 << 20
_SIZE = 3 * MIB


class Inputs:
    """Makes images in *folder*, each when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> Path:
        """Return the image called *name*."""
        path = self._folder / name
        if not path.exists():
            _MAKERS[name](path, self)
        return path


def _data(path: Path, inputs: Inputs) -> None:
    content = bytearray(_SIZE)
    content[MIB : 2 * MIB] = random.Random(3).randbytes(MIB)
    path.write_bytes(content)


def _partitioned(path: Path, inputs: Inputs) -> None:
    path.write_bytes(_boot_record(flag=0x80) + inputs["data"].read_bytes()[512:])


def _bad_boot_flag(path: Path, inputs: Inputs) -> None:
    path.write_bytes(_boot_record(flag=0x7F) + inputs["data"].read_bytes()[512:])


def _boot_record(*, flag: int) -> bytes:
    entry = struct.pack("<B3sB3sII", flag, b"\0\x02\0", 0x83, b"\xfe\xff\xff", 2048, 2048)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _converted(target: str, *options: str) -> Callable[[Path, Inputs], None]:
    def make(path: Path, inputs: Inputs) -> None:
        _run("qemu-img", "convert", "-f", "raw", "-O", target, *options, inputs["data"], path)

    return make


def _with_backing_file(path: Path, inputs: Inputs) -> None:
    _run("qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", inputs["data"], path)


def _with_data_file(path: Path, inputs: Inputs) -> None:
    outside = path.with_suffix(".outside")
    _run("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={outside},data_file_raw=on", path, "3M")


def _iso(path: Path, inputs: Inputs) -> None:
    _run("genisoimage", "-quiet", "-o", path, inputs["data"])


def _hybrid_iso(path: Path, inputs: Inputs) -> None:
    path.write_bytes(_boot_record(flag=0x80) + inputs["iso"].read_bytes()[512:])


def _gzip(of: str) -> Callable[[Path, Inputs], None]:
    return lambda path, inputs: _write(path, gzip.compress(inputs[of].read_bytes(), mtime=0))


def _truncated_gzip(path: Path, inputs: Inputs) -> None:
    path.write_bytes(inputs["data.gz"].read_bytes()[:-100_000])


def _zip(*members: str) -> Callable[[Path, Inputs], None]:
    def make(path: Path, inputs: Inputs) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, member in enumerate(members):
                archive.writestr(zipfile.ZipInfo(f"disk{number}.img"), inputs[member].read_bytes())

    return make


def _lha(path: Path, inputs: Inputs) -> None:
    _run("jlha", "aq", path, inputs["data"])


def _odd(path: Path, inputs: Inputs) -> None:
    path.write_bytes(inputs["data"].read_bytes()[: 2 * MIB + 7])


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


_MAKERS: dict[str, Callable[[Path, Inputs], None]] = {
    "data": _data,
    "odd": _odd,
    "empty": lambda path, _: _write(path, b""),
    "partitioned": _partitioned,
    "bad-boot-flag": _bad_boot_flag,
    "qcow2": _converted("qcow2"),
    "compressed.qcow2": _converted("qcow2", "-c"),
    "extended-l2.qcow2": _converted("qcow2", "-o", "extended_l2=on,cluster_size=128k"),
    "stream.vmdk": _converted("vmdk", "-o", "subformat=streamOptimized"),
    "sparse.vmdk": _converted("vmdk", "-o", "subformat=monolithicSparse"),
    "vdi": _converted("vdi"),
    "vhdx": _converted("vhdx"),
    "vhd": _converted("vpc"),
    "backing.qcow2": _with_backing_file,
    "data-file.qcow2": _with_data_file,
    "iso": _iso,
    "hybrid.iso": _hybrid_iso,
    "data.gz": _gzip("data"),
    "qcow2.gz": _gzip("qcow2"),
    "truncated.gz": _truncated_gzip,
    "data.zip": _zip("data"),
    "two.zip": _zip("data", "qcow2"),
    "lha": _lha,
}
