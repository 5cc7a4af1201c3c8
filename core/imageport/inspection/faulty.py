"""Word the faults that the inspectors find: what the check is about, what is wrong, and what to do."""

from __future__ import annotations

from imageport.inspection.formats import Fault

FETCH_AGAIN = "get the image again; if it is the same, export it anew where it was made"
CUT_OFF = "get the image again, and compare its size with that of the original"
MERGE = "merge it into one file with 'qemu-img convert -O qcow2' where the other files are, and import that"

_PLAIN = {
    ("qcow2", "backing_file"): ("it has a backing file, which holds the rest of the disk", MERGE),
    ("qcow2", "data_file"): ("it has an external data file, which holds the disk", MERGE),
    ("vmdk", "file_reference"): (
        "it is a descriptor, a small text file that refers to other files",
        "the disk is in the files that it names: import a file NAME-flat.vmdk as raw, or export the disk as "
        "streamOptimized",
    ),
}  # fmt: skip


def fault(name: str, check: str, found: str = "") -> Fault:
    """Return the fault for a *check* that failed on an image of the format *name*, with what the check *found*."""
    if (name, check) in _PLAIN:
        reason, hint = _PLAIN[name, check]
        return Fault(check, "unsafe", reason, hint)
    match check:
        case "parent":
            reason = "it is a differencing disk: the rest of the disk is in another file"
            return Fault(check, "unsafe", reason, MERGE)
        case "mbr":
            return Fault(
                check,
                "unsafe",
                f"the check mbr of its boot record failed: {found}",
                "if the disk is known to be good, set 'gpt_safety_checks_nonfatal: [mbr]' in the site file",
            )
        case "unknown_features":
            reason = "it uses features of qcow2 that are unknown here"
            return Fault(
                check, "unsupported", reason, "convert it with 'qemu-img convert -O qcow2' and import that"
            )
        case "banned":
            return Fault(
                check,
                "unsupported",
                f"{name} images cannot be imported",
                "convert it with 'qemu-img convert -O qcow2' and import that",
            )
        case "descriptor":
            return Fault(check, "unsafe", "its descriptor is missing, or refers to other files", MERGE)
        case "header":
            return Fault(
                check, "damaged", "its header cannot be read, or it ends before the header does", FETCH_AGAIN
            )
        case _:
            return Fault(check, "damaged", found or f"the check {check} failed", FETCH_AGAIN)
