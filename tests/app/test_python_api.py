"""Imageport as a library: nothing is printed, and no error ends the process."""

from __future__ import annotations

import ast
import gc
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imageport import Caller, Conflict, UsageError, VerificationFailed
from imageport.app import Imageport, Interruption, Session, instance
from imageport.errors import ImportFailed, NotAllowed, PipelineInvalid, SourceUnavailable
from imageport.events import Event

DISK = b"boot me".ljust(1 << 20, b"\0")
ADA = Caller(user="ada", roles=frozenset({"member"}))
BOB = Caller(user="bob", roles=frozenset({"member"}))

SITE = """
catalog: "sqlite:///catalog.db"
staging: {directory: staging}
stores:
  - {use: file, id: one, with: {directory: one}}
  - {use: file, id: two, with: {directory: two}}
"""
PIPELINE = "name: both\nsource: {use: glance-direct}\nstores: [one, two]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "imageport.yaml").write_text(SITE)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    (tmp_path / "disk.raw").write_bytes(DISK)
    return tmp_path


@pytest.fixture
def imageport(folder: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Imageport]:
    """Return a site whose use prints nothing."""
    with Imageport(folder / "imageport.yaml") as opened:
        yield opened
    assert capfd.readouterr().out == ""


@pytest.fixture
def ada(imageport: Imageport) -> Session:
    return imageport.session(ADA)


def imported(session: Session, folder: Path, **options: str) -> str:
    report = session.import_image(folder / "p.yaml", str(folder / "disk.raw"), name=options.get("name"))
    assert report.error is None
    assert report.image is not None
    return report.image.id


def test_an_image_is_imported_with_events_and_a_report(ada: Session, folder: Path) -> None:
    events: list[Event] = []
    report = ada.import_image(
        folder / "p.yaml",
        str(folder / "disk.raw"),
        name="debian",
        properties={"os_distro": "debian"},
        on_event=events.append,
    )
    assert report.status == "success"
    assert report.image is not None
    assert (report.image.name, report.image.status, report.image.owner) == ("debian", "active", "ada")
    assert {label: store.status for label, store in report.stores.items()} == {
        "one": "published",
        "two": "published",
    }
    kinds = [event.kind for event in events]
    assert kinds.index("task.processing") < kinds.index("image.activate") < kinds.index("task.success")
    assert "report" not in kinds


def test_a_failed_import_is_a_report_and_no_exception(ada: Session, folder: Path) -> None:
    report = ada.import_image(folder / "p.yaml", str(folder / "missing.raw"))
    assert report.status == "failure"
    assert report.error is not None
    assert report.error.code == "source-unavailable"
    assert list((folder / "staging").glob("*")) == []


def test_a_mistake_in_the_pipeline_is_raised_before_anything_happens(ada: Session, folder: Path) -> None:
    (folder / "p.yaml").write_text(
        "name: both\nsource: {use: glance-drect}\nsteps: [{use: no-op}]\nstores: [one]\n"
    )
    with pytest.raises(PipelineInvalid) as caught:
        ada.prepare_import(folder / "p.yaml", str(folder / "disk.raw"))
    assert len(caught.value.problems) == 2
    assert ada.list_images() == []


def test_an_import_is_prepared_in_one_thread_and_runs_in_another(ada: Session, folder: Path) -> None:
    prepared = ada.prepare_import(folder / "p.yaml", str(folder / "disk.raw"), stores=["one"])
    assert prepared.plan["pipeline"] == "both"
    reports = []
    thread = threading.Thread(target=lambda: reports.append(prepared.run()))
    thread.start()
    thread.join()
    assert [report.status for report in reports] == ["success"]
    assert len(list((folder / "one").iterdir())) == 1
    assert not (folder / "two").exists()


def test_an_interrupted_import_is_cancelled_and_rolled_back(ada: Session, folder: Path) -> None:
    interruption = Interruption()
    interruption.interrupt()
    report = ada.import_image(folder / "p.yaml", str(folder / "disk.raw"), interruption=interruption)
    assert report.error is not None
    assert report.error.code == "cancelled"
    assert ada.list_images(status="active") == []


def test_what_an_observer_raises_does_not_end_the_import(ada: Session, folder: Path) -> None:
    def fail(_event: Event) -> None:
        raise LookupError("here")

    report = ada.import_image(folder / "p.yaml", str(folder / "disk.raw"), on_event=fail)
    assert report.status == "success"


