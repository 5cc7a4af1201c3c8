"""The input of every unpacker: its options and its bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from imageport import Chunks, Context, ImageData, VerificationFailed


@dataclass(frozen=True, slots=True)
class Job:
    """The settings and services of one unpacking.

    ``published`` is the data as it came to the step. ``member`` is the pattern that picks one file out of several, or
    None; ``memory`` is how many bytes a decoder may take for its dictionary; ``verify_manifest`` asks to compare an
    appliance with its manifest. ``require_time`` raises ``Cancelled`` or ``LimitExceeded`` to stop the unpacking;
    every loop that can run without output calls it.
    """

    ctx: Context
    published: ImageData
    member: str | None
    memory: int
    ignore_trailing: bool
    verify_manifest: bool
    require_time: Callable[[], None]

    def accept_trailing(
        self, archive: str, position: int, count: int, whole: str = "compressed data"
    ) -> None:
        """Warn of *count* bytes that follow the end of an *archive* at *position*; call it after reading them all.

        *whole* names the data that ends. Raises ``VerificationFailed`` unless the user ignores them or a checksum has
        matched: they may be the rest of the image behind a damaged byte.
        """
        if not (self.ignore_trailing or self.published.verified):
            raise VerificationFailed(
                f"{archive}: {count} bytes follow the end of the {whole} at byte {position}",
                hint="part of the image may be lost: fetch it again and compare its checksum with the publisher's, "
                "with the step 'checksum' or by hand; 'trailing_bytes: ignore' of this step accepts such a file",
            )
        self.ctx.log.warning("%s: ignored %d bytes after the %s", archive, count, whole)


def closed_after(chunks: Chunks) -> AbstractContextManager[Chunks]:
    """Close *chunks* and their source at the end of a ``with`` statement."""
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
            with suppress(OSError):
                spooled.path.unlink(missing_ok=True)
