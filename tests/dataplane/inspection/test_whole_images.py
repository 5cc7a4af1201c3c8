"""Images that qemu-img writes are whole; cut or changed ones are never taken for whole and read otherwise."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imageport.dataplane import FormatInspection, ImageFormat, inspect_file
from imageport.dataplane.inspection import needs_file

KIB, MIB = 1 << 10, 1 << 20

#: Sizes that are not a whole number of clusters, grains or blocks.
SIZES = (70 * KIB, 5 * MIB + 512)


def disk(size: int, seed: int = 1) -> bytes:
    """Return a disk with noise, zeros and something that compresses well."""
    source = random.Random(seed)
    content = bytearray(size)
    for start in range(0, size, 256 * KIB):
        piece = source.choice([source.randbytes(100 * KIB), b"compressible " * 9000, b""])
        content[start : start + len(piece)] = piece
    content[-700:] = source.randbytes(700)
    return bytes(content[:size])


#: The options of qemu-img for every kind of image that it writes in one file.
KINDS = {
    "qcow2": "qcow2",
    "qcow2 v2": "qcow2 -o compat=0.10",
    "qcow2 compressed": "qcow2 -c",
    "qcow2 zstd": "qcow2 -c -o compression_type=zstd",
    "qcow2 small clusters": "qcow2 -o cluster_size=512",
    "qcow2 small compressed clusters": "qcow2 -c -o cluster_size=512",
    "qcow2 large clusters": "qcow2 -o cluster_size=2M",
    "qcow2 extended l2": "qcow2 -o extended_l2=on",
    "qcow2 extended l2 compressed": "qcow2 -c -o extended_l2=on,cluster_size=128k",
    "qcow2 lazy refcounts": "qcow2 -o lazy_refcounts=on",
    "qcow2 metadata preallocated": "qcow2 -o preallocation=metadata",
    "qcow2 falloc": "qcow2 -o preallocation=falloc",
    "qcow2 full": "qcow2 -o preallocation=full",
    **{f"qcow2 {bits}-bit refcounts": f"qcow2 -o refcount_bits={bits}" for bits in (1, 2, 4, 8, 32, 64)},
    "vmdk sparse": "vmdk -o subformat=monolithicSparse",
    "vmdk sparse v6": "vmdk -o subformat=monolithicSparse,compat6=on",
    "vmdk sparse zeroed": "vmdk -o subformat=monolithicSparse,zeroed_grain=on",
    "vmdk stream": "vmdk -o subformat=streamOptimized",
    "vdi": "vdi",
    "vdi static": "vdi -o static=on",
    "vhd": "vpc -o subformat=dynamic",
    "vhd size kept": "vpc -o subformat=dynamic,force_size=on",
    "vhd fixed": "vpc -o subformat=fixed",
    "vhd fixed size kept": "vpc -o subformat=fixed,force_size=on",
    "vhdx": "vhdx",
    "vhdx small blocks": "vhdx -o block_size=1M",
    "vhdx fixed": "vhdx -o subformat=fixed",
    "vhdx without zero blocks": "vhdx -o block_state_zero=off",
    "vhdx fixed without zero blocks": "vhdx -o subformat=fixed,block_state_zero=off",
}

#: Those whose tables lead back, so that a stream is not enough.
FILES_ONLY = {"vmdk stream"}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Make an image of a disk of some size, once; it must not be changed."""
    folder = tmp_path_factory.mktemp("whole")

    def made(kind: str, size: int = SIZES[1]) -> Path:
        path = folder / f"{kind} {size}".replace(" ", "-")
        if not path.exists():
            source = folder / str(size)
            source.write_bytes(disk(size))
            subprocess.run(
                ["qemu-img", "convert", "-f", "raw", "-O", *KINDS[kind].split(), source, path], check=True
            )
        return path

    return made


def as_stream(content: bytes, cut: int = 100_000) -> ImageFormat:
    inspection = FormatInspection()
    for start in range(0, len(content), cut):
        inspection.feed(content[start : start + cut])
    return inspection.finish()


