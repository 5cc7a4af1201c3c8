"""Verify an image before it is published: its first bytes, its checks and signers, its digests and format."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imageport.configuration.site import Site
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.digests import new_hasher
from imageport.dataplane.fanout import Consumer
from imageport.dataplane.file_types import HEAD
from imageport.dataplane.inspection import (
    FormatInspection,
    ImageFormat,
    InspectionPolicy,
    inspect_file,
    inspect_head,
    needs_file,
)
from imageport.errors import VerificationFailed
from imageport.events import CheckEvent
from imageport.plugins.binding import BoundStep
from imageport.values import RESERVED_PREFIX, Image, ImageRecord

log = logging.getLogger("imageport")

#: Fields of a record that an import may change.
_OWNED_FIELDS = (
    "name", "disk_format", "container_format", "size", "virtual_size", "checksum",
    "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "tags",
)  # fmt: skip

#: The property in which an image keeps the digests of its source that its record does not have anyway.
SOURCE_DIGESTS = "os_glance_source_digests"


@dataclass
class Findings:
    """Facts that one pass over the bytes has shown: ``size`` in bytes, ``digests`` in hexadecimal by name, ``format``.

    ``waited_for`` are the seconds that the pass has waited for each consumer.
    """

    size: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    waited_for: dict[str, float] = field(default_factory=dict)
    format: ImageFormat | None = None


@dataclass
class Verification:
    """The checks that were made in one pass through the steps.

    ``verified`` are digests of the bytes that the source offered, by algorithm, which a check has found right.
    ``signers`` are the owners of trusted signatures on the image. ``unchanged`` is true as long as no step has changed
    the bytes: the stored data is that of the source.
    """

    verified: dict[str, str] = field(default_factory=dict)
    signers: list[str] = field(default_factory=list)
    unchanged: bool = True
    _before_changes: set[str] = field(default_factory=set)

    def restart(self) -> None:
        """Forget everything: the bytes are read once more, maybe from another source."""
        self.verified.clear()
        self.signers.clear()
        self._before_changes.clear()
        self.unchanged = True

    def before(self, step: BoundStep) -> None:
        """Note that *step* is the next to get the bytes."""
        if self.unchanged:
            self._before_changes.add(step.label)

    def after(self, got: ImageData, returned: ImageData) -> None:
        """Record the image that a step *got*, and the one that it *returned*."""
        self.unchanged = self.unchanged and returned.original is got.original

    def record(self, check: CheckEvent) -> None:
        """Record the digest and the signer of a *check* that passed."""
        if check.verdict != "passed":
            return
        algorithm, _, value = (check.digest or "").partition(":")
        if value and check.step in self._before_changes:
            self.verified[algorithm] = value
        if check.signer:
            self.signers.append(check.signer)

    def source_digests(self, stored: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of the data of the source, as far as they are known; *stored* are those of the stores."""
        return {**stored, **self.verified} if self.unchanged else dict(self.verified)

    def to_keep(self, stored: Mapping[str, str]) -> str | None:
        """Return the digests of the source that are not among *stored*, as the image keeps them."""
        return (
            " ".join(
                f"{algorithm}:{value}"
                for algorithm, value in sorted(self.verified.items())
                if not (self.unchanged and algorithm in stored)
            )
            or None
        )

    def require_signer(self) -> None:
        """Raise ``VerificationFailed`` unless there is a trusted signature on the image."""
        if not self.signers:
            raise VerificationFailed(
                "no trusted signature was found on the image, and 'trust: signed' demands one",
                hint="look which checks were made; a plugin that verifies signatures reports each with "
                "ctx.check(..., signer=...)",
            )


def look_first(image: Image, ctx: Context) -> tuple[Image, ImageFormat | None, ImageFormat]:
    """Return *image*, its format, None when that has to be found while it is written, and its likely format.

    An image that can only be inspected as a file is spooled. A file of the caller may change while it is read, so it is
    inspected in flight. Raises the errors of ``ctx.inspection`` and ``ctx.spool``, before a store gets its first byte.
    """
    head = image.data.peek(HEAD)
    likely = inspect_head(head)
    ctx.inspection.require_disk(likely.file_type)
    if needs_file(head):
        image = image.evolve(data=ctx.spool(image.data))
    path = image.data.path
    if path is None or not ctx.is_private(path):
        return image, None, likely
    found = inspect_file(path)
    ctx.inspection.accept(found, image.record.disk_format)
    return image, found, found


class Checkers:
    """The consumers of a pass that find out its ``Findings``: a digest for each of *names*, and the inspection.

    A digest that a check makes of these very bytes is taken from *data*.
    """

    def __init__(self, data: ImageData, names: Sequence[str], *, inspect: bool) -> None:
        self._data = data
        self._names = names
        self._digests = {name: _digester(name) for name in names if name not in data.digests}
        self._inspection = Consumer("inspection", _inspect) if inspect else None

    @property
    def consumers(self) -> list[Consumer[Any]]:
        """The consumers, the digests first."""
        return [*self._digests.values(), *([self._inspection] if self._inspection else [])]

    @property
    def digested(self) -> int | None:
        """Bytes that all digests have taken; None when none is made here."""
        return min((digest.channel.taken for digest in self._digests.values()), default=None)

    def collect(self, findings: Findings) -> None:
        """Wait for the consumers and put their results into *findings*. Raises their errors."""
        made = {name: digest.outcome() for name, digest in self._digests.items()}
        findings.digests = {
            name: made[name] if name in made else self._data.digest(name) for name in self._names
        }
        if self._inspection is not None:
            findings.format = self._inspection.outcome()


