"""What every unpacker gets beside the bytes, and how it reads them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from imageport import Chunks, Context, ImageData


@dataclass(frozen=True, slots=True)
class Job:
    """The settings and services of one unpacking.

    ``member`` is the pattern that picks one file out of several, or None; ``memory`` is how many bytes a
    decoder may take for its dictionary.
    """

    ctx: Context
    member: str | None
    memory: int


def closed_after(chunks: Chunks) -> AbstractContextManager[Chunks]:
    """Close what is behind *chunks* at the end of a ``with`` statement, however it comes."""
    return closing(cast("Generator[bytes, None, None]", chunks))


@contextmanager
def as_file(data: ImageData, ctx: Context) -> Iterator[Path]:
    """Give *data* as a file; one that was made for this is removed at the end.

    A file of the caller is read where it is: should it be exchanged meanwhile, that only shows as damage.
    """
    spooled = data if data.path is not None else ctx.spool(data)
    assert spooled.path is not None  # noqa: S101 - what spool() promises
    try:
        yield spooled.path
    finally:
        if spooled is not data:
            spooled.path.unlink(missing_ok=True)
