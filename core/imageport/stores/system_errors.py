"""Remedies for errors of the operating system."""

from __future__ import annotations

import errno
import os


def remedy(error: OSError, place: str) -> str:
    """Return the hint for *error*, which came up while *place*, a folder or the url of a copy, was used."""
    full = f"free space for {place} (disk or quota is full), then import again"
    rights = f"let the user with id {os.geteuid()} write to {place}"
    obstacle = f"remove or rename the file in the way of {place}"
    remedies = {
        errno.ENOSPC: full,
        errno.EDQUOT: full,
        errno.EACCES: rights,
        errno.EPERM: rights,
        errno.EROFS: f"{place} is mounted read-only: remount it, or use another directory",
        errno.EEXIST: obstacle,
        errno.ENOTDIR: obstacle,
        errno.EFBIG: f"the file system of {place} or a limit of this process allows no file this large",
        errno.ENOENT: "another process removed the copy; import the image again",
        errno.EXDEV: f"{place} is on another disk than before: mount it as it was, then import again",
    }
    return remedies.get(error.errno or 0, f"check the disk and file system of {place}")
