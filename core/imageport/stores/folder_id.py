"""The identity of a folder, by which a folder that is not mounted differs from one that is."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

#: The extended attribute of a folder, which its file system keeps wherever it is mounted.
ATTRIBUTE = "user.imageport.folder"


def identify(folder: Path) -> str:
    """Return the identity of *folder*, which gets one unless it has one. Raises ``OSError`` when it is missing.

    Where the file system keeps no extended attributes, the number of its inode has to do.
    """
    with suppress(OSError):
        os.setxattr(folder, ATTRIBUTE, secrets.token_hex(8).encode(), os.XATTR_CREATE)
    return identity(folder)


def identity(folder: Path) -> str:
    """Return the identity of *folder*, changing nothing. Raises ``OSError`` when it is missing."""
    number = folder.stat().st_ino
    try:
        return os.getxattr(folder, ATTRIBUTE).decode(errors="replace")
    except OSError:
        return f"inode {number}"
