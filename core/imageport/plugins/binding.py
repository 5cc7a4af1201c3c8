"""The only module that talks to pluggy: one configured plugin, called through typed methods."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.errors import ImageportError, PluginBroken, StepCrashed
from imageport.hookspecs import NAMESPACE, ImportHooks
from imageport.plugins.hooks import marked_methods
from imageport.values import Finding, Image, StoredCopy

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.events import Event
    from imageport.plugin import Plugin
    from imageport.values import ImageRecord, Location, PendingCopy, Source

T = TypeVar("T")

#: Findings of one plugin that are taken; a plugin may yield them without end.
_MAX_FINDINGS = 100


class StepContexts(Protocol):
    """Makes the context of each step."""

    def for_step(self, label: str) -> Context:
        """Return the context of the step called *label*."""
        ...


class _Manager(pluggy.PluginManager):
    """Looks at the methods of *plugin* that are marked; pluggy would look at all it has, which takes milliseconds."""

    def __init__(self, plugin: Plugin[Any]) -> None:
        super().__init__(NAMESPACE)
        self._marked = marked_methods(type(plugin))

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        return super().parse_hookimpl_opts(plugin, name) if name in self._marked else None


@dataclass(frozen=True, slots=True, eq=False)
class BoundStep:
    """A plugin instance under its label, with a separate hook manager.

    A manager for each step keeps order out of pluggy: the runner's lists are the order. Every error that leaves a
    hook carries the label and the distribution; other errors than ``ImageportError`` become ``StepCrashed``, except for
    ``KeyboardInterrupt``, by which a signal ends the work.
    """

    label: str
    distribution: str
    plugin: Plugin[Any]
    is_store: bool
    answers: frozenset[str]
    hooks: pluggy.HookRelay

    @classmethod
    def bind(cls, label: str, distribution: str, plugin: Plugin[Any], *, is_store: bool = False) -> BoundStep:
        """Check *plugin* against the hookspecs. Raises ``PluginBroken`` when it does not fit them."""
        manager = _Manager(plugin)
        manager.add_hookspecs(ImportHooks)
        try:
            manager.register(plugin, label)
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginBroken(
                f"plugin '{label}' of {distribution} does not fit the hooks: {error}",
                hint=f"this is a defect of {distribution}: report it to its authors",
            ) from error
        answers = frozenset(caller.name for caller in manager.get_hookcallers(plugin) or ())
        return cls(label, distribution, plugin, is_store, answers, manager.hook)

    def validate_source(self, source: Source, image: ImageRecord, ctx: StepContexts) -> None:
        """Call ``validate_source``."""
        self._call("validate_source", ctx, source=source, image=image)

    def stage(self, source: Source, image: ImageRecord, ctx: StepContexts) -> ImageData:
        """Return the bytes that the import method provides."""
        return self._expect(ImageData, "stage", ctx, source=source, image=image)

    def transform(self, image: Image, ctx: StepContexts) -> Image:
        """Return the changed image, or *image* when the step leaves it alone."""
        if "transform" not in self.answers:
            return image
        changed: Image | None = self._call("transform", ctx, image=image)
        if changed is None:
            return image
        if self._checked(changed, Image, "transform").record.id != image.record.id:
            raise self.wrong_answer("transform", changed, "an image with the same id")
        return changed

    def leaves_unchanged(self, head: bytes) -> bool:
        """Return whether the step leaves bytes that begin with *head* unchanged."""
        try:
            return self.plugin.leaves_unchanged(head)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self.blamed(error, "leaves_unchanged") from error

    def store_write(self, image: Image, ctx: StepContexts) -> PendingCopy:
        """Write the image and return the copy, which is not visible yet."""
        copy: PendingCopy = self._call("store_write", ctx, image=image)
        if not all(hasattr(copy, name) for name in ("location", "bytes_written", "publish", "discard")):
            raise self.wrong_answer("store_write", copy, "a pending copy")
        return copy

    def store_read(self, location: Location, ctx: StepContexts) -> ImageData:
        """Return the bytes of a published copy."""
        return self._expect(ImageData, "store_read", ctx, location=location)

    def store_delete(self, location: Location, ctx: StepContexts) -> None:
        """Remove a copy."""
        self._call("store_delete", ctx, location=location)

    def store_stat(self, location: Location, ctx: StepContexts) -> StoredCopy | None:
        """Return the published copy at *location* as the store sees it, or None when it is not there."""
        answer = self._call("store_stat", ctx, location=location)
        return None if answer is None else self._checked(answer, StoredCopy, "store_stat")

    def store_list(self, ctx: StepContexts) -> Iterator[StoredCopy]:
        """Yield the published copies in the store that carry the mark of Imageport."""
        try:
            for copy in self._call("store_list", ctx) or ():
                yield self._checked(copy, StoredCopy, "store_list")
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            blamed = self.blamed(error, "store_list")
            if blamed is error:
                raise
            raise blamed from error

    def on_progress(self, event: Event, ctx: StepContexts) -> None:
        """Show *event* to an observer; the caller guards it."""
        self.hooks.on_progress(event=event, ctx=ctx.for_step(self.label))

    def diagnose(self, ctx: StepContexts) -> list[Finding]:
        """Return the findings of the plugin about its options on this machine, none when it examines nothing."""
        if "diagnose" not in self.answers:
            return []
        try:
            found = list(islice(self.hooks.diagnose(ctx=ctx.for_step(self.label)) or (), _MAX_FINDINGS))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self.blamed(error, "diagnose") from error
        return [self._checked(finding, Finding, "diagnose") for finding in found]

    def guard(self, chunks: Chunks) -> Generator[Chunk, None, None]:
        """Pass on a stream made by this step, and raise for pieces that are not bytes; errors name the step."""
        try:
            for chunk in chunks:
                self._require_bytes(chunk)
                yield chunk
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            blamed = self.blamed(error, "its stream")
            if blamed is error:
                raise
            raise blamed from error

    def _require_bytes(self, chunk: object) -> None:
        if not (isinstance(chunk, bytes) or _is_read_only(chunk)):
            raise self.wrong_answer("its stream", chunk, "bytes or a read-only memoryview of bytes")

    def blamed(self, error: BaseException, hook: str) -> ImageportError:
        """Return *error* with this step named in it, unless a deeper step is named already."""
        if not isinstance(error, ImageportError):
            error = StepCrashed(
                f"{type(error).__name__} in {hook}: {error}",
                hint=f"this looks like a defect of {self.distribution}: report it to its authors",
            )
        if error.step is None and error.store is None:
            if self.is_store:
                error.store = self.label
            else:
                error.step = self.label
            error.distribution = self.distribution
        return error

    def _call(self, hook: str, ctx: StepContexts, **arguments: Any) -> Any:
        arguments["ctx"] = ctx.for_step(self.label)
        try:
            return getattr(self.hooks, hook)(**arguments)
        except KeyboardInterrupt:
            raise
        # A plugin may even try to end the process, or raise that its coroutine was cancelled.
        except BaseException as error:
            blamed = self.blamed(error, hook)
            if blamed is error:
                raise
            raise blamed from error

    def _expect(self, expected: type[T], hook: str, ctx: StepContexts, **arguments: Any) -> T:
        return self._checked(self._call(hook, ctx, **arguments), expected, hook)

    def _checked(self, answer: Any, expected: type[T], hook: str) -> T:
        if isinstance(answer, expected):
            return answer
        raise self.wrong_answer(hook, answer, f"{expected.__name__}")

    def wrong_answer(self, hook: str, answer: Any, expected: str) -> ImageportError:
        """Return the error for an *answer* of this step to *hook* where another type is *expected*."""
        return self.blamed(
            StepCrashed(
                f"{hook} returned {type(answer).__name__} where {expected} is expected",
                hint=f"this is a defect of {self.distribution}: report it to its authors",
            ),
            hook,
        )


def _is_read_only(chunk: object) -> bool:
    """Return whether *chunk* is a view of contiguous bytes through which no other code writes."""
    return (
        isinstance(chunk, memoryview)
        and chunk.readonly
        and chunk.contiguous
        and (chunk.ndim, chunk.itemsize) == (1, 1)
    )
