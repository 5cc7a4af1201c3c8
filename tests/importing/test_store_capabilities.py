"""A store that cannot take an image is refused before it gets a byte, and the others go on where they may."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import (
    Context,
    Image,
    ImageRecord,
    NoConfig,
    PendingCopy,
    hookimpl,
)
from imageport.errors import ExitCode
from imageport.importing.admission import ImportRequest
from imageport.importing.report import Report
from imageport.values import Caller, Finding, StoreCapabilities
from imageport_builtin.copy_image import CopyImage
from imageport_builtin.file_store import FileStore, FileStoreConfig
from imageport_builtin.glance_direct import GlanceDirect
from imageport_builtin.image_conversion import ImageConversion, ImageConversionConfig

CONTENT = noise(1 << 20)
RAW_ONLY = StoreCapabilities(formats=frozenset({"raw"}))
RAW_OR_ISO = StoreCapabilities(formats=frozenset({"raw", "iso"}))


class Picky(Shelf):
    """Have capabilities and findings, and note what it was called with."""

    def __init__(self, name: str, capabilities: StoreCapabilities, *findings: Finding) -> None:
        super().__init__(name)
        self.capabilities = capabilities
        self.findings = findings
        self.records: list[ImageRecord] = []
        self.sizes: list[int | None] = []
        self.files: list[bytes | None] = []
        self.scratch: list[Path] = []

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        self.records.append(image.record)
        self.sizes.append(image.data.size)
        file = image.data.backing_file
        self.files.append(None if file is None else file.read_bytes())
        self.scratch = sorted(ctx.work_folder.iterdir())
        return super().store_write(image, ctx)

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        yield from self.findings


def qcow2(folder: Path) -> Path:
    path = folder / "disk.qcow2"
    (folder / "disk.raw").write_bytes(CONTENT)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"]
    subprocess.run([*command, folder / "disk.raw", path], check=True)
    return path


def fixed_vhd(folder: Path) -> bytes:
    path = folder / "disk.vhd"
    (folder / "disk.raw").write_bytes(CONTENT)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on"]
    subprocess.run([*command, folder / "disk.raw", path], check=True)
    return path.read_bytes()


def refused(report: Report, label: str) -> str:
    """Check that the import was refused for the store *label* with nothing left, and return message and hint."""
    assert report.error is not None
    assert (report.error.store, report.error.exit_code) == (label, ExitCode.STORE_FAILED)
    assert report.orphans == []
    return f"{report.error.message}; {report.error.hint}"


def from_file(desk: Desk, path: Path, *stores: Shelf, **options: Any) -> Report:
    return desk.run(GlanceDirect(NoConfig()), *stores, uri=str(path), **options)


def from_stream(desk: Desk, path: Path, *stores: Shelf, **options: Any) -> Report:
    return desk.run(Bytes(path.read_bytes()), *stores, **options)


@pytest.mark.parametrize("run", [from_file, from_stream])
def test_a_store_for_raw_disks_never_sees_another_format(
    desk: Desk, tmp_path: Path, run: Callable[..., Report]
) -> None:
    ceph, archive = Picky("ceph", RAW_ONLY), Picky("archive", StoreCapabilities())
    text = refused(run(desk, qcow2(tmp_path), archive, ceph), "ceph")
    assert "the store accepts raw, and the image is qcow2" in text
    assert "{use: image_conversion, with: {output_format: raw}}" in text
    assert (ceph.records, archive.records) == ([], [])
    assert (archive.visible, archive.pending) == ({}, {})
    assert desk.leftovers() == []


def test_a_declared_format_is_refused_before_the_source_is_read(desk: Desk) -> None:
    source = Bytes(CONTENT)
    request = ImportRequest(caller=Caller(user="tester"), disk_format="vmdk")
    text = refused(desk.run(source, Picky("ceph", RAW_ONLY), request=request), "ceph")
    assert "the store accepts raw, and the image is vmdk" in text
    assert source.read == 0
    # It was refused before there was a task.
    assert desk.catalog.count_images() == 0


@pytest.mark.parametrize(("output", "accepted"), [("raw", True), ("qcow2", False), ("vmdk", False)])
def test_what_the_steps_make_decides(desk: Desk, tmp_path: Path, output: str, *, accepted: bool) -> None:
    conversion = ImageConversion(ImageConversionConfig.model_validate({"output_format": output}))
    ceph = Picky("ceph", RAW_OR_ISO)
    report = from_file(desk, qcow2(tmp_path), ceph, steps=[conversion])
    if accepted:
        assert report.error is None
        assert [record.disk_format for record in ceph.records] == ["raw"]
        return
    assert f"accepts iso or raw, and the image is {output}" in refused(report, "ceph")
    # It was not converted in vain.
    assert [stage.hook for stage in report.stages] == ["stage"]


def test_a_conversion_to_a_wrong_format_is_refused_whatever_the_source(desk: Desk) -> None:
    conversion = ImageConversion(ImageConversionConfig(output_format="qcow2"))
    source = Bytes(CONTENT)
    text = refused(desk.run(source, Picky("ceph", RAW_ONLY), steps=[conversion]), "ceph")
    assert "accepts raw, and the image is iso or qcow2" in text
    assert source.read == 0


@pytest.mark.parametrize("run", [from_file, from_stream])
@pytest.mark.parametrize("order", [1, -1])
def test_where_not_all_have_to_succeed_the_others_go_on(
    desk: Desk, tmp_path: Path, run: Callable[..., Report], order: int
) -> None:
    path = qcow2(tmp_path)
    ceph, archive = Picky("ceph", RAW_ONLY), Picky("archive", StoreCapabilities())
    report = run(desk, path, *[ceph, archive][::order], must=False)
    assert report.error is None
    assert (report.stores["ceph"].status, report.stores["archive"].status) == ("failed", "published")
    assert report.stores["ceph"].error is not None
    assert "accepts raw, and the image is qcow2" in report.stores["ceph"].error
    assert ceph.records == []
    assert [*archive.visible.values()] == [path.read_bytes()]
    assert report.image is not None
    assert report.image.properties["os_glance_failed_import"] == "ceph"


def test_no_byte_is_read_for_stores_that_all_refuse(desk: Desk, tmp_path: Path) -> None:
    one, two = Picky("one", RAW_ONLY), Picky("two", RAW_OR_ISO)
    report = from_file(desk, qcow2(tmp_path), one, two, must=False)
    assert report.error is not None
    assert report.error.message == (
        "no store can take the image: one: the store accepts raw, and the image is qcow2; "
        "two: the store accepts iso or raw, and the image is qcow2"
    )
    assert report.error.exit_code == ExitCode.STORE_FAILED
    assert (one.records, two.records) == ([], [])


@pytest.mark.parametrize("spool_first", [False, True])
def test_the_format_is_known_when_a_store_is_called(desk: Desk, tmp_path: Path, *, spool_first: bool) -> None:
    iso = bytes(32 << 10) + b"\x01CD001\x01" + bytes(64 << 10)
    for content, expected in ((CONTENT, "raw"), (qcow2(tmp_path).read_bytes(), "qcow2"), (iso, "iso")):
        shelf = Picky("shelf", StoreCapabilities())
        desk.run(Bytes(content), shelf, spool_first=spool_first)
        assert [record.disk_format for record in shelf.records] == [expected]


@pytest.mark.parametrize("must", [True, False])
def test_a_format_that_shows_at_the_end_only_is_not_published(
    desk: Desk, tmp_path: Path, *, must: bool
) -> None:
    ceph, archive = Picky("ceph", RAW_ONLY), Picky("archive", StoreCapabilities())
    report = desk.run(Bytes(fixed_vhd(tmp_path)), ceph, archive, must=must)
    assert (ceph.visible, ceph.pending) == ({}, {})
    assert (report.error is None) is not must
    assert len(archive.visible) == (0 if must else 1)
    if must:
        assert "accepts raw, and the image is vhd" in refused(report, "ceph")


def test_a_store_for_fixed_vhd_gets_one(desk: Desk, tmp_path: Path) -> None:
    azure = Picky("azure", StoreCapabilities(formats=frozenset({"vhd"})))
    assert desk.run(Bytes(fixed_vhd(tmp_path)), azure).error is None
    assert len(azure.visible) == 1


NEEDS_SIZE = StoreCapabilities(needs_size=True)
WANTS_FILE = StoreCapabilities(wants_file=True)


@pytest.mark.parametrize("capabilities", [NEEDS_SIZE, WANTS_FILE])
def test_stores_that_need_size_or_file_get_them_from_one_spool(
    desk: Desk, capabilities: StoreCapabilities
) -> None:
    one, two, other = Picky("one", capabilities), Picky("two", capabilities), Shelf("other")
    report = desk.run(Bytes(CONTENT[:1000], CONTENT[1000:]), one, other, two)
    assert report.error is None
    assert (one.sizes, two.sizes) == ([len(CONTENT)], [len(CONTENT)])
    assert (one.files, two.files) == ([CONTENT], [CONTENT])
    assert len(one.scratch) == 1
    assert one.scratch == two.scratch
    assert [*one.visible.values()] == [*other.visible.values()] == [CONTENT]


def test_a_known_size_needs_no_spool(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    one = Picky("one", NEEDS_SIZE)
    assert from_file(desk, tmp_path / "disk", one).error is None
    assert (one.sizes, one.scratch) == ([len(CONTENT)], [])


@pytest.mark.parametrize(
    ("capabilities", "need"), [(NEEDS_SIZE, "needs the size beforehand"), (WANTS_FILE, "needs a file")]
)
def test_a_store_that_needs_a_file_is_refused_where_none_may_be_written(
    desk: Desk, capabilities: StoreCapabilities, need: str
) -> None:
    one, other = Picky("one", capabilities), Picky("other", StoreCapabilities())
    text = refused(desk.run(Bytes(CONTENT), one, other, stream_only=True), "one")
    assert f"the store {need}, and the pipeline allows streaming only; set 'staging: auto'" in text
    report = desk.run(Bytes(CONTENT), one, other, stream_only=True, must=False)
    assert (report.stores["one"].status, report.stores["other"].status) == ("failed", "published")


LIMITS = [
    (StoreCapabilities(largest=len(CONTENT) - 1), f"at most 1024.0 KiB ({len(CONTENT) - 1} bytes)"),
    (StoreCapabilities(alignment=3 << 20), f"a multiple of {3 << 20} bytes"),
]


@pytest.mark.parametrize(("capabilities", "reason"), LIMITS)
def test_a_size_that_is_known_and_does_not_fit_is_refused(
    desk: Desk, tmp_path: Path, capabilities: StoreCapabilities, reason: str
) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    small = Picky("small", capabilities)
    text = refused(from_file(desk, tmp_path / "disk", small), "small")
    assert reason in text
    assert str(len(CONTENT)) in text
    assert small.records == []


@pytest.mark.parametrize(("capabilities", "reason"), LIMITS)
@pytest.mark.parametrize("must", [True, False])
def test_a_size_that_shows_at_the_end_fails_that_store_alone(
    desk: Desk, capabilities: StoreCapabilities, reason: str, *, must: bool
) -> None:
    small, other = Picky("small", capabilities), Shelf("other")
    report = desk.run(Bytes(CONTENT[:1000], CONTENT[1000:]), small, other, must=must)
    assert (small.visible, small.pending) == ({}, {})
    if must:
        assert reason in refused(report, "small")
        assert (other.visible, other.pending) == ({}, {})
    else:
        assert report.error is None
        assert reason in (report.stores["small"].error or "")
        assert [*other.visible.values()] == [CONTENT]


@pytest.mark.parametrize("capabilities", [item[0] for item in LIMITS])
def test_a_size_that_fits_exactly_is_taken(desk: Desk, capabilities: StoreCapabilities) -> None:
    exact = replace(capabilities, largest=len(CONTENT), alignment=1 << 20)
    assert desk.run(Bytes(CONTENT[:1000], CONTENT[1000:]), Picky("exact", exact)).error is None


def test_a_copy_of_a_stored_image_is_refused_by_its_record(desk: Desk, tmp_path: Path) -> None:
    archive = Picky("archive", StoreCapabilities())
    report = from_file(desk, qcow2(tmp_path), archive)
    assert report.image is not None
    admin = Caller(user="tester", roles=frozenset({"admin"}))
    request = ImportRequest(caller=admin, image=report.image.id, stores=("ceph",))
    copied = desk.run(CopyImage(NoConfig()), archive, Picky("ceph", RAW_ONLY), request=request)
    assert "accepts raw, and the image is qcow2" in refused(copied, "ceph")


# ------------------------------------------------------------------------------------------------- findings of stores


def test_a_store_that_is_not_ready_ends_the_import_before_the_source_is_read(desk: Desk) -> None:
    source = Bytes(CONTENT)
    finding = Finding("error", "the bucket 'images' is missing", "create it")
    ready = Finding("ok", "reachable")
    text = refused(desk.run(source, Shelf("fine"), Picky("s3", StoreCapabilities(), ready, finding)), "s3")
    assert text == "the bucket 'images' is missing; create it"
    assert source.read == 0
    assert desk.catalog.count_images() == 0


def test_a_store_that_is_not_ready_counts_as_failed_where_it_may_fail(desk: Desk) -> None:
    finding = Finding("error", "the key is not valid", "renew it")
    s3, fine = Picky("s3", StoreCapabilities(), finding), Shelf("fine")
    report = desk.run(Bytes(CONTENT), s3, fine, must=False)
    assert report.error is None
    assert (report.stores["s3"].status, report.stores["s3"].error) == ("failed", "the key is not valid")
    assert s3.records == []


@pytest.mark.parametrize("severity", ["ok", "warning"])
def test_other_findings_do_not_keep_an_import_from_its_work(desk: Desk, severity: Any) -> None:
    assert desk.run(Bytes(CONTENT), Picky("s3", StoreCapabilities(), Finding(severity, "slow"))).error is None


def test_stores_that_do_not_answer_are_waited_for_side_by_side(
    desk: Desk,
) -> None:
    limits = desk.site.limits.model_copy(update={"diagnose_patience": 0.2})
    desk.site = desk.site.model_copy(update={"limits": limits})
    asked = threading.Barrier(2)

    class Hanging(Shelf):
        @hookimpl
        def diagnose(self) -> Iterator[Finding]:
            asked.wait(60)
            threading.Event().wait()
            yield Finding("ok", "at last")

    report = desk.run(Bytes(CONTENT), Hanging("one"), Hanging("two"), Shelf("fine"), must=False)
    assert report.error is None
    assert {label: store.status for label, store in report.stores.items()} == {
        "one": "failed", "two": "failed", "fine": "published",
    }  # fmt: skip
    assert "does not answer within 0.2 s" in (report.stores["one"].error or "")


def test_a_store_without_room_is_refused_with_both_figures(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    full = Picky("full", StoreCapabilities(), Finding("ok", "reachable", free=len(CONTENT) - 1))
    text = refused(from_file(desk, tmp_path / "disk", full), "full")
    assert (
        f"room for 1024.0 KiB ({len(CONTENT) - 1} bytes), and the image needs 1.0 MiB ({len(CONTENT)}" in text
    )
    assert full.records == []


@pytest.mark.parametrize("keeps_holes", [True, False])
def test_holes_need_room_only_in_stores_that_do_not_keep_them(
    desk: Desk, tmp_path: Path, *, keeps_holes: bool
) -> None:
    with (tmp_path / "disk").open("wb") as disk:
        disk.write(CONTENT)
        disk.truncate(16 << 20)
    capabilities = StoreCapabilities(keeps_holes=keeps_holes)
    store = Picky("store", capabilities, Finding("ok", "reachable", free=4 << 20))
    report = from_file(desk, tmp_path / "disk", store)
    assert (report.error is None) is keeps_holes


def test_a_store_of_files_has_the_room_of_its_disk(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").write_bytes(CONTENT)
    usage = shutil.disk_usage(os.sep)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=len(CONTENT) - 1))
    store: Any = FileStore(FileStoreConfig(directory=tmp_path / "store"))
    store.name = "store"
    assert "the image needs 1.0 MiB" in refused(from_file(desk, tmp_path / "disk", store), "store")
    assert not (tmp_path / "store").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=len(CONTENT)))
    assert from_file(desk, tmp_path / "disk", store).error is None


def test_a_refused_store_is_the_one_that_the_image_remembers(desk: Desk, tmp_path: Path) -> None:
    full = Picky("full", StoreCapabilities(), Finding("ok", "reachable", free=1))
    (tmp_path / "disk").write_bytes(CONTENT)
    report = from_file(desk, tmp_path / "disk", Shelf("fine"), full)
    assert {label: store.status for label, store in report.stores.items()} == {
        "full": "failed",
        "fine": "skipped",
    }
    assert report.image is not None
    assert report.image.properties["os_glance_failed_import"] == "full"


def test_capabilities_of_a_wrong_type_are_a_defect_of_the_plugin(desk: Desk) -> None:
    broken = Picky("broken", StoreCapabilities())
    broken.capabilities = {"formats": ["raw"]}  # type: ignore[assignment]
    report = desk.run(Bytes(CONTENT), broken)
    assert report.error is not None
    assert report.error.code == "plugin-broken"
    assert "capabilities of the type dict" in report.error.message


@pytest.mark.parametrize(
    "fields", [{"formats": "raw"}, {"formats": frozenset()}, {"alignment": 0}, {"largest": 0}]
)
def test_capabilities_that_make_no_sense_cannot_be_declared(fields: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        StoreCapabilities(**fields)
