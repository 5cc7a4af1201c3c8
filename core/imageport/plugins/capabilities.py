"""Obey the capabilities of stores: one that cannot take an image is refused before it gets a byte."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.inspection import ImageFormat
from imageport.dataplane.spool import space_taken
from imageport.errors import ImageportError, PluginBroken, StoreFailed
from imageport.limits import format_size
from imageport.plugins.binding import BoundStep, StepContexts
from imageport.plugins.examination import Examination, examine
from imageport.values import Finding, StoreCapabilities

#: Returns the entry of a step that makes one of these disk formats, None when there is none.
Conversion = Callable[[Collection[str]], str | None]

_LEAVE_OUT = "leave this store out"


def capabilities_of(store: BoundStep) -> StoreCapabilities:
    """Return the capabilities of *store*. Raises ``PluginBroken`` when it has set something else on itself."""
    declared = store.plugin.capabilities
    if not isinstance(declared, StoreCapabilities):
        raise PluginBroken(
            f"plugin '{store.label}' of {store.distribution} declares capabilities of the type "
            f"{type(declared).__name__}",
            hint=f"this is a defect of {store.distribution}: report it to its authors",
        )
    return declared


def formats_after(
    steps: Iterable[BoundStep], disk_format: str | None, head: bytes | None = None
) -> frozenset[str] | None:
    """Return the disk formats that *steps* may make of an image of *disk_format*; None when they are not known.

    *head* is how the image begins, None when that is not known. Raises the errors of plugins.
    """
    possible: frozenset[str] | None = None if disk_format is None else frozenset({disk_format})
    for step in steps:
        if "transform" not in step.answers or step.plugin.writes == "nothing":
            continue
        if head is not None and step.leaves_unchanged(head):
            continue
        made = [step.formats_made(before) for before in sorted(possible or ())] or [step.formats_made(None)]
        possible = None if None in made else frozenset().union(*(formats or () for formats in made))
        head = None
    return possible


def possible_formats(
    recorded: str | None, likely: ImageFormat | None, *, certain: bool
) -> frozenset[str] | None:
    """Return the formats that an image may have for a store; None when nothing is known.

    *recorded* is the format on its record. *likely* is that of its bytes, None where they are not inspected, and
    *certain* when all of them were seen.
    """
    if likely is None or (likely.disk_format == "raw" and recorded is not None):
        return None if recorded is None else frozenset({recorded})
    if likely.disk_format == "raw" and not certain:
        # A fixed vhd shows at its end only.
        return frozenset({"raw", "vhd"})
    if (likely.disk_format, recorded) == ("iso", "raw"):
        return frozenset({"raw"})
    return frozenset({likely.disk_format})


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Facts about an image on its way to the stores, None where they are not known yet.

    ``formats`` are the disk formats that it may have, ``size`` its bytes and ``taken`` those that are not in holes.
    """

    formats: frozenset[str] | None = None
    size: int | None = None
    taken: int | None = None

    @classmethod
    def of(cls, disk_format: str | None, size: int | None = None) -> ImageFacts:
        """Return the facts of an image of one format, or of an unknown one."""
        return cls(formats=None if disk_format is None else frozenset({disk_format}), size=size, taken=size)

    @classmethod
    def of_data(
        cls, data: ImageData, formats: frozenset[str] | None, size: int | None, *, cloned: bool
    ) -> ImageFacts:
        """Return the facts of *data*, of *size* bytes where it does not know that itself.

        With *cloned* a store may move or clone the file of the data, which takes no room.
        """
        size = size if data.size is None else data.size
        taken = size if data.path is None else space_taken(data.path)
        return cls(formats=formats, size=size, taken=None if cloned else taken)


