"""Take the one image out of a tar stream; nothing touches the disk."""

from __future__ import annotations

from imageport import Chunks, ImageData
from imageport_builtin.unpacking.faults import cut_off
from imageport_builtin.unpacking.job import Job, closed_after
from imageport_builtin.unpacking.members import check_count, may_be_image, no_image, several_images
from imageport_builtin.unpacking.tar_archive import TarArchive

#: Letters of a name that are kept for messages; there may be thousands.
_LONGEST_NAME = 100


def unpack_tar(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the tar archive *data*, and read the archive to its end.

    v7, ustar, pax, GNU and star archives, sparse files of GNU tar and bsdtar included. Raises ``VerificationFailed``
    for an archive that is damaged or cut off, ``UnsupportedFormat`` for extensions that cannot be read, and what
    ``members`` raises unless there is exactly one image.
    """
    with closed_after(data.chunks()) as chunks:
        archive = TarArchive(chunks, job.check)
        yield from _only_file(archive, job)
        end = archive.position
        trailing = archive.trailing()
        if not archive.has_end:
            _accept_missing_end(end, job)
        elif trailing:
            job.accept_trailing("tar", end, trailing, "archive")


def _accept_missing_end(end: int, job: Job) -> None:
    """Warn of an archive that was written without its end, if a checksum has matched."""
    if not job.published.verified:
        raise cut_off("tar: the archive", f"after {end} bytes, before the blocks of zeros that end it")
    job.ctx.log.warning("tar: the blocks of zeros that end an archive are missing")


def _only_file(archive: TarArchive, job: Job) -> Chunks:
    names: list[str] = []
    image: str | None = None
    for count, member in enumerate(archive, 1):
        check_count("tar", count)
        if member.kind != "folder":
            names.append(member.name[:_LONGEST_NAME])
        if not may_be_image("tar", member, job.member):
            continue
        if image is not None:
            raise several_images("tar", [image, member.name], "more than one file", job.member)
        image = member.name
        yield from archive.contents()
    if image is None:
        raise no_image("tar", names, job.member)
