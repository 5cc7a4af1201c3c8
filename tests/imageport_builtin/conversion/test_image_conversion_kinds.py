"""Every kind of image that can be asked for is written, and holds the bytes of the original."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from imageport import Image, TransformFailed
from imageport.dataplane import inspect_file
from imageport_builtin.image_conversion import ImageConversionConfig

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

Make = Callable[[str], Path]

MIB = 1 << 20
DRIVERS = {"vhd": "vpc"}

#: Values of every option, by format; None is an option that is left out.
VALUES: dict[str, dict[str, list[Any]]] = {
    "raw": {},
    "vdi": {},
    "vhd": {"subformat": [None, "dynamic", "fixed"]},
    "vhdx": {"subformat": [None, "dynamic", "fixed"]},
    "vmdk": {
        "subformat": [None, "streamOptimized", "monolithicSparse"],
        "adapter_type": [None, "ide", "lsilogic", "buslogic", "legacyESX"],
    },
    "qcow2": {
        "compat": [None, "0.10", "1.1"],
        "cluster_size": [None, 512, "2 MiB"],
        "compress": [False, True],
        "compression_type": [None, "zlib", "zstd"],
    },
}


def combinations() -> list[dict[str, Any]]:
    found = []
    for output_format, values in VALUES.items():
        for pad_to in (None, "1 MiB"):
            for chosen in product(*values.values()):
                options = {
                    "output_format": output_format,
                    "pad_to": pad_to,
                    **dict(zip(values, chosen, strict=True)),
                }
                given = {name: value for name, value in options.items() if value}
                if "compression_type" in given and "compress" not in given:
                    continue
                if given.get("compression_type") == "zstd" and given.get("compat") == "0.10":
                    continue
                found.append(given)
    return found


COMBINATIONS = combinations()
#: Pairs of a format and an option that does not belong to it.
MISPLACED = [
    (output_format, option, next(filter(None, values)))
    for option, values in {name: list(v) for group in VALUES.values() for name, v in group.items()}.items()
    for output_format in VALUES
    if option not in VALUES[output_format]
]


def named(options: object) -> str:
    return " ".join(map(str, options.values())) if isinstance(options, dict) else str(options)


@pytest.fixture(scope="session")
def odd_disk(tmp_path_factory: pytest.TempPathFactory, disk: Path) -> Path:
    """A raw disk whose size is a multiple of sectors, and of nothing larger."""
    path = tmp_path_factory.mktemp("odd") / "odd.raw"
    path.write_bytes(disk.read_bytes() + b"\x55" * 512)
    return path


def described(path: Path, image_format: str) -> dict[str, Any]:
    driver = DRIVERS.get(image_format, image_format)
    command = ["qemu-img", "info", "--output=json", "-f", driver, str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def disk_in(path: Path, image_format: str) -> bytes:
    back = path.parents[1] / "back.raw"
    driver = DRIVERS.get(image_format, image_format)
    subprocess.run(["qemu-img", "convert", "-f", driver, "-O", "raw", path, back], check=True)
    return back.read_bytes()


def stored(image: Image) -> Path:
    assert image.data.path
    return image.data.path


@pytest.mark.parametrize("options", COMBINATIONS, ids=named)
def test_every_kind_holds_the_disk(options: dict[str, Any], odd_disk: Path, bench: Bench) -> None:
    image = bench.convert(odd_disk, stream=True, **options)

    wanted = options["output_format"]
    size = odd_disk.stat().st_size
    padded = -(-size // MIB) * MIB if "pad_to" in options else size
    assert image.record.disk_format == wanted
    assert image.record.virtual_size == padded
    assert disk_in(stored(image), wanted) == odd_disk.read_bytes() + bytes(padded - size)
    assert bench.work_files() == [stored(image)]
    found = inspect_file(stored(image))
    assert (found.disk_format, found.virtual_size, found.unsafe) == (wanted, padded, ())
    assert_is_of_the_kind(stored(image), options)


def assert_is_of_the_kind(path: Path, options: dict[str, Any]) -> None:
    """Hold what is asked for against other readers: qemu-img info, and the bytes at their places in the standards."""
    wanted = options["output_format"]
    content = path.read_bytes()
    details = described(path, wanted).get("format-specific", {}).get("data", {})
    if wanted == "vhd":
        assert content[-512:-504] == b"conectix"
        assert content[-512:][60:64] == (
            b"\0\0\0\3" if options.get("subformat") == "dynamic" else b"\0\0\0\2"
        )
    if wanted == "vhdx":
        # A fixed one has room for every block.
        assert (
            len(content) > described(path, wanted)["virtual-size"] + 4 * MIB
        ) or "fixed" not in options.values()
    if wanted == "vmdk":
        assert details["create-type"] == options.get("subformat", "streamOptimized")
        adapter = options.get("adapter_type", "ide")
        assert f'ddb.adapterType = "{adapter}"'.encode() in content
    if wanted == "qcow2":
        assert details["compat"] == options.get("compat", "1.1")
        assert details.get("compression-type", "zlib") == options.get("compression_type", "zlib")
        sizes = {None: 64 << 10, "64 KiB": 64 << 10, 512: 512, "512 KiB": 512 << 10, "2 MiB": 2 << 20}
        assert described(path, wanted)["cluster-size"] == sizes[options.get("cluster_size")]


def test_the_footer_of_a_fixed_vhd_gives_the_padded_size_twice(odd_disk: Path, bench: Bench) -> None:
    image = bench.convert(odd_disk, output_format="vhd", subformat="fixed", pad_to="1 MiB")

    content = stored(image).read_bytes()
    assert len(content) == 5 * MIB + 512
    assert (
        int.from_bytes(content[-512:][40:48], "big")
        == int.from_bytes(content[-512:][48:56], "big")
        == 5 * MIB
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vhd dynamic", {"subformat": "fixed"}),
        ("vhd fixed", {"subformat": "dynamic"}),
        ("vhdx dynamic", {"subformat": "fixed"}),
        ("vhdx fixed", {"subformat": "dynamic"}),
        ("vmdk streamOptimized", {"subformat": "monolithicSparse"}),
        ("vmdk monolithicSparse", {"subformat": "streamOptimized"}),
        ("vmdk streamOptimized", {"adapter_type": "lsilogic"}),
        ("qcow2 v3", {"compat": "0.10"}),
        ("qcow2 v2", {"compat": "1.1"}),
        ("qcow2 v3", {"cluster_size": "512 KiB"}),
        ("qcow2 compressed", {"compress": True, "compression_type": "zstd"}),
        ("qcow2 zstd", {"compress": True, "compression_type": "zlib"}),
        ("vdi dynamic", {"pad_to": "3 MiB"}),
        ("vhd fixed", {"pad_to": "3 MiB"}),
    ],
    ids=named,
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "file"])
def test_an_image_of_the_format_but_of_another_kind_is_converted(
    kind: str, options: dict[str, Any], stream: bool, make: Make, bench: Bench
) -> None:
    wanted = kind.partition(" ")[0]

    image = bench.convert(make(kind), stream=stream, output_format=wanted, **options)

    assert stored(image).read_bytes() != make(kind).read_bytes()
    assert_is_of_the_kind(stored(image), {"output_format": wanted, **options})
    padding = bytes(2 * MIB) if "pad_to" in options else b""
    assert disk_in(stored(image), wanted) == bench.disk.read_bytes() + padding
    assert bench.work_files() == [stored(image)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("vhd dynamic", {"subformat": "dynamic"}),
        ("vhd fixed", {"subformat": "fixed", "pad_to": "1 MiB"}),
        ("vhdx dynamic", {"subformat": "dynamic"}),
        ("vhdx fixed", {"subformat": "fixed"}),
        ("vmdk streamOptimized", {"subformat": "streamOptimized", "adapter_type": "ide"}),
        ("vmdk monolithicSparse", {"subformat": "monolithicSparse"}),
        ("qcow2 v3", {"compat": "1.1", "cluster_size": "64 KiB"}),
        ("qcow2 v2", {"compat": "0.10"}),
        ("qcow2 zstd", {"compress": True, "compression_type": "zstd"}),
        ("vdi dynamic", {"pad_to": "1 MiB"}),
    ],
    ids=named,
)
def test_an_image_of_the_kind_keeps_its_bytes(
    kind: str, options: dict[str, Any], make: Make, bench: Bench
) -> None:
    image = bench.convert(make(kind), stream=True, output_format=kind.partition(" ")[0], **options)

    assert stored(image).read_bytes() == make(kind).read_bytes()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "file"])
@pytest.mark.parametrize("declared", [None, "raw"])
def test_a_raw_disk_that_stays_raw_is_padded(
    declared: str | None, stream: bool, odd_disk: Path, bench: Bench
) -> None:
    image = bench.convert(odd_disk, stream=stream, disk_format=declared, pad_to="1 MiB")

    content = b"".join(map(bytes, image.data.chunks()))
    assert (
        hashlib.sha256(content).digest() == hashlib.sha256(odd_disk.read_bytes() + bytes(MIB - 512)).digest()
    )


def test_a_raw_disk_of_the_right_size_is_passed_as_it_is(bench: Bench) -> None:
    assert bench.convert(bench.disk, pad_to="1 MiB").data.path == bench.disk


@pytest.mark.parametrize(("output_format", "option", "value"), MISPLACED, ids=named)
def test_an_option_of_another_format_is_refused(output_format: str, option: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"{option} needs output_format .*; it is {output_format}"):
        ImageConversionConfig(output_format=output_format, **{option: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output_format": "vmdk", "subformat": "fixed"},
            "subformat fixed needs output_format vhd or vhdx; a vmdk is streamOptimized or monolithicSparse",
        ),
        (
            {"output_format": "vhd", "subformat": "streamOptimized"},
            "subformat streamOptimized needs output_format vmdk; a vhd is fixed or dynamic",
        ),
        ({"output_format": "vmdk", "subformat": "monolithicFlat"}, "subformat"),
        ({"output_format": "vmdk", "subformat": "twoGbMaxExtentSparse"}, "subformat"),
        ({"output_format": "raw", "compat": "1.1"}, "compat needs output_format qcow2; it is raw"),
        ({"output_format": "qcow2", "compat": "2.0"}, "compat"),
        ({"output_format": "qcow2", "cluster_size": 1000}, "a power of two from 512 to 2097152"),
        ({"output_format": "qcow2", "cluster_size": "4 MiB"}, "a power of two from 512 to 2097152"),
        ({"output_format": "qcow2", "compression_type": "zstd"}, "compression_type needs compress: true"),
        (
            {"output_format": "qcow2", "compress": True, "compression_type": "zstd", "compat": "0.10"},
            "compression_type zstd needs compat 1.1; it is 0.10",
        ),
        ({"pad_to": 1000}, "pad_to must be a multiple of 512"),
        ({"pad_to": 0}, "pad_to"),
    ],
    ids=named,
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageConversionConfig(**options)


@pytest.mark.parametrize(("number", "word"), [(0.10, "0.10"), (1.1, "1.1")])
def test_versions_without_quotes_are_understood(number: float, word: str) -> None:
    assert ImageConversionConfig(output_format="qcow2", compat=number).compat == word


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"output_format": "vhd"}, "2041G", r"a vhd holds at most 2\.0 TiB"),
        ({"output_format": "vhd", "subformat": "fixed"}, "2041G", r"a vhd holds at most 2\.0 TiB"),
        ({"output_format": "vhdx"}, "65T", r"a vhdx holds at most 64\.0 TiB"),
        ({"output_format": "vdi"}, "513T", r"a vdi holds at most 512\.0 TiB"),
        (
            {"output_format": "qcow2", "cluster_size": 512},
            "129G",
            r"with clusters of 512 B holds at most 128\.0 GiB",
        ),
    ],
    ids=named,
)
def test_a_disk_that_the_format_cannot_hold_is_refused(
    options: dict[str, Any], size: str, message: str, bench: Bench, tmp_path: Path
) -> None:
    source = tmp_path / "large.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", source, size], check=True
    )
    bench.limit(image_size_cap=1 << 60)

    with pytest.raises(TransformFailed, match=message) as failure:
        bench.convert(source, **options)
    assert failure.value.hint.startswith("choose ")
    assert bench.work_files() == []
