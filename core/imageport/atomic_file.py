"""A file that appears as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[int]:
    """Give a descriptor to write; the file gets the name *target* when the block has ended well.

    It has no name before, so that even a killed process leaves nothing. Where the file system has no nameless files
    (NFS), a hidden ``.<name>.*.partial`` takes their place. Raises ``FileExistsError`` when *target* is there and
    not to be overwritten, and other errors of the operating system.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    descriptor, is_nameless = _create(partial)
    try:
        yield descriptor
        if is_nameless and not overwrite:
            _link(descriptor, target)
            return
        if is_nameless:
            _link(descriptor, partial)  # only a rename can replace a file
        if overwrite:
            partial.rename(target)
        else:
            os.link(partial, target)
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def _create(partial: Path) -> tuple[int, bool]:
    try:
        return os.open(partial.parent, os.O_TMPFILE | os.O_WRONLY, 0o666), True
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
    return os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), False


def _link(descriptor: int, path: Path) -> None:
    """Call linkat(2) with AT_SYMLINK_FOLLOW, which Python does only when a directory is given by descriptor."""
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(str(descriptor), path, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)
