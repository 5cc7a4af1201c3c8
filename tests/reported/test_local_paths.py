"""Images that are imported by their path come from permitted folders, and from nowhere else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.noise import noise
from tests.reported.bench import RAW, Bench

from imageport import Caller, SourceRejected
from imageport.local_files import LocalFiles
from imageport.testing.command import RunImageport

ACCOUNT = "nobody"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an image, beside another folder with a secret."""
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    allowed.mkdir()
    other.mkdir()
    (allowed / "disk.raw").write_bytes(noise(1 << 20))
    (other / "secret.raw").write_bytes(noise(1 << 20, "secret"))
    return allowed


@pytest.fixture
def bench(run_imageport: RunImageport, folder: Path) -> Bench:
    bench = Bench(run_imageport)
    site = bench.folder / "imageport.yaml"
    site.write_text(f"{site.read_text()}local_paths: [{folder}]\n")
    return bench


def test_a_file_in_a_permitted_folder_is_imported_and_staged(bench: Bench, folder: Path) -> None:
    disk = folder / "disk.raw"
    bench.assert_stored(bench.imports(disk), disk.read_bytes())
    (folder / "inside").symlink_to("disk.raw")
    bench.assert_stored(bench.imports(folder / "inside"), disk.read_bytes())
    formats = ("--disk-format", "raw", "--container-format", "bare")
    image = bench.run.inside("images", "create", *formats, "--json").json["id"]
    assert bench.run.inside("images", "stage", image, disk).exit_code == 0


@pytest.mark.parametrize("kind", ["qcow2", "gzip", "7z", "zip"])
def test_steps_that_need_a_file_get_it(bench: Bench, folder: Path, kind: str) -> None:
    raw, packed = folder / "disk.raw", folder / f"disk.{kind}"
    made: dict[str, list[str | Path]] = {
        "qcow2": ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, packed],
        "gzip": ["gzip", "--keep", "--suffix=.gzip", raw],
        "7z": ["7z", "a", "-bso0", packed, raw],
        "zip": ["zip", "-q", "-j", packed, raw],
    }
    subprocess.run(made[kind], check=True)
    if kind == "gzip":
        (folder / "disk.raw.gzip").rename(packed)
    bench.assert_stored(bench.imports(packed, "image_decompression", RAW), raw.read_bytes())


@pytest.mark.parametrize("command", ["run", "stage"])
@pytest.mark.parametrize(
    "place", ["beside", "dots", "link", "folder link", "missing", "etc", "proc", "device"]
)
def test_every_other_path_is_refused_in_the_same_words(
    bench: Bench, folder: Path, place: str, command: str
) -> None:
    other = folder.parent / "other"
    (folder / "link").symlink_to(other / "secret.raw")
    (folder / "folder").symlink_to(other)
    path = {
        "beside": other / "secret.raw",
        "dots": folder / ".." / "other" / "secret.raw",
        "link": folder / "link",
        "folder link": folder / "folder" / "secret.raw",
        "missing": other / "missing.raw",
        "etc": Path("/etc/shadow"),
        "proc": Path("/proc/self/environ"),
        "device": Path("/dev/zero"),
    }[place]
    message = f"{path} is not in a folder from which images may be imported"
    hint = f"local_paths in the site file lists {folder}"
    if command == "run":
        bench.assert_refused(bench.imports(path), 3, message, hint)
        assert bench.run.inside("images", "list", "--json").json == []
    else:
        image = bench.run.inside("images", "create", "--json").json["id"]
        done = bench.run.inside("images", "stage", image, path)
        assert done.exit_code == 3
        assert done.stderr.splitlines() == [f"error: {message}", f"  hint: {hint}"]
        assert not [file for file in (bench.folder / "staging").rglob("*") if file.is_file()]


def test_a_missing_file_in_a_permitted_folder_is_named(bench: Bench, folder: Path) -> None:
    bench.assert_refused(
        bench.imports(folder / "missing.raw"),
        4,
        f"cannot read {folder}/missing.raw: No such file or directory",
        f"check the spelling; the path was looked up from {bench.folder}",
    )


def test_what_a_path_leads_to_later_does_not_count(folder: Path) -> None:
    files = LocalFiles((folder,))
    path, secret = folder / "disk.raw", folder.parent / "other" / "secret.raw"
    content = path.read_bytes()
    found = files.find(path)
    path.unlink()
    path.symlink_to(secret)
    assert found.read_bytes() == content


