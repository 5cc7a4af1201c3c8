"""Words of QEMU, as it prints them, and the one error that each of them becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageport import ImageportError, LimitExceeded, TransformFailed, UnsupportedFormat, VerificationFailed
from imageport_builtin.limited_process import Bounds, ProcessResult
from imageport_builtin.qemu_failures import Run

IMAGE = Path("/srv/stag,ing/it's an image.spool")
OPENED = f"'driver=qcow2,file.driver=file,file.filename={str(IMAGE).replace(',', ',,')}'"
BOUNDS = Bounds(memory=1 << 30, file_size=1 << 40, cpu_seconds=10, deadline=60)


@pytest.mark.parametrize(
    ("code", "words", "error", "message", "hint"),
    [
        (
            1,
            "qemu-img: error while writing at byte 2097152: No space left on device",
            TransformFailed,
            "qemu-img cannot write the image: the disk of the staging directory is full",
            "free space there",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: Cannot allocate memory",
            LimitExceeded,
            "qemu-img needs more than 1.0 GiB of memory for this image",
            "raise limits.conversion_memory",
        ),
        (-6, "", LimitExceeded, "qemu-img needs more than 1.0 GiB of memory for this image", "raise limits"),
        (-9, "", TransformFailed, "qemu-img was killed by SIGKILL", "another program or the system did this"),
        (-11, "", TransformFailed, "qemu-img crashed on this image (SIGSEGV)", "install updates"),
        (
            1,
            f"qemu-img: Could not open {OPENED}: Could not open '{IMAGE}': Permission denied",
            TransformFailed,
            "qemu-img failed (Permission denied)",
            "check the installation",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: VHDX image file '{IMAGE}' opened read-only, but contains a log that "
            "needs to be replayed",
            VerificationFailed,
            "the qcow2 image was not closed: changes in its log are not in the disk yet",
            "shut the virtual machine down",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: Unsupported encryption method 16711680",
            UnsupportedFormat,
            "the image is encrypted",
            "decrypt it where the key is",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: unsupported VDI image (version 1.51969)",
            UnsupportedFormat,
            "the qcow2 image uses something that qemu-img cannot read (unsupported VDI image (version 1.51969))",
            "convert it with the program that made it",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: File truncated, expecting at least 65536 bytes",
            VerificationFailed,
            "the qcow2 image is damaged or was cut off (File truncated, expecting at least 65536 bytes)",
            "get the image again",
        ),
        (
            1,
            f"qemu-img: Could not open {OPENED}: Could not open '{IMAGE}': Invalid argument",
            VerificationFailed,
            "the image is damaged: it cannot be opened as qcow2 (Invalid argument)",
            "get the image again",
        ),
        (
            1,
            "qemu-img: error while reading at byte 131072: Invalid argument",
            VerificationFailed,
            "the qcow2 image is damaged: its disk cannot be read "
            "(error while reading at byte 131072: Invalid argument)",
            "get the image again",
        ),
        (
            0,
            "qemu-nbd: Disconnect client, due to: Failed to send reply: reading from file failed: Invalid argument",
            VerificationFailed,
            "the qcow2 image is damaged: its disk cannot be read (Disconnect client, due to: Failed to send reply: "
            "reading from file failed: Invalid argument)",
            "get the image again",
        ),
        (
            127,
            "/usr/bin/qemu-img: error while loading shared libraries: libfuse.so.3: not found",
            TransformFailed,
            "qemu-img failed (the image: error while loading shared libraries: libfuse.so.3: not found)",
            "check the installation",
        ),
        (3, "", TransformFailed, "qemu-img failed (exit code 3, no message)", "check the installation"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_each_cause_has_its_own_error_and_hint(
    code: int, words: str, error: type[ImageportError], message: str, hint: str
) -> None:
    failure = Run("qemu-img", IMAGE, "qcow2", BOUNDS).failure(ProcessResult(code, words))

    assert type(failure) is error
    assert failure.message == message
    assert failure.hint.startswith(hint)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (
            5,
            VerificationFailed,
            "the qcow2 image is damaged: its disk cannot be read from byte 4096 on (no luck)",
        ),
        (12, LimitExceeded, "qemu-nbd needs more than 1.0 GiB of memory for this image"),
    ],
)
def test_a_disk_that_cannot_be_read_has_one_of_two_causes(
    code: int, error: type[ImageportError], message: str
) -> None:
    failure = Run("qemu-nbd", IMAGE, "qcow2", BOUNDS).unreadable(4096, code, "no luck")

    assert (type(failure), failure.message) == (error, message)
