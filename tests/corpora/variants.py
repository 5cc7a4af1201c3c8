"""Write one disk in every form that the usual tools write: each method, level, flag and header variant."""

from __future__ import annotations

import gzip
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from tests.corpora.contents import disk, write

Make = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Variant:
    """One form of the disk.

    ``make(raw, target)`` writes the disk in the file *raw* to *target*. ``supported`` is false for forms that an
    importer has to refuse by name. ``family`` groups forms that are damaged in the same way.
    """

    name: str
    family: str
    make: Make
    supported: bool = True


def variants() -> Iterator[Variant]:
    """Give every variant, in an order that never changes."""
    for group in (_frames, _zips, _seven_zips, _tars, _lha, _images, _raw, _layers, _unsupported):
        yield from group()


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {(done.stderr or done.stdout).decode(errors='replace')}")


def _piped(*command: str) -> Make:
    """Compress from standard input to standard output."""

    def make(raw: Path, target: Path) -> None:
        with raw.open("rb") as source, target.open("wb") as out:
            subprocess.run(command, stdin=source, stdout=out, check=True)

    return make


def _in_parts(make: Make, parts: int) -> Make:
    """Compress *parts* pieces of the disk apart, one stream behind the other."""

    def make_all(raw: Path, target: Path) -> None:
        content = raw.read_bytes()
        step = -(-len(content) // parts)
        packed = b""
        for start in range(0, len(content), step):
            piece, out = target.with_suffix(".piece"), target.with_suffix(".packed")
            piece.write_bytes(content[start : start + step])
            make(piece, out)
            packed += out.read_bytes()
            piece.unlink()
            out.unlink()
        target.write_bytes(packed)

    return make_all


def _with_bytes(make: Make, before: bytes = b"", after: bytes = b"") -> Make:
    def make_with(raw: Path, target: Path) -> None:
        make(raw, target)
        target.write_bytes(before + target.read_bytes() + after)

    return make_with


# ------------------------------------------------------------------------------------------------------ frames


def _frames() -> Iterator[Variant]:
    for level in range(1, 10):
        yield Variant(f"gzip-{level}", "gzip", _piped("gzip", f"-{level}"))
        yield Variant(f"bzip2-{level}", "bzip2", _piped("bzip2", f"-{level}"))
    yield Variant("gzip-rsyncable", "gzip", _piped("gzip", "--rsyncable"))
    for flags in range(16):
        yield Variant(f"gzip-header-{flags:04b}", "gzip", _gzip_with_header(flags << 1))
    for extreme, level in product(("", "e"), range(10)):
        yield Variant(f"xz-{level}{extreme}", "xz", _piped("xz", f"-{level}{extreme}"))
        yield Variant(f"lzma-{level}{extreme}", "lzma", _piped("xz", "--format=lzma", f"-{level}{extreme}"))
    for check in ("none", "crc32", "crc64", "sha256"):
        yield Variant(f"xz-check-{check}", f"xz-{check}", _piped("xz", "-0", f"--check={check}"))
        yield Variant(
            f"xz-blocks-{check}", "xz", _piped("xz", "-0", f"--check={check}", "--block-size=65536")
        )
    for chain in ("x86", "arm", "armthumb", "powerpc", "ia64", "sparc", "delta=dist=4"):
        yield Variant(f"xz-filter-{chain}", "xz", _piped("xz", f"--{chain}", "--lzma2=preset=0"))
    for lc, lp, pb in ((0, 0, 0), (4, 0, 0), (0, 4, 0), (2, 2, 4)):
        options = f"preset=0,lc={lc},lp={lp},pb={pb}"
        yield Variant(f"xz-{lc}{lp}{pb}", "xz", _piped("xz", f"--lzma2={options}"))
        yield Variant(f"lzma-{lc}{lp}{pb}", "lzma", _piped("xz", "--format=lzma", f"--lzma1={options}"))
    yield Variant("lzma-known-size", "lzma", _lzma_known_size)
    yield Variant("xz-threads", "xz", _piped("xz", "-0", "-T2"))
    for level in (*range(1, 20),):
        yield Variant(f"zstd-{level}", "zstd", _piped("zstd", "-q", f"-{level}"))
    for option in ("--fast=1", "--fast=5", "--no-check", "--check", "--long=24", "--rsyncable", "-T2", "--ultra",
                   "--no-content-size", "--adapt"):  # fmt: skip
        yield Variant(f"zstd{option}", "zstd", _piped("zstd", "-q", option))
    yield Variant("pzstd", "zstd", _piped("pzstd", "-q", "-p", "2", "-c"))
    for number in range(16):
        frame = bytes([0x50 + number]) + b"\x2a\x4d\x18" + struct.pack("<I", 7) + b"skipped"
        yield Variant(f"zstd-skippable-{number}", "zstd", _with_bytes(_piped("zstd", "-q"), before=frame))
        yield Variant(f"zstd-skippable-last-{number}", "zstd", _with_bytes(_piped("zstd", "-q"), after=frame))
    for bits in range(9, 17):
        compress = _piped("compress", "-c", "-f", "-b", str(bits))
        yield Variant(f"compress-{bits}", "foreign", compress, supported=False)
    tools = {"gzip": ("gzip",), "bzip2": ("bzip2",), "xz": ("xz", "-0"), "zstd": ("zstd", "-q")}
    for (tool, command), parts in product(tools.items(), (2, 3, 17)):
        yield Variant(f"{tool}-{parts}-streams", f"{tool}-streams", _in_parts(_piped(*command), parts))
    for tool, padding in (
        ("gzip", 1),
        ("gzip", 512),
        ("gzip", 10240),
        ("bzip2", 3),
        ("bzip2", 512),
        ("xz", 4),
        ("xz", 512),
    ):
        yield Variant(
            f"{tool}-padding-{padding}", tool, _with_bytes(_piped(*tools[tool]), after=bytes(padding))
        )


def _gzip_with_header(flags: int) -> Make:
    """Write the optional fields of RFC 1952: FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16."""

    def make(raw: Path, target: Path) -> None:
        import zlib

        packed = gzip.compress(raw.read_bytes(), 1, mtime=0)
        header = bytearray(packed[:10])
        header[3] = flags
        if flags & 4:
            header += struct.pack("<H", 6) + b"IP\x02\x00ok"
        if flags & 8:
            header += b"disk.raw\0"
        if flags & 16:
            header += b"a comment\0"
        if flags & 2:
            header += struct.pack("<H", zlib.crc32(bytes(header)) & 0xFFFF)
        target.write_bytes(bytes(header) + packed[10:])

    return make


def _lzma_known_size(raw: Path, target: Path) -> None:
    content = raw.read_bytes()
    packed = bytearray(lzma.compress(content, lzma.FORMAT_ALONE, preset=0))
    packed[5:13] = struct.pack("<Q", len(content))
    target.write_bytes(bytes(packed))


# -------------------------------------------------------------------------------------------------- zip and 7z


def _zips() -> Iterator[Variant]:
    for level in range(10):
        yield Variant(f"zip-{level}", "zip", _zip(f"-{level}"))
    for option in ("-Z=bzip2", "-Z=store", "-fz", "-fd", "-X", "-j", "-D", "-k", "-ws"):
        yield Variant(f"zip{option}", "zip", _zip(*option.split("=")))
    yield Variant("zip-streamed", "zip", _piped("zip", "-q", "-", "-"))
    yield Variant("zip-comment", "zip", _with_zipfile(zipfile.ZIP_DEFLATED, comment=b"c" * 700))
    for number, name in ((0, "stored"), (8, "deflated"), (12, "bzip2"), (14, "lzma")):
        yield Variant(f"zip-python-{name}", "zip", _with_zipfile(number))
        yield Variant(f"zip-python-{name}-zip64", "zip", _with_zipfile(number, zip64=True))
        yield Variant(f"zip-python-{name}-streamed", "zip", _with_zipfile(number, streamed=True))
    for method, level in product(("Copy", "Deflate", "Deflate64", "BZip2", "LZMA", "PPMd"), (1, 5, 9)):
        yield Variant(f"zip-7z-{method}-{level}", "zip", _seven_zip("-tzip", f"-mm={method}", f"-mx={level}"))
    yield Variant("zip-in-a-folder", "zip", _with_zipfile(zipfile.ZIP_DEFLATED, name="a/b/disk.raw"))
    yield Variant("zip-unicode-name", "zip", _with_zipfile(zipfile.ZIP_DEFLATED, name="dïsk-磁盘.raw"))
    yield Variant("zip-of-macos", "zip", _zip_of_macos)
    yield Variant("zip-spanned-marker", "zip", _spanned_zip)
    yield Variant("zip-encrypted", "encrypted", _zip("-P", "secret"), supported=False)
    yield Variant("zip-aes", "encrypted", _seven_zip("-tzip", "-psecret", "-mem=AES256"), supported=False)


def _zip(*options: str) -> Make:
    def make(raw: Path, target: Path) -> None:
        out = target.with_suffix(".zip")
        _run("zip", "-q", *options, out, raw.name, cwd=raw.parent)
        out.rename(target)

    return make


def _with_zipfile(
    method: int, *, zip64: bool = False, streamed: bool = False, comment: bytes = b"", name: str = "disk.raw"
) -> Make:
    def make(raw: Path, target: Path) -> None:
        out = io.BytesIO()
        sink: io.BufferedIOBase = _Unseekable(out) if streamed else out
        with zipfile.ZipFile(sink, "w", method) as archive:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(raw.read_bytes())
            archive.comment = comment
        target.write_bytes(out.getvalue())

    return make


class _Unseekable(io.BufferedIOBase):
    def __init__(self, out: io.BytesIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return self._out.write(data)  # type: ignore[arg-type]


def _zip_of_macos(raw: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(raw, "disk.raw")
        archive.writestr("__MACOSX/._disk.raw", b"\0\5\x16\7\0\2\0\0Mac OS X        ")
        archive.writestr(".DS_Store", b"\0\0\0\1Bud1")


def _spanned_zip(raw: Path, target: Path) -> None:
    _zip()(raw, target)
    out = target.with_suffix(".zip")
    out.write_bytes(b"PK00" + target.read_bytes())
    subprocess.run(["zip", "-q", "-A", out], check=True, capture_output=True)
    out.rename(target)


def _seven_zips() -> Iterator[Variant]:
    for method, level in product(("LZMA", "LZMA2", "PPMd", "BZip2", "Deflate", "Copy"), (1, 5, 9)):
        yield Variant(f"7z-{method}-{level}", "7z", _seven_zip(f"-m0={method}", f"-mx={level}"))
    for level in range(10):
        yield Variant(f"7z-{level}", "7z", _seven_zip(f"-mx={level}"))
    for chain in ("BCJ", "Delta:4", "ARM", "ARMT", "PPC", "IA64", "SPARC"):
        yield Variant(f"7z-filter-{chain}", "7z", _seven_zip(f"-m0={chain}", "-m1=LZMA2"))
    for option in ("-ms=off", "-mhc=off", "-mmt=off", "-mf=off", "-mtc=on"):
        yield Variant(f"7z{option}", "7z", _seven_zip(option))
    bcj2 = ("-m0=BCJ2", "-m1=LZMA:d20", "-m2=LZMA:d19", "-m3=LZMA:d19", "-mb0:1", "-mb0s1:2", "-mb0s2:3")
    yield Variant("7z-BCJ2", "foreign", _seven_zip(*bcj2), supported=False)
    yield Variant("7z-Deflate64", "7z", _seven_zip("-m0=Deflate64"))
    yield Variant("7z-encrypted", "encrypted", _seven_zip("-psecret"), supported=False)
    yield Variant("7z-encrypted-names", "encrypted", _seven_zip("-psecret", "-mhe=on"), supported=False)


def _seven_zip(*options: str) -> Make:
    def make(raw: Path, target: Path) -> None:
        out = target.with_name(target.name + (".zip" if "-tzip" in options else ".7z"))
        _run("7z", "a", "-bd", "-y", *options, out, raw.name, cwd=raw.parent)
        out.rename(target)

    return make


# --------------------------------------------------------------------------------------------------------- tar


def _tars() -> Iterator[Variant]:
    for form, sparse in product(("v7", "oldgnu", "gnu", "ustar", "pax"), (False, True)):
        if sparse and form in ("v7", "ustar"):
            continue
        options = (f"--format={form}", *(("-S",) if sparse else ()))
        yield Variant(f"tar-{form}{'-sparse' if sparse else ''}", f"tar-{form}", _tar(*options))
        for packer in ("-z", "-J", "-j", "--zstd"):
            yield Variant(f"tar-{form}{packer}{sparse}", "tar-packed", _tar(*options, packer))
    for version in ("0.0", "0.1", "1.0"):
        yield Variant(
            f"tar-sparse-{version}", "tar-sparse", _tar("--format=pax", "-S", f"--sparse-version={version}")
        )
    for option in (
        "-b1",
        "-b64",
        "--numeric-owner",
        "--posix",
        "--label=volume",
        "--sort=name",
        "--owner=x:99999999",
    ):
        yield Variant(f"tar{option}", "tar", _tar(option))
    for form in ("ustar", "pax", "gnutar", "v7"):
        yield Variant(f"bsdtar-{form}", "tar", _bsdtar(form))
    for number, name in (
        (tarfile.USTAR_FORMAT, "ustar"),
        (tarfile.GNU_FORMAT, "gnu"),
        (tarfile.PAX_FORMAT, "pax"),
    ):
        yield Variant(f"tar-python-{name}", "tar", _with_tarfile(number, "disk.raw"))
        if number != tarfile.USTAR_FORMAT:
            yield Variant(f"tar-python-{name}-long", "tar", _with_tarfile(number, "n" * 300 + ".raw"))
            yield Variant(f"tar-python-{name}-unicode", "tar", _with_tarfile(number, "dïsk-磁盘.raw"))
    yield Variant("tar-folder", "tar", _with_tarfile(tarfile.GNU_FORMAT, "a/disk.raw", folder="a"))
    yield Variant("tar-sparse-with-size", "tar-sparse", _tar_sparse_with_size(size_first=False))
    yield Variant("tar-sparse-size-first", "tar-sparse", _tar_sparse_with_size(size_first=True))


def _tar(*options: str) -> Make:
    def make(raw: Path, target: Path) -> None:
        _run("tar", *options, "-cf", target, "-C", raw.parent, raw.name)

    return make


def _bsdtar(form: str) -> Make:
    return lambda raw, target: _run("bsdtar", f"--format={form}", "-cf", target, "-C", raw.parent, raw.name)


def _with_tarfile(form: int, name: str, folder: str | None = None) -> Make:
    def make(raw: Path, target: Path) -> None:
        with tarfile.open(target, "w", format=form) as archive:
            if folder:
                info = tarfile.TarInfo(folder)
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            info = tarfile.TarInfo(name)
            info.size = raw.stat().st_size
            with raw.open("rb") as file:
                archive.addfile(info, file)

    return make


def _tar_sparse_with_size(*, size_first: bool) -> Make:
    """Write what GNU tar writes for a sparse file with more than 8 GiB of data: a pax record for its stored size."""

    def make(raw: Path, target: Path) -> None:
        content = raw.read_bytes()
        half, last = len(content) // 2, len(content) - 512
        pieces = [(0, half), (last, 512)]
        if content[half:last].strip(b"\0"):
            pieces = [(0, len(content))]
        table = f"{len(pieces)}\n" + "".join(f"{start}\n{size}\n" for start, size in pieces)
        stored = _padded(table.encode()) + b"".join(content[start : start + size] for start, size in pieces)
        sparse = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "disk.raw"),
                  ("GNU.sparse.realsize", str(len(content)))]  # fmt: skip
        size = [("size", str(len(stored)))]
        records = b"".join(
            _pax(key, value) for key, value in (size + sparse if size_first else sparse + size)
        )
        target.write_bytes(
            _tar_header("./PaxHeaders/disk.raw", len(records), b"x")
            + _padded(records)
            + _tar_header("./GNUSparseFile.0/disk.raw", 0, b"0")
            + _padded(stored)
            + bytes(1024)
        )

    return make


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def _pax(key: str, value: str) -> bytes:
    text = f" {key}={value}\n".encode()
    length = len(text) + 1
    while len(text) + len(str(length)) != length:
        length = len(text) + len(str(length))
    return f"{length}".encode() + text


def _tar_header(name: str, size: int, kind: bytes) -> bytes:
    header = bytearray(512)
    header[: len(name)] = name.encode()
    header[100:108] = b"0000644\0"
    header[108:124] = b"0000000\0" * 2
    header[124:148] = b"%011o\0" % size + b"%011o\0" % 0
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


# --------------------------------------------------------------------------------------------------------- LHA


def _lha() -> Iterator[Variant]:
    for method, level in product((5, 6, 7), (0, 1, 2)):
        yield Variant(f"lha-lh{method}-level{level}", "lha", _jlha(f"ao{method}{level}q"))
    for level in (0, 1, 2):
        yield Variant(f"lha-lh0-level{level}", "lha", _jlha(f"az{level}q"))
        yield Variant(f"lha-folder-level{level}", "lha", _jlha(f"a{level}q", folder="folder"))


def _jlha(command: str, folder: str = "") -> Make:
    def make(raw: Path, target: Path) -> None:
        out = target.with_suffix(".lzh")
        work = target.with_suffix(".lhadir")
        (work / folder).mkdir(parents=True)
        shutil.copy(raw, work / folder / "disk.raw")
        _run("jlha", command, out, str(Path(folder) / "disk.raw"), cwd=work)
        shutil.rmtree(work)
        out.rename(target)

    return make


# ------------------------------------------------------------------------------------------------------- disks


def _images() -> Iterator[Variant]:
    for size, compat in product((512, 4096, 65536, 2097152), ("0.10", "1.1")):
        yield _image("qcow2", f"cluster_size={size},compat={compat}")
        yield _image("qcow2", f"cluster_size={size},compat={compat}", compressed=True)
    for bits in (1, 2, 4, 8, 16, 32, 64):
        yield _image("qcow2", f"refcount_bits={bits}")
    for mode in ("off", "metadata", "falloc", "full"):
        yield _image("qcow2", f"preallocation={mode}")
        yield _image("qcow2", f"preallocation={mode},cluster_size=4096,lazy_refcounts=on")
    yield _image("qcow2", "compression_type=zstd", compressed=True)
    yield _image("qcow2", "compression_type=zstd,cluster_size=4096", compressed=True)
    yield _image("qcow2", "extended_l2=on,cluster_size=131072")
    yield _image("qcow2", "extended_l2=on,cluster_size=131072", compressed=True)
    yield _image("qcow2", "lazy_refcounts=on")
    for adapter in ("ide", "lsilogic", "buslogic", "legacyESX"):
        for subformat in ("monolithicSparse", "streamOptimized"):
            yield _image("vmdk", f"subformat={subformat},adapter_type={adapter}")
    yield _image("vmdk", "subformat=monolithicSparse,compat6=on")
    yield _image("vmdk", "subformat=monolithicSparse,zeroed_grain=on")
    yield _image("vmdk", "subformat=streamOptimized,hwversion=7")
    for static in ("on", "off"):
        yield _image("vdi", f"static={static}")
    for subformat in ("dynamic", "fixed"):
        yield _image("vpc", f"subformat={subformat},force_size=on")
        for block in (1, 8, 32):
            yield _image("vhdx", f"subformat={subformat},block_size={block << 20}")
        for zero in ("on", "off"):
            yield _image("vhdx", f"subformat={subformat},block_state_zero={zero}")
        yield _image("vhdx", f"subformat={subformat},log_size={2 << 20}")


def _image(driver: str, options: str, *, compressed: bool = False) -> Variant:
    def make(raw: Path, target: Path) -> None:
        flags = ["-c"] if compressed else []
        _run("qemu-img", "convert", "-q", "-f", "raw", "-O", driver, *flags, "-o", options, raw, target)

    return Variant(f"{driver}-{options}{'-c' if compressed else ''}", driver, make)


def _raw() -> Iterator[Variant]:
    yield Variant("raw", "raw", _copied)


def _copied(raw: Path, target: Path) -> None:
    shutil.copyfile(raw, target)


def _layers() -> Iterator[Variant]:
    """Give images inside of archives, and archives inside of each other."""
    images = {
        "qcow2": _image("qcow2", "cluster_size=4096"),
        "vmdk": _image("vmdk", "subformat=streamOptimized"),
        "vdi": _image("vdi", "static=off"),
        "vhd": _image("vpc", "force_size=on"),
        "vhdx": _image("vhdx", f"block_size={1 << 20}"),
    }
    packers: dict[str, Make] = {
        "gz": _piped("gzip", "-1"),
        "xz": _piped("xz", "-0"),
        "bz2": _piped("bzip2", "-1"),
        "zst": _piped("zstd", "-q", "-1"),
        "zip": _zip(),
        "7z": _seven_zip("-mx=1"),
        "tar": _tar(),
        "tar.gz": _tar("-z"),
    }
    for (form, image), (suffix, pack) in product(images.items(), packers.items()):
        yield Variant(f"{form}.{suffix}", "layers", _packed(image.make, pack))
    yield Variant("ova", "layers", _ova)
    yield Variant("ova-in-zip", "layers", _packed(_ova, _zip()))
    yield Variant("tar-in-zip", "layers", _packed(_tar(), _zip()))
    yield Variant("zip-in-xz", "layers", _packed(_zip(), _piped("xz", "-0")))


def _packed(make: Make, pack: Make) -> Make:
    def make_packed(raw: Path, target: Path) -> None:
        inner = target.with_suffix(".inner")
        make(raw, inner)
        pack(inner, target)
        inner.unlink()

    return make_packed


def _ova(raw: Path, target: Path) -> None:
    folder = target.with_suffix(".ova")
    folder.mkdir()
    (folder / "app.ovf").write_text("<Envelope/>\n")
    options = "subformat=streamOptimized"
    _run(
        "qemu-img", "convert", "-q", "-f", "raw", "-O", "vmdk", "-o", options, raw, folder / "app-disk1.vmdk"
    )
    _run("tar", "--format=ustar", "-cf", target, "-C", folder, "app.ovf", "app-disk1.vmdk")
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------------ refused by name


def _unsupported() -> Iterator[Variant]:
    for driver in ("qcow", "qed", "parallels"):
        yield Variant(driver, "foreign", _foreign(driver), supported=False)
    yield Variant("vmdk-flat-descriptor", "foreign", _descriptor, supported=False)
    yield Variant("lz4", "foreign", _piped("lz4", "-q", "-c"), supported=False)
    yield Variant("lzip", "foreign", _piped("lzip", "-c"), supported=False)
    yield Variant("cpio", "foreign", _bsdtar("cpio"), supported=False)
    yield Variant("newc", "foreign", _bsdtar("newc"), supported=False)
    for name, text in _DOCUMENTS.items():
        yield Variant(name, "document", _text(text), supported=False)


_DOCUMENTS = {
    "html": "<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not Found</body></html>\n",
    "json": '{"error": {"code": 404, "message": "no such image"}}\n',
    "xml": '<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>\n',
    "lfs-pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n",
    "checksum-list": "0" * 64 + "  disk.raw\n",
    "signature": "-----BEGIN PGP SIGNATURE-----\n\niQIz\n-----END PGP SIGNATURE-----\n",
}


def _foreign(driver: str) -> Make:
    return lambda raw, target: _run("qemu-img", "convert", "-q", "-f", "raw", "-O", driver, raw, target)


def _descriptor(raw: Path, target: Path) -> None:
    folder = target.with_suffix(".flat")
    folder.mkdir()
    options = "subformat=monolithicFlat"
    _run("qemu-img", "convert", "-q", "-f", "raw", "-O", "vmdk", "-o", options, raw, folder / "disk.vmdk")
    (folder / "disk.vmdk").rename(target)
    shutil.rmtree(folder)


def _text(text: str) -> Make:
    def make(_raw: Path, target: Path) -> None:
        target.write_text(text)

    return make


def raw_file(folder: Path) -> Path:
    """Write the disk that all variants hold into *folder* and return its path."""
    return write(folder / "disk.raw", disk())
