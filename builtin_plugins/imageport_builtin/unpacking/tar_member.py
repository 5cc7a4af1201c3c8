"""Take the one image out of a tar stream; nothing touches the disk."""

from __future__ import annotations

from contextlib import suppress

from imageport import Chunks, ImageData, TransformFailed
from imageport_builtin.unpacking.appliance import (
    LARGEST_DOCUMENT,
    Appliance,
    is_description,
    is_manifest,
)
from imageport_builtin.unpacking.faults import cut_off
from imageport_builtin.unpacking.job import Job, closed_after
from imageport_builtin.unpacking.members import Choice, Member, printable
from imageport_builtin.unpacking.tar_archive import TarArchive


def unpack_tar(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the tar archive *data*, and read the archive to its end.

    v7, ustar, pax, GNU and star archives, sparse files of GNU tar and bsdtar included. Raises ``VerificationFailed``
    for an archive that is damaged or cut off, ``UnsupportedFormat`` for extensions that cannot be read, and the errors
    of ``members`` unless there is exactly one image.
    """
    with closed_after(data.chunks()) as chunks:
        archive = TarArchive(chunks, job.require_time)
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
    """Yield the image as it comes. A file that is the image only if no later one fits better is spooled."""
    choice: Choice[int] = Choice("tar", job.member)
    appliance: Appliance | None = None
    passed: Member[int] | None = None
    held: ImageData | None = None
    try:
        for member in archive:
            document = _document(archive, member, appliance)
            if document is not None and appliance is None:
                appliance = _described(document, choice)
            elif document is not None and appliance is not None:
                appliance.read_manifest(document)
            if not choice.offer(member):
                continue
            contents = archive.contents() if document is None else iter([document])
            if appliance is not None and job.verify_manifest:
                contents = appliance.digested(member.name, contents)
            _forget(held)
            held = None
            if choice.is_final:
                passed = member
                yield from contents
            elif not job.ctx.stream_only:
                held = job.ctx.spool(ImageData(lambda contents=contents: contents))  # type: ignore[misc]
        image = choice.result()
        if held is not None:
            yield from held.chunks()
        elif image is not passed:
            raise _not_streamed(image)
    finally:
        _forget(held)
    if appliance is not None and job.verify_manifest:
        appliance.verify(job.ctx)


def _document(archive: TarArchive, member: Member[int], appliance: Appliance | None) -> bytes | None:
    """Return the contents of *member* if it is the description or the manifest of an appliance, else None."""
    is_wanted = is_description(member.name) if appliance is None else is_manifest(member.name)
    if not is_wanted or member.kind != "file" or member.handle > LARGEST_DOCUMENT:
        return None
    return b"".join(archive.contents())


def _described(document: bytes, choice: Choice[int]) -> Appliance:
    """Return the appliance with this description. Raises ``VerificationFailed`` when any of its disks may be meant."""
    appliance = Appliance(document)
    choice.is_disk = appliance.is_disk
    if not choice.has_pattern and len(appliance.disks) > 1:
        raise choice.several(appliance.disks)
    return appliance


def _not_streamed(image: Member[int]) -> TransformFailed:
    return TransformFailed(
        f"tar: {printable(image.name)} is the image only if nothing fits the option member better, which the end of "
        "the archive decides, and the pipeline allows streaming only",
        hint="set 'staging: auto' in the pipeline, or correct the option member of this step",
    )


def _forget(held: ImageData | None) -> None:
    if held is not None and held.path is not None:
        with suppress(OSError):
            held.path.unlink(missing_ok=True)