def test_a_path_that_is_exchanged_all_the_time_never_leads_out_of_the_folder(folder: Path) -> None:
    path, secret = folder / "disk.raw", folder.parent / "other" / "secret.raw"
    content, done = path.read_bytes(), threading.Event()
    (folder / "good").write_bytes(content)
    (folder / "bad").symlink_to(secret)

    def exchange() -> None:
        while not done.is_set():
            for name in ("good", "bad"):
                os.link(folder / name, folder / "next", follow_symlinks=False)
                (folder / "next").rename(path)
                (folder / "next").unlink(missing_ok=True)

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    found = refused = 0
    try:
        while not (found > 20 and refused > 20):
            try:
                assert LocalFiles((folder,)).find(path).read_bytes() == content
                found += 1
            except SourceRejected:
                refused += 1
    finally:
        done.set()
        exchanging.join()


def test_no_path_is_permitted_when_the_list_is_empty(run_imageport: RunImageport, folder: Path) -> None:
    bench = Bench(run_imageport)
    site = bench.folder / "imageport.yaml"
    site.write_text(f"{site.read_text()}local_paths: []\n")
    bench.assert_refused(
        bench.imports(folder / "disk.raw"),
        3,
        f"{folder}/disk.raw is not in a folder from which images may be imported",
        "name the folders that may be imported from under local_paths in the site file",
    )


def test_standard_input_needs_no_folder(run_imageport: RunImageport, folder: Path) -> None:
    site = run_imageport.folder / "imageport.yaml"
    site.write_text(f"{site.read_text()}local_paths: []\n")
    (run_imageport.folder / "p.yaml").write_text("name: p\nsource: {use: glance-direct}\n")
    content = (folder / "disk.raw").read_bytes()
    done = run_imageport("run", "p.yaml", "-", "--json", stdin=content)
    assert [copy.read_bytes() for copy in done.copies.values()] == [content]


def test_a_caller_of_a_service_has_no_files_here_until_folders_are_named(folder: Path) -> None:
    remote = Caller(user="ada", is_remote=True)
    with pytest.raises(SourceRejected, match="not in a folder from which images may be imported"):
        LocalFiles.of(None, remote).find(folder / "disk.raw")
    files = LocalFiles.of([folder], remote)
    assert files.find(folder / "disk.raw").read_bytes() == (folder / "disk.raw").read_bytes()


def test_relative_folders_lie_beside_the_site_file(run_imageport: RunImageport) -> None:
    bench = Bench(run_imageport)
    site = bench.folder / "imageport.yaml"
    site.write_text(f"{site.read_text()}local_paths: [published]\n")
    (bench.folder / "published").mkdir()
    disk = bench.folder / "published" / "disk.raw"
    disk.write_bytes(noise(4096))
    bench.assert_stored(bench.imports(disk), disk.read_bytes())


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that every account may enter; pytest closes its own to others."""
    changed = []
    for parent in (tmp_path, *tmp_path.parents):
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod(mode | 0o001)
            changed.append((parent, mode))
    yield tmp_path
    for parent, mode in changed:
        parent.chmod(mode)


@pytest.mark.parametrize(
    ("effective_user", "caller", "reader"),
    [
        (0, ACCOUNT, ACCOUNT),
        (0, "root", None),
        (0, "no account of this machine", None),
        (1000, ACCOUNT, None),
    ],
)
def test_only_root_asks_what_another_account_may_read(
    monkeypatch: pytest.MonkeyPatch, effective_user: int, caller: str, reader: str | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: effective_user)
    monkeypatch.setenv("LOGNAME", "root")
    files = LocalFiles.of(None, Caller(user=caller))
    assert (files.folders, files.reader) == (None, reader)
    monkeypatch.setenv("LOGNAME", caller)
    assert LocalFiles.of(None, Caller(user=caller)).reader is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask on behalf of another account")
def test_the_system_decides_what_the_account_may_read(open_folder: Path) -> None:
    readable, private = open_folder / "readable", open_folder / "private"
    readable.write_text("readable")
    readable.chmod(0o644)
    private.write_text("private")
    private.chmod(0o600)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    (closed / "inside").write_text("inside")
    files = LocalFiles(None, ACCOUNT)
    assert files.find(readable).read_text() == "readable"
    for path in (private, closed / "inside"):
        with pytest.raises(SourceRejected) as caught:
            files.find(path)
        assert caught.value.message == f"user {ACCOUNT} may not read {path}"
        assert "local_paths" in caught.value.hint
    link = open_folder / "link"
    link.symlink_to(private)
    with pytest.raises(SourceRejected):
        files.find(link)
