"""Collect what the checks of an import have shown of the bytes of the source, and who vouches for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from imageport.data import ImageData
from imageport.errors import VerificationFailed
from imageport.events import CheckEvent
from imageport.plugins.binding import BoundStep

#: The property in which an image keeps the digests of its source that its record does not have anyway.
SOURCE_DIGESTS = "os_glance_source_digests"


@dataclass
class Evidence:
    """The evidence of one way through the steps.

    ``verified`` are digests of the bytes that the source offered, by algorithm, which a check has found right.
    ``signers`` are those whose trusted signature was found on the image. ``unchanged`` says that no step has changed
    the bytes so far: what is stored is what the source offered.
    """

    verified: dict[str, str] = field(default_factory=dict)
    signers: list[str] = field(default_factory=list)
    unchanged: bool = True
    _before_changes: set[str] = field(default_factory=set)

    def restart(self) -> None:
        """Forget everything: the bytes are brought once more, maybe from elsewhere."""
        self.verified.clear()
        self.signers.clear()
        self._before_changes.clear()
        self.unchanged = True

    def enter(self, step: BoundStep) -> None:
        """Note that *step* is the next to see the bytes."""
        if self.unchanged:
            self._before_changes.add(step.label)

    def leave(self, before: ImageData, after: ImageData) -> None:
        """Note what a step got, and what it has returned."""
        self.unchanged = self.unchanged and after.original is before.original

    def take(self, check: CheckEvent) -> None:
        """Note the digest and the signer of a *check* that passed."""
        if check.verdict != "passed":
            return
        algorithm, _, value = (check.digest or "").partition(":")
        if value and check.step in self._before_changes:
            self.verified[algorithm] = value
        if check.signer:
            self.signers.append(check.signer)

    def source_digests(self, stored: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of what the source offered, as far as they are known; *stored* are those of the stores."""
        return {**stored, **self.verified} if self.unchanged else dict(self.verified)

    def to_keep(self, stored: Mapping[str, str]) -> str | None:
        """Return the digests of the source that *stored* does not tell, as the image keeps them."""
        return (
            " ".join(
                f"{algorithm}:{value}"
                for algorithm, value in sorted(self.verified.items())
                if not (self.unchanged and algorithm in stored)
            )
            or None
        )

    def require_signer(self) -> None:
        """Raise ``VerificationFailed`` unless a trusted signer vouches for the image."""
        if not self.signers:
            raise VerificationFailed(
                "no trusted signature was found on the image, and 'trust: signed' demands one",
                hint="look which checks were made; a plugin that verifies signatures tells of each with ctx.check(..., "
                "signer=...)",
            )
