"""Decide whether an image may be stored, by the declared format and the rules of the site."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from imageport.dataplane.file_types import FileType
from imageport.dataplane.inspection.formats import INSPECTABLE, Fault, ImageFormat
from imageport.errors import LimitExceeded, UnsupportedFormat, VerificationFailed
from imageport.limits import format_size

log = logging.getLogger("imageport")

#: Formats of records for files that are booted beside a disk.
_NO_DISKS = ("aki", "ari")


@dataclass(frozen=True, slots=True)
class InspectionPolicy:
    """The formats that the user and the site accept for an image; steps and the final verdict ask the same policy.

    ``declared`` is the disk format that the user gave, None when it is to be detected: never one that a step found.
    ``require_match`` refuses bytes of another format than the record has. ``nonfatal`` names checks of partition
    tables that only warn. ``largest`` is the most bytes that a disk may have, None for no limit.
    """

    declared: str | None = None
    require_match: bool = True
    nonfatal: frozenset[str] = frozenset()
    largest: int | None = None
    _warned: set[str] = field(default_factory=set, compare=False, repr=False)
    _permitted: set[str] = field(default_factory=set, compare=False, repr=False)

    def accept(self, found: ImageFormat, recorded: str | None = None) -> str:
        """Return the disk format to record for an image that was *found* to be something.

        *recorded* is the disk format that the record has now, by its user or by a step; None when it is to be
        detected. A recorded format that the bytes do not show (ami, ari, aki, ploop) is kept when nothing else is
        found. A check that the site permits to fail, and a sign that the image was cut off, give one warning for each
        import.

        Raises ``UnsupportedFormat`` for a file of a known type that is not a disk, ``VerificationFailed`` when the
        image is damaged, unsafe or not of the recorded format, ``LimitExceeded`` when its disk is larger than images
        may be.
        """
        self.require_disk(found.file_type)
        self._require_sound(found)
        if (self.declared or "raw") in INSPECTABLE:
            for doubt in found.doubts:
                self._warn(f"the image may be cut off: {doubt}")
        if found.virtual_size is not None and self.largest is not None and found.virtual_size > self.largest:
            raise LimitExceeded(
                f"the disk in the image has {format_size(found.virtual_size)};"
                f" the limit is {format_size(self.largest)}",
                hint="raise limits.image_size_cap in the site file if images this large are expected",
            )
        if recorded in (None, found.disk_format):
            return found.disk_format
        if found.name == "iso" and recorded == "raw" and (found.is_hybrid or self.declared != "raw"):
            # Either it is a disk as well, or a step has read it as a disk out of another image.
            return "raw"
        if not self.require_match or (found.disk_format == "raw" and recorded not in INSPECTABLE):
            return str(recorded)
        raise VerificationFailed(
            f"disk_format is {recorded}, but the image is {found.disk_format}",
            hint=f"declare --disk-format {found.disk_format} if that is what you want to import",
        )

    def require_disk(self, file_type: FileType | None, subject: str = "the image") -> None:
        """Raise ``UnsupportedFormat`` when *subject* is a file of a known type that is not a disk.

        Raises ``VerificationFailed`` when it would be a disk of a known format without the damage at its start.
        It is stored as it is where the user declared that, or a step permits it.
        """
        if file_type is None or file_type.name in self._permitted:
            return
        # A kernel or ramdisk (aki, ari) may well be an archive.
        stored_as_it_is = self.declared == "raw" or (self.declared or "raw") not in INSPECTABLE
        if not (stored_as_it_is and file_type.may_be_raw):
            refusal = VerificationFailed if file_type.is_damaged else UnsupportedFormat
            raise refusal(f"{subject} is {file_type.description}", hint=file_type.hint)

    def permit(self, name: str) -> None:
        """For steps: accept files of the type called *name* in this import, for an option leaves them packed."""
        self._permitted.add(name)

    def _require_sound(self, found: ImageFormat) -> None:
        """Raise for the first kind of fault that the site does not permit, and warn of those that it does."""
        # A kernel or a ramdisk has no partitions.
        permitted = {*self.nonfatal, "mbr"} if self.declared in _NO_DISKS else self.nonfatal
        fatal = [fault for fault in found.faults if fault.check not in permitted]
        for fault in found.faults:
            if fault.check in self.nonfatal:
                self._warn(f"the image is imported, but {fault.reason}")
        if fatal:
            raise _refusal(found.name, [fault for fault in fatal if fault.kind == fatal[0].kind])

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning("%s", message)


def _refusal(name: str, faults: list[Fault]) -> VerificationFailed:
    """Return the error for *faults* of one kind in an image of format *name*."""
    reasons = "; ".join(fault.reason for fault in faults)
    hint = faults[0].hint
    match faults[0].kind:
        case "unsafe":
            return VerificationFailed(f"the image ({name}) is not safe: {reasons}", hint=hint)
        case "damaged":
            return VerificationFailed(f"the image ({name}) is damaged: {reasons}", hint=hint)
        case "unsupported":
            return UnsupportedFormat(f"the image ({name}) is not supported: {reasons}", hint=hint)
