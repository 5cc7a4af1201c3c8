"""Messages and hints for the faults that detection finds."""

from __future__ import annotations

from imageport.dataplane.inspection.formats import Fault

FETCH_AGAIN = "get the image again; if it is the same, export it anew where it was made"
CUT_OFF = "get the image again, and compare its size with that of the original"
MERGE = "merge it into one file with 'qemu-img convert -O qcow2' where the other files are, and import that"
_CONVERT = "convert it with 'qemu-img convert -O qcow2' and import the result"

_UNSAFE = {
    "backing_file": ("it has a backing file, which holds the rest of the disk", MERGE),
    "data_file": ("it has an external data file, which holds the disk", MERGE),
    "parent": ("it is a differencing disk: the rest of the disk is in another file", MERGE),
    "file_reference": (
        "it is a descriptor, a small text file that refers to other files",
        "the disk is in the files that it names: import a file NAME-flat.vmdk as raw, or export the disk as "
        "streamOptimized",
    ),
    "descriptor": (
        "its descriptor is missing, or refers to other files",
        "export the disk as streamOptimized",
    ),
}
_UNSUPPORTED = {
    "version_1": (
        "it is a qcow disk of version 1",
        "convert it with 'qemu-img convert -f qcow -O qcow2' and import the result",
    ),
    "unknown_features": ("it uses features of qcow2 that are unknown here", _CONVERT),
    "extent": (
        "it is one extent of a split disk",
        "join all extents with 'qemu-img convert -O qcow2 NAME.vmdk', NAME.vmdk being the descriptor, and import that",
    ),
    "banned": ("it is a disk of an older format", _CONVERT),
    "version": ("only version 1 of LUKS can be imported", "decrypt the disk and import the result"),
}
_DAMAGED = {
    "footer": "its header and its footer do not match",
    "header": "its header cannot be read, or it ends before the header does",
}


def fault(name: str, check: str, found: str = "") -> Fault:
    """Return the fault for a *check* that failed on an image of the format *name*.

    *found* describes an odd boot record.
    """
    if check == "mbr":
        return Fault(
            check,
            "unsafe",
            f"its boot record is odd (check mbr): {found}",
            "if the disk is known to be good, permit it with 'gpt_safety_checks_nonfatal: [mbr]' in the site file",
        )
    if check in _UNSAFE:
        return Fault(check, "unsafe", *_UNSAFE[check])
    if check in _UNSUPPORTED:
        return Fault(check, "unsupported", *_UNSUPPORTED[check])
    return Fault(
        check, "damaged", _DAMAGED.get(check, f"the check {check} of {name} images failed"), FETCH_AGAIN
    )