def _digester(name: str) -> Consumer[str]:
    def digest(chunks: Chunks) -> str:
        digest = new_hasher(name)
        for chunk in chunks:
            digest.update(chunk)
        return digest.hexdigest()

    return Consumer(name, digest)


def _inspect(chunks: Chunks) -> ImageFormat:
    inspection = FormatInspection()
    for chunk in chunks:
        inspection.feed(chunk)
    return inspection.finish()


def digests_to_make(record: ImageRecord, site: Site, *, copies: bool) -> list[str]:
    """Return the digests of the site, and that of a record which was made under other rules.

    For *copies* of a stored image, the strongest that its record has is enough.
    """
    if copies and record.os_hash_value and record.os_hash_algo:
        return [record.os_hash_algo]
    if copies and record.checksum:
        return ["md5"]
    wanted = [*site.digests, record.os_hash_algo] if record.os_hash_algo else site.digests
    return list(dict.fromkeys(wanted))


def verify(image: Image, findings: Findings, policy: InspectionPolicy, digests: Sequence[str]) -> ImageRecord:
    """Return the record of *image* with the *findings*; *digests* are those that the site records.

    Raises ``VerificationFailed`` when there are no bytes, and the errors of ``policy``.
    """
    _refuse_empty(findings)
    record = image.record.evolve(size=findings.size, checksum=findings.digests.get("md5"))
    if findings.format is not None:
        record = record.evolve(disk_format=policy.accept(findings.format, record.disk_format))
        known = record.disk_format == findings.format.disk_format
        size = findings.format.virtual_size if known else None
        if (record.disk_format, findings.format.name) == ("raw", "iso"):
            size = findings.size
        record = record.evolve(virtual_size=size)
    secure = [name for name in digests if name != "md5"]
    if secure:
        record = record.evolve(os_hash_algo=secure[-1], os_hash_value=findings.digests[secure[-1]])
    return record


def verify_copy(record: ImageRecord, findings: Findings, store: str | None) -> None:
    """Raise ``VerificationFailed`` unless the bytes are those that *record* describes.

    They were read from the copy in *store*, or from staging when that is None.
    """
    _refuse_empty(findings)
    algorithm = record.os_hash_algo or ""
    expected: list[tuple[str, Any, Any]] = [
        ("size", record.size, findings.size),
        ("md5", record.checksum, findings.digests.get("md5")),
        (algorithm, record.os_hash_value, findings.digests.get(algorithm)),
    ]
    for name, wanted, found in expected:
        if wanted is not None and found is not None and wanted != found:
            raise damaged_copy(record, store, name, found, wanted)


def of_right_size(data: ImageData, record: ImageRecord, store: str) -> ImageData:
    """Return *data*, the copy in *store*. Raises ``VerificationFailed`` when its size is known and wrong."""
    if None not in (data.size, record.size) and data.size != record.size:
        raise damaged_copy(record, store, "size", data.size, record.size)
    return data


def damaged_copy(
    record: ImageRecord, store: str | None, name: str, found: object, wanted: object, *, remedy: str = ""
) -> VerificationFailed:
    """Return the error for a copy in *store* (None: in staging) whose *name*, a size or a digest, is wrong."""
    place = "staging" if store is None else f"store {store}"
    if store is not None and not remedy:
        remedy = (
            f"if another store holds the image, remove this copy with "
            f"'imageport images delete {record.id} --store {store} --role admin' and copy again"
        )
    return VerificationFailed(
        f"the copy in {place} is damaged: its {name} is {found}, the record has {wanted}", hint=remedy
    )


def changes_between(before: ImageRecord, after: ImageRecord) -> dict[str, Any]:
    """Return the fields and properties that an import changed, so that a user's edit in the meantime survives.

    A property that is None was removed. Reserved properties that a step set are left out.
    """
    changed: dict[str, Any] = {
        name: getattr(after, name) for name in _OWNED_FIELDS if getattr(after, name) != getattr(before, name)
    }
    properties: dict[str, str | None] = {
        name: None for name in before.properties if name not in after.properties
    }
    for name, value in after.properties.items():
        if before.properties.get(name) != value:
            properties[name] = value
    for name in [name for name in properties if name.startswith(RESERVED_PREFIX)]:
        if properties.pop(name) is not None:
            log.warning("property %s is reserved and was not set", name)
    return changed | {"properties": properties}


def _refuse_empty(findings: Findings) -> None:
    if findings.size == 0:
        raise VerificationFailed("the image is empty", hint="check the source: it delivered no bytes")
