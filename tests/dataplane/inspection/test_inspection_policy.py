from __future__ import annotations

import logging

import pytest

from imageport import LimitExceeded, UnsupportedFormat, VerificationFailed
from imageport.dataplane import Fault, ImageFormat, InspectionPolicy, identify

LZ4 = identify(b"\x04\x22\x4d\x18")
ODD_BOOT_RECORD = Fault("mbr", "unsafe", "its boot record is odd", "permit it")


@pytest.mark.parametrize(
    ("found", "recorded", "result"),
    [
        ("qcow2", None, "qcow2"),
        ("qcow2", "qcow2", "qcow2"),
        ("gpt", None, "raw"),
        ("gpt", "raw", "raw"),
        ("raw", "raw", "raw"),
        ("iso", "iso", "iso"),
        ("raw", "ami", "ami"),
        ("gpt", "ploop", "ploop"),
    ],
)
def test_a_format_that_is_true_is_recorded(found: str, recorded: str | None, result: str) -> None:
    assert InspectionPolicy().accept(ImageFormat(found, 1), recorded) == result


@pytest.mark.parametrize(
    ("found", "recorded"),
    [("raw", "qcow2"), ("qcow2", "raw"), ("qcow2", "ami"), ("vhd", "raw"), ("raw", "vhd")],
)
def test_a_format_that_is_not_true_is_refused(found: str, recorded: str) -> None:
    with pytest.raises(
        VerificationFailed, match=f"disk_format is {recorded}, but the image is {found}"
    ) as refusal:
        InspectionPolicy().accept(ImageFormat(found, 1), recorded)
    assert f"--disk-format {found}" in refusal.value.hint


def test_an_iso_is_a_raw_disk_when_it_is_hybrid_or_came_out_of_another_image() -> None:
    plain, hybrid = ImageFormat("iso", 1), ImageFormat("iso", 1, is_hybrid=True)

    assert InspectionPolicy(declared="raw").accept(hybrid, "raw") == "raw"
    assert InspectionPolicy().accept(plain, "raw") == "raw"
    with pytest.raises(VerificationFailed, match="disk_format is raw, but the image is iso"):
        InspectionPolicy(declared="raw").accept(plain, "raw")


def test_a_site_that_requires_no_match_keeps_the_recorded_format() -> None:
    assert InspectionPolicy(require_match=False).accept(ImageFormat("raw", 1), "qcow2") == "qcow2"


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("unsafe", VerificationFailed, "the image (qcow2) is not safe: one; two"),
        ("damaged", VerificationFailed, "the image (qcow2) is damaged: one; two"),
        ("unsupported", UnsupportedFormat, "the image (qcow2) is not supported: one; two"),
    ],
)
@pytest.mark.parametrize("declared", [None, "qcow2"])
def test_an_image_with_faults_is_refused_whatever_is_declared(
    declared: str | None, kind: str, error: type[VerificationFailed], message: str
) -> None:
    faults = (Fault("a", kind, "one", "do this"), Fault("b", kind, "two", "do that"))  # type: ignore[arg-type]

    with pytest.raises(VerificationFailed) as refusal:
        InspectionPolicy(declared=declared).accept(ImageFormat("qcow2", 1, faults), declared)

    assert type(refusal.value) is error
    assert (refusal.value.message, refusal.value.hint) == (message, "do this")


def test_faults_of_two_kinds_are_not_mixed_in_one_message() -> None:
    faults = (Fault("a", "damaged", "one", "do this"), Fault("b", "unsafe", "two", "do that"))

    with pytest.raises(VerificationFailed) as refusal:
        InspectionPolicy().accept(ImageFormat("qcow2", 1, faults))

    assert refusal.value.message == "the image (qcow2) is damaged: one"


def test_a_check_that_the_site_permits_to_fail_gives_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    policy = InspectionPolicy(nonfatal=frozenset({"mbr"}))
    found = ImageFormat("gpt", 1, (ODD_BOOT_RECORD,))

    assert [policy.accept(found), policy.accept(found, "raw")] == ["raw", "raw"]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "the image is imported, but its boot record is odd")
    ]
    with pytest.raises(VerificationFailed, match="not safe: its boot record is odd"):
        InspectionPolicy().accept(found)


@pytest.mark.parametrize("declared", [None, "qcow2"])
def test_an_archive_is_named_and_refused(declared: str | None) -> None:
    with pytest.raises(UnsupportedFormat, match=r"^the image is an lz4 archive$") as refusal:
        InspectionPolicy(declared=declared).accept(ImageFormat("raw", 100, file_type=LZ4), declared)
    assert "lz4 -d" in refusal.value.hint


@pytest.mark.parametrize("declared", ["raw", "aki", "ari"])
def test_an_archive_that_the_user_declares_as_such_data_is_stored(declared: str) -> None:
    assert (
        InspectionPolicy(declared=declared).accept(ImageFormat("raw", 1, file_type=LZ4), declared) == declared
    )


def test_raw_that_a_step_has_recorded_is_not_a_declaration() -> None:
    with pytest.raises(UnsupportedFormat):
        InspectionPolicy().accept(ImageFormat("raw", 100, file_type=LZ4), "raw")


def test_a_disk_that_is_larger_than_images_may_be_is_refused() -> None:
    policy = InspectionPolicy(largest=1 << 30)

    assert policy.accept(ImageFormat("qcow2", 1 << 30)) == "qcow2"
    with pytest.raises(LimitExceeded, match=r"the disk in the image has 2.0 GiB; the limit is 1.0 GiB"):
        policy.accept(ImageFormat("qcow2", 2 << 30))


def test_an_archive_that_a_step_leaves_packed_is_stored() -> None:
    policy = InspectionPolicy()
    policy.permit("lz4")

    assert policy.accept(ImageFormat("raw", 1, file_type=LZ4)) == "raw"
    policy.require_disk(LZ4)
    with pytest.raises(UnsupportedFormat, match=r"^the content of the gzip archive is an ar archive$"):
        policy.require_disk(identify(b"!<arch>\n"), "the content of the gzip archive")