def test_records_are_made_changed_listed_and_deleted(ada: Session, folder: Path) -> None:
    made = ada.create_image(name="debian", tags=("a",), properties={"os_distro": "debian"}, min_disk=2)
    assert (made.status, made.tags, made.min_disk) == ("queued", ("a",), 2)
    changed = ada.change_image("debian", name="sid", properties={"os_distro": None, "os_version": "14"})
    assert (changed.name, dict(changed.properties)) == ("sid", {"os_version": "14"})
    assert [image.id for image in ada.list_images(properties={"os_version": "14"}, limit=1)] == [made.id]
    assert ada.delete_image(made.id[:8]) == []
    assert ada.list_images() == []


def test_a_caller_sees_and_changes_what_the_policy_permits(imageport: Imageport, folder: Path) -> None:
    image = imported(imageport.session(ADA), folder)
    bob = imageport.session(BOB)
    assert bob.list_images() == []
    for use in (bob.find_image, bob.delete_image, bob.download):
        with pytest.raises(UsageError, match="no image"):
            use(image)
    with pytest.raises(NotAllowed):
        imageport.session(ADA).delete_copy(image, "one")


def test_staged_data_is_imported(ada: Session, folder: Path) -> None:
    image = ada.create_image(name="staged", disk_format="raw", container_format="bare").id
    assert ada.stage(image, io.BytesIO(DISK), size=len(DISK)) == len(DISK)
    with pytest.raises(Conflict):
        ada.stage(image, folder / "disk.raw")
    report = ada.import_image(folder / "p.yaml", image=image)
    assert report.status == "success"


@pytest.mark.parametrize("size", [len(DISK) - 1, len(DISK) + 1])
def test_data_of_another_size_leaves_the_image_queued(ada: Session, folder: Path, size: int) -> None:
    image = ada.create_image(name="staged").id
    for data in (io.BytesIO(DISK), folder / "disk.raw"):
        with pytest.raises(Exception, match="were announced"):
            ada.stage(image, data, size=size)
        assert ada.find_image(image).status == "queued"
    assert list((folder / "staging").glob("*")) == []


def test_data_is_downloaded_and_exported_verified(ada: Session, folder: Path) -> None:
    image = imported(ada, folder)
    with ada.download(image) as download:
        assert (download.store, b"".join(map(bytes, download.chunks()))) == ("one", DISK)
    exported = ada.export(image, folder / "out.raw", store="two")
    assert (exported.store, (folder / "out.raw").read_bytes()) == ("two", DISK)
    with pytest.raises(Conflict):
        ada.export(image, folder / "out.raw")
    (folder / "one" / image).write_bytes(DISK[:-1] + b"x")
    with pytest.raises(VerificationFailed), ada.download(image, "one") as download:
        list(download.chunks())
    with pytest.raises(VerificationFailed):
        ada.export(image, folder / "damaged.raw", store="one")
    assert not (folder / "damaged.raw").exists()


def test_a_name_that_no_file_can_have_is_an_error_of_the_caller(ada: Session, folder: Path) -> None:
    name = "x" * 300
    image = imported(ada, folder)
    with pytest.raises(UsageError, match="cannot write"):
        ada.export(image, folder / name)
    queued = ada.create_image(disk_format="raw", container_format="bare")
    with pytest.raises(SourceUnavailable, match="cannot read"):
        ada.stage(queued.id, folder / name)
    assert ada.find_image(queued.id).status == "queued"


def test_numbers_below_zero_are_refused(ada: Session) -> None:
    with pytest.raises(UsageError, match="min_disk"):
        ada.create_image(min_disk=-1)
    with pytest.raises(UsageError, match="limit"):
        ada.list_images(limit=-1)
    with pytest.raises(UsageError, match="limit"):
        ada.list_tasks(limit=-1)


def test_tasks_are_found_and_those_that_ended_cannot_be_resumed(ada: Session, folder: Path) -> None:
    image = imported(ada, folder)
    (task,) = ada.list_tasks(image=image)
    assert (task.status, ada.find_task(task.id[:6]).id, ada.resumable_bytes(task.id)) == (
        "success",
        task.id,
        0,
    )
    assert ada.list_tasks(status="failure") == []