def both_ways(content: bytes, path: Path) -> Iterator[ImageFormat]:
    """Yield what *content* is found to be as a file and, where that suffices, as a stream."""
    path.write_bytes(content)
    yield inspect_file(path)
    if not needs_file(content[: 64 * KIB]):
        yield as_stream(content)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_image_that_qemu_writes_is_whole(
    kind: str, size: int, make: Callable[..., Path], tmp_path: Path
) -> None:
    found = list(both_ways(make(kind, size).read_bytes(), tmp_path / "image"))

    assert len(found) == (1 if kind in FILES_ONLY else 2)
    for one in found:
        assert one.faults == ()
        assert one.virtual_size is not None
        assert one.virtual_size >= size


def drivers_name(kind: str) -> str:
    """Return what qemu calls the format of *kind*."""
    return KINDS[kind].partition(" ")[0]


def read_by_qemu(path: Path, driver: str) -> bytes | None:
    """Return the disk that qemu-img reads out of an image, None when it does not."""
    raw = path.with_suffix(".raw")
    # The size in the footer of a vhd counts, not its geometry.
    image = f"driver={driver},file.driver=file,file.filename={path}"
    image += ",force_size_calc=current_size" if driver == "vpc" else ""
    done = subprocess.run(
        ["qemu-img", "convert", "--image-opts", image, "-O", "raw", raw], check=False, capture_output=True
    )
    return raw.read_bytes() if done.returncode == 0 else None


