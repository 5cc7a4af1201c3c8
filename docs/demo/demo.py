"""Import a disk that boots, from a real HTTP server into two stores, and prove that nothing was lost.

Everything is written below ``demo-run/``; every run begins anew.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from disk import build_disk

from imageport.testing.http_answers import File
from imageport.testing.http_server import HttpServer, Reply

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "demo-run"
PUBLISHED = FOLDER / "published"
IMAGES = FOLDER / "images"

#: Bytes a second that the server sends: slow enough to see the import work.
RATE = 8 << 20

SITE = """\
# The site file of the demo. The demo's server is on this machine, and private networks are refused unless listed.
catalog: sqlite:///catalog.db
staging: {directory: staging}
network: {allow_networks: [127.0.0.0/8]}
"""


class Paced(File):
    """A file that is sent not too fast."""

    def send(self, reply: Reply, data: bytes) -> None:
        """Send *data* at the rate of the demo."""
        for start in range(0, len(data), RATE // 8):
            piece = data[start : start + RATE // 8]
            reply.write(piece)
            time.sleep(len(piece) / RATE)


def main() -> int:
    disk = FOLDER / "disk.raw"
    _start_anew()
    what = build_disk(disk, FOLDER / "packages")
    _print(f"built    {_shown(disk)}: {what}")
    _publish(disk)
    with HttpServer() as server:
        for file in PUBLISHED.iterdir():
            server.answer(f"/{file.name}", Paced(file.read_bytes()))
        exit_code = _import(server.port)
    return exit_code or _compare(disk)


def _start_anew() -> None:
    """Remove what an earlier run left, but for the packages it fetched."""
    FOLDER.mkdir(exist_ok=True)
    for entry in FOLDER.iterdir():
        if entry.name == "packages":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (FOLDER / "packages").mkdir(exist_ok=True)
    PUBLISHED.mkdir()
    (FOLDER / "imageport.yaml").write_text(SITE)


def _publish(disk: Path) -> None:
    """Pack *disk* as the world publishes images, with a checksum list beside it."""
    qcow2, packed = FOLDER / "disk.qcow2", PUBLISHED / "disk.qcow2.gz"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(qcow2)], check=True)
    with qcow2.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target)
    qcow2.unlink()
    (PUBLISHED / "SHA256SUMS").write_text(f"{_digest(packed, 'sha256')}  {packed.name}\n")
    _print(f"packed   {_shown(packed)} and SHA256SUMS, {packed.stat().st_size >> 20} MiB")


def _import(port: int) -> int:
    """Run the command as users type it, and return its exit code."""
    command = (
        f"imageport --config {_shown(FOLDER)}/imageport.yaml run pipelines/quickstart.yaml "
        f"http://127.0.0.1:{port}/disk.qcow2.gz --name demo --set images={_shown(IMAGES)} --set port={port}"
    )
    _print(f"running  {command}\n")
    program = Path(sys.executable).with_name("imageport")
    return subprocess.run([program, *command.split()[1:]], check=False, cwd=PROJECT).returncode


def _compare(disk: Path) -> int:
    """Compare both stored files with the raw original; return 0 when they are equal."""
    wanted = _digest(disk, "sha512")
    _print(f"\noriginal {_shown(disk)}: sha512 {wanted[:32]}...")
    stored = sorted(IMAGES.glob("*/*"))
    different = [file for file in stored if _digest(file, "sha512") != wanted]
    for file in stored:
        _print(f"{'DIFFERS ' if file in different else 'equal   '} {_shown(file)}")
    if different or len(stored) != 2:
        _print("the stored files are not what they should be")
        return 1
    _print(f"look     .venv/bin/imageport --config {_shown(FOLDER)}/imageport.yaml images show demo")
    if shutil.which("qemu-system-x86_64"):
        _print(f"boot it  qemu-system-x86_64 -m 256 -snapshot -drive format=raw,file={_shown(stored[0])}")
    return 0


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