def test_a_site_is_described_and_cleaned_up(imageport: Imageport, folder: Path) -> None:
    assert imageport.validate(folder / "p.yaml") == []
    assert imageport.plan(folder / "p.yaml", "disk.raw")["staging"] == "stream"
    assert [store["id"] for store in imageport.stores()] == ["one", "two"]
    assert imageport.plugin("file")["name"] == "file"
    assert {"file", "glance-direct"} <= {plugin["name"] for plugin in imageport.plugins()}
    assert "properties" in imageport.schema()
    left = folder / "staging" / "0ec15a2f-1c66-4b64-9ab6-e913689fe466"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"left")
    assert [found.name for found in imageport.clean_up(dry_run=True)] == [str(left)]
    assert left.exists()
    assert [found.error for found in imageport.clean_up()] == [None]
    assert not left.exists()
    assert all(
        diagnosis.ok for diagnosis in imageport.examine() if diagnosis.subject in ("site file", "catalog")
    )
    assert imageport.upgrade_catalog() is None


def test_a_site_file_with_mistakes_is_raised_where_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "imageport.yaml").write_text("catalogue: here\n")
    with Imageport(tmp_path / "imageport.yaml") as imageport:
        with pytest.raises(PipelineInvalid, match="catalogue"):
            imageport.session(ADA)
        assert any("catalogue" in diagnosis.message for diagnosis in imageport.examine())


def test_a_staging_folder_that_cannot_be_used_is_reported_as_such(folder: Path) -> None:
    site = folder / "imageport.yaml"
    site.write_text(site.read_text().replace("directory: staging", f"directory: {'x' * 300}"))
    with Imageport(site) as opened:
        report = opened.session(ADA).import_image(folder / "p.yaml", str(folder / "disk.raw"))
        assert report.error is not None
        assert report.error.message.endswith("xxx: File name too long")
        assert "staging.directory" in report.error.hint
        with pytest.raises(ImportFailed, match="File name too long"):
            list(opened.clean_up())


def test_threads_share_one_site(imageport: Imageport, folder: Path) -> None:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(imageport.session(ADA).list_images())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 8


def test_values_that_do_not_exist_are_refused(ada: Session) -> None:
    unknown: Any = "activ"
    for ask in (ada.list_images, ada.list_tasks):
        with pytest.raises(UsageError, match="unknown status 'activ'"):
            ask(status=unknown)
    with pytest.raises(UsageError, match="unknown order 'activ'"):
        ada.list_images(sort=unknown)


def test_the_secrets_of_a_pipeline_are_kept_as_long_as_it_is_in_use(
    imageport: Imageport, ada: Session, folder: Path
) -> None:
    (folder / "p.yaml").write_text("name: web\nsource: {use: web-download}\nstores: [one]\n")
    prepared = ada.prepare_import(folder / "p.yaml", "https://ada:correct-horse@example.org/disk")
    assert "correct-horse" in imageport.secrets
    assert "horse" not in str(prepared.plan)
    del prepared
    gc.collect()
    assert imageport.secrets == frozenset()


def test_errors_do_not_contain_the_secrets_of_a_pipeline(
    ada: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYRING", str(folder / "correct-horse"))
    (folder / "p.yaml").write_text(
        "name: web\nsource: {use: web-download, with: {checksum_url: 'https://example.org/SUMS', "
        "keyring: '{env.KEYRING}'}}\nstores: [one]\n"
    )
    with pytest.raises(UsageError) as caught:
        ada.prepare_import(folder / "p.yaml", "https://example.org/disk")
    assert "horse" not in f"{caught.value.message} {caught.value.hint}"


def test_reports_do_not_contain_the_secrets_of_a_pipeline(
    ada: Session, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDER", str(folder / "correct-horse"))
    (folder / "correct-horse").touch()
    (folder / "p.yaml").write_text(
        "name: env\nsource: {use: glance-direct}\n"
        "stores: [{use: file, id: one, with: {directory: '{env.FOLDER}'}}]\n"
    )
    report = ada.import_image(folder / "p.yaml", str(folder / "disk.raw"))
    assert report.error is not None
    assert "remove or rename the file in the way of ***" in report.error.hint
    assert "horse" not in str([report.as_dict(), report.error.message])


def test_no_module_prints_asks_or_ends_the_process() -> None:
    forbidden = {"print", "input", "exit", "typer", "rich", "ExitCode"}
    modules = sorted(Path(instance.__file__).parent.glob("*.py"))
    assert len(modules) > 10
    for module in modules:
        tree = ast.parse(module.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not forbidden & names, module.name


def test_without_a_caller_the_login_user_is_a_member(
    imageport: Imageport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    assert imageport.session().caller == Caller(user="grace", roles=frozenset({"member"}))