class Targets(Collection[BoundStep]):
    """The target stores of one import, of which some may turn out not to take the image.

    With *together* all of them have to. By label, ``findings`` has the answers of the stores that were asked, and
    ``refused`` the reason of each that does not take the image.
    """

    def __init__(
        self, stores: Sequence[BoundStep], *, together: bool, conversion: Conversion = lambda formats: None
    ) -> None:
        self.stores = tuple(stores)
        self.refused: dict[str, ImageportError] = {}
        self.findings: dict[str, list[Finding]] = {}
        self._together = together
        self._conversion = conversion

    def __iter__(self) -> Iterator[BoundStep]:
        return iter(self.stores)

    def __contains__(self, store: object) -> bool:
        return store in self.stores

    def __len__(self) -> int:
        return len(self.stores)

    @property
    def selective(self) -> bool:
        """Whether a store accepts some disk formats only."""
        return any(capabilities_of(store).formats is not None for store in self.accepting)

    @property
    def accepting(self) -> tuple[BoundStep, ...]:
        """The stores that are not refused."""
        return tuple(store for store in self.stores if store.label not in self.refused)

    def refuse(self, reasons: Iterable[tuple[BoundStep, ImageportError]]) -> None:
        """Leave out the stores that cannot take the image, each with its reason.

        Raises the reason of the first where all stores have to succeed, and when no other is left.
        """
        for store, reason in list(reasons):
            self.refused[store.label] = store.blamed(reason, "store_write")
        if (refusal := self.refusal(together=self._together)) is not None:
            raise refusal

    def refusal(self, *, together: bool) -> ImageportError | None:
        """Return why the stores that are left are too few, None when they are enough; *together* all are needed."""
        if not self.refused or (self.accepting and not together):
            return None
        first, *others = self.refused.values()
        if together or not others:
            return first
        listed = "; ".join(f"{label}: {error.message}" for label, error in self.refused.items())
        return StoreFailed(f"no store can take the image: {listed}", hint=first.hint)

    def examine(self, ctx: StepContexts) -> None:
        """Ask the stores for their findings, and leave out those with an error. Raises as ``refuse`` does."""
        asked = [store for store in self.accepting if "diagnose" in store.answers]
        examinations = [
            Examination(f"store '{store.label}'", partial(store.diagnose, ctx)) for store in asked
        ]
        answers = examine(examinations, ctx.for_step("").limits) if asked else []
        self.findings.update(zip((store.label for store in asked), answers, strict=True))
        self.refuse(
            (store, StoreFailed(found.message, hint=found.hint))
            for store in asked
            for found in [item for item in self.findings[store.label] if item.severity == "error"][:1]
        )

    def require(self, facts: ImageFacts) -> None:
        """Leave out the stores that cannot take an image of these *facts*. Raises as ``refuse`` does."""
        self.refuse(self._misfits(facts))

    def require_file(self, size: int | None) -> None:
        """Leave out the stores for which data of *size* has to be spooled, as no file may be written."""
        self.refuse(
            (
                store,
                _no_file(
                    "needs a file" if capabilities_of(store).wants_file else "needs the size beforehand"
                ),
            )
            for store in self.for_which_to_spool(size)
        )

    def for_which_to_spool(self, size: int | None) -> list[BoundStep]:
        """Return the stores that take a stream of *size* bytes (None: not known) only as a file."""
        return [store for store in self.accepting if needs_spool(store, size)]

    def _room(self, store: BoundStep) -> int | None:
        free = [found.free for found in self.findings.get(store.label, ()) if found.free is not None]
        return min(free, default=None)

    def _misfits(self, facts: ImageFacts) -> Iterator[tuple[BoundStep, StoreFailed]]:
        for store in self.accepting:
            reason = misfit(capabilities_of(store), facts, self._conversion)
            reason = reason or _no_room(self._room(store), facts, capabilities_of(store))
            if reason is not None:
                yield store, reason


def misfit(capabilities: StoreCapabilities, facts: ImageFacts, conversion: Conversion) -> StoreFailed | None:
    """Return why a store of these *capabilities* cannot take an image of these *facts*, None when it may."""
    accepted, formats, size = capabilities.formats, facts.formats, facts.size
    if accepted is not None and formats is not None and not accepted & formats:
        entry = conversion(accepted)
        return StoreFailed(
            f"the store accepts {_listed(accepted)}, and the image is {_listed(formats)}",
            hint=f"add a step that converts it: {entry}; or {_LEAVE_OUT}" if entry else _LEAVE_OUT,
        )
    if size is None:
        return None
    if capabilities.largest is not None and size > capabilities.largest:
        return too_large(capabilities.largest, size)
    return misaligned(capabilities.alignment, size) if size % capabilities.alignment else None


def too_large(largest: int, size: int | None) -> StoreFailed:
    """Return the error for an image of *size* bytes, None for more than fit, in a store for *largest* bytes."""
    it = "the image is larger" if size is None else f"the image has {_bytes(size)}"
    return StoreFailed(f"the store takes images of at most {_bytes(largest)}, and {it}", hint=_LEAVE_OUT)


def misaligned(alignment: int, size: int) -> StoreFailed:
    """Return the error for an image whose *size* is not a multiple of *alignment*."""
    return StoreFailed(
        f"the store takes images whose size is a multiple of {alignment} bytes, and the image has {size}",
        hint=f"{size - size % alignment + alignment} bytes would fit: let a step make the image that long, "
        f"since a store never changes it; or {_LEAVE_OUT}",
    )


def needs_spool(store: BoundStep, size: int | None) -> bool:
    """Return whether a stream of *size* bytes, None when not known, has to be spooled for *store*."""
    capabilities = capabilities_of(store)
    return capabilities.wants_file or (capabilities.needs_size and size is None)


def limited(chunks: Chunks, capabilities: StoreCapabilities) -> Chunks:
    """Pass *chunks* on to a store. Raises ``StoreFailed`` when they are more than it takes, or not aligned."""
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if capabilities.largest is not None and total > capabilities.largest:
            raise too_large(capabilities.largest, None)
        yield chunk
    if total % capabilities.alignment:
        raise misaligned(capabilities.alignment, total)


def _no_room(free: int | None, facts: ImageFacts, capabilities: StoreCapabilities) -> StoreFailed | None:
    needed = facts.taken if capabilities.keeps_holes else facts.size
    if free is None or needed is None or needed <= free:
        return None
    return StoreFailed(
        f"the store has room for {_bytes(free)}, and the image needs {_bytes(needed)}",
        hint=f"free space in the store, or {_LEAVE_OUT}",
    )


def _no_file(need: str) -> StoreFailed:
    return StoreFailed(
        f"the store {need}, and the pipeline allows streaming only",
        hint=f"set 'staging: auto' in the pipeline, or {_LEAVE_OUT}",
    )


def _listed(names: Collection[str]) -> str:
    return " or ".join(sorted(names))


def _bytes(size: int) -> str:
    return f"{format_size(size)} ({size} bytes)"