def cuts(size: int, seed: int) -> list[int]:
    """Return lengths to cut an image of *size* bytes to: near its end, near round places, and anywhere."""
    source = random.Random(seed)
    near_the_end = [size - cut for cut in (1, 2, 100, 511, 512, 513, 4096, 65535, 65536, 65537, 1 << 20)]
    round_places = [
        place + change for place in (512, 4096, 64 * KIB, MIB, 2 * MIB, 3 * MIB) for change in (-1, 0, 1)
    ]
    anywhere = [source.randrange(1, size) for _ in range(8)]
    return sorted({length for length in (*near_the_end, *round_places, *anywhere) if 0 < length < size})


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_was_cut_off_is_refused_or_has_all_of_its_disk(
    kind: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    content = make(kind).read_bytes()
    path = tmp_path / "cut"
    accepted = 0
    for length in cuts(len(content), seed=len(kind)):
        for found in both_ways(content[:length], path):
            if found.faults or found.name == "raw":
                continue
            accepted += 1
            assert (read_by_qemu(path, drivers_name(kind)) or b"")[: SIZES[1]] == disk(SIZES[1]), length
    # Only what lies behind the data may be missing.
    assert accepted <= 12


def test_the_message_for_a_cut_image_has_both_lengths(make: Callable[..., Path]) -> None:
    content = make("vdi").read_bytes()

    [fault] = as_stream(content[:-5000]).faults

    assert (fault.check, fault.kind) == ("length", "damaged")
    assert fault.reason == (
        f"it is not whole: the file has {len(content) - 5000} bytes, and the image needs {len(content)}"
        " (5000 bytes are missing)"
    )
    assert fault.hint == "get the image again, and compare its size with that of the original"


#: Where the header, the tables and the footers of each kind are.
METADATA = {
    "qcow2": [(0, 112), (64 * KIB, 8), (128 * KIB, 256), (192 * KIB, 8), (256 * KIB, 1024)],
    "qcow2 v2": [(0, 72), (64 * KIB, 8), (128 * KIB, 256), (192 * KIB, 8), (256 * KIB, 1024)],
    "qcow2 compressed": [(0, 112), (128 * KIB, 256), (192 * KIB, 8), (256 * KIB, 1024)],
    "qcow2 extended l2": [(0, 112), (128 * KIB, 256), (192 * KIB, 8), (256 * KIB, 1024)],
    "vdi": [(340, 52), (512, 24)],
    "vhd": [(0, 512), (512, 1024), (1536, 12), (-512, 512)],
    "vhd fixed": [(-512, 512)],
    "vhdx": [(64 * KIB, 4096), (128 * KIB, 4096), (192 * KIB, 128), (3 * MIB, 64)],
    "vmdk sparse": [(0, 80), (21 * 512, 8), (22 * 512, 512), (26 * 512, 8), (27 * 512, 512)],
    "vmdk stream": [(0, 80), (21 * 512, 8), (22 * 512, 512), (26 * 512, 8), (27 * 512, 512)],
}


@pytest.mark.parametrize("kind", METADATA)
def test_an_image_with_a_changed_table_is_refused_or_still_has_its_disk(
    kind: str, make: Callable[..., Path], tmp_path: Path
) -> None:
    whole = make(kind).read_bytes()
    driver, path, source = drivers_name(kind), tmp_path / "flipped", random.Random(kind)
    for _ in range(60):
        content = bytearray(whole)
        start, length = source.choice(METADATA[kind])
        place = (start % len(content)) + source.randrange(length)
        content[place] ^= 1 << source.randrange(8)
        # What has lost its magic number looks like the raw disk that it then is to qemu, too.
        if all(found.faults or found.name == "raw" for found in both_ways(bytes(content), path)):
            continue
        changed = f"byte {place}: {whole[place]:#x} to {content[place]:#x}"
        assert opened_by_qemu(path, driver), changed
        if place not in SIZE_FIELDS:
            assert read_by_qemu(path, driver) == read_by_qemu(make(kind), driver), changed


#: A size that fits the tables as well as the right one cannot be found out.
SIZE_FIELDS = frozenset({*range(24, 32), *range(368, 376)})


def opened_by_qemu(path: Path, driver: str) -> bool:
    return not subprocess.run(
        ["qemu-img", "info", "-f", driver, path], check=False, capture_output=True
    ).returncode


#: How disks are made on which a machine then works.
EMPTY = {
    "qcow2": "qcow2",
    "qcow2 v2": "qcow2 -o compat=0.10",
    "qcow2 small clusters": "qcow2 -o cluster_size=512",
    "qcow2 extended l2": "qcow2 -o extended_l2=on",
    "vdi": "vdi",
    "vmdk": "vmdk -o subformat=monolithicSparse,zeroed_grain=on",
    "vhd": "vpc",
    "vhdx": "vhdx -o block_size=1M",
}


@pytest.mark.parametrize("kind", EMPTY)
def test_a_disk_on_which_a_machine_has_worked_is_whole(kind: str, tmp_path: Path) -> None:
    source, path, size = random.Random(kind), tmp_path / "disk", 12 * MIB + 512
    driver, *options = EMPTY[kind].split()
    subprocess.run(["qemu-img", "create", "-q", "-f", driver, *options, path, str(size)], check=True)
    for _ in range(3):
        commands = []
        for _ in range(8):
            start = 512 * source.randrange(size // 512)
            length = min(512 * source.choice([1, 8, 128, 3000]), size - start)
            what = source.choice(["write -P 7", "write -P 9", "write -z", "write -z -u", "discard"])
            commands += ["-c", f"{what} {start} {length}"]
        subprocess.run(["qemu-io", "-f", driver, *commands, path], check=False, stdout=subprocess.DEVNULL)
        if driver == "qcow2":
            subprocess.run(["qemu-img", "snapshot", "-c", str(source.random()), path], check=True)
            # The table grows beyond its cluster, and moves.
            size += 1 << 30
            subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", path, str(size)], check=False)

    for found in both_ways(path.read_bytes(), tmp_path / "copy"):
        assert found.faults == ()


@pytest.mark.parametrize("entries", [(1 << 20) + 1, (1 << 32) - 1])
def test_tables_that_would_take_much_memory_are_not_followed(
    entries: int, make: Callable[..., Path], tmp_path: Path
) -> None:
    content = bytearray(make("qcow2").read_bytes())
    content[36:40] = entries.to_bytes(4, "big")
    path = tmp_path / "huge"
    path.write_bytes(content)

    [fault] = inspect_file(path).faults

    assert (fault.kind, fault.reason) == (
        "unsupported",
        f"it has {entries} entries in its L1 table; 1048576 are followed",
    )


def test_a_stream_is_kept_up_to_the_first_table_and_no_further_than_8_mib(make: Callable[..., Path]) -> None:
    head = bytearray(make("qcow2").read_bytes()[: 64 * KIB])
    assert not needs_file(bytes(head))
    head[40:48] = (8 * MIB).to_bytes(8, "big")

    assert needs_file(bytes(head))
    inspection = FormatInspection()
    inspection.feed(bytes(head))
    [fault] = inspection.finish().faults
    assert fault.check == "order"
