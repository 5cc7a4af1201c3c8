"""The only module that talks to pluggy: one configured plugin, called through typed methods."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks, is_read_only
from imageport.deadlines import DEADLINES, error_after
from imageport.errors import ImageportError, PluginBroken, StepCrashed, StoreFailed
from imageport.hookspecs import NAMESPACE, ImportHooks
from imageport.plugins.hooks import marked_methods
from imageport.plugins.lifetime import Lifetime
from imageport.plugins.secret_options import secret_options
from imageport.plugins.translation import hide, translated
from imageport.values import Finding, Image, Location, StagedCopy, StoredCopy
from imageport.watched_calls import Call, LeftBehind, supervised, within

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.events import Event
    from imageport.limits import Limits
    from imageport.plugin import Plugin
    from imageport.values import ImageRecord, PendingCopy, Source

T = TypeVar("T")

#: Copies that one store may list; a plugin may yield them without end.
_MAX_COPIES = 10_000_000

log = logging.getLogger(__name__)

#: Findings of one plugin that are taken; a plugin may yield them without end.
_MAX_FINDINGS = 100


def _go_on() -> None:
    pass


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
    hook carries the label and the distribution, and none of ``secrets``. Errors of the system and those in the table of
    a store become failures, and all others ``StepCrashed``, also ``KeyboardInterrupt``. No hook runs in the
    thread of its caller, so each can be left behind at its deadline (``imageport.deadlines``). ``lifetime`` has the
    calls of ``setup`` and ``close``.
    """

    label: str
    distribution: str
    plugin: Plugin[Any]
    is_store: bool
    answers: frozenset[str]
    hooks: pluggy.HookRelay
    lifetime: Lifetime
    secrets: frozenset[str]

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
        secrets = frozenset(secret_options(getattr(plugin, "config", None)))
        return cls(label, distribution, plugin, is_store, answers, manager.hook, Lifetime(plugin), secrets)

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
        return self._run("leaves_unchanged", partial(self.plugin.leaves_unchanged, head))

    def formats_made(self, disk_format: str | None) -> frozenset[str] | None:
        """Return the disk formats that the step may make of an image of *disk_format*, None when not known."""
        made = self._run("formats_made", partial(self.plugin.formats_made, disk_format))
        return None if made is None else self._checked(made, frozenset, "formats_made")

    def store_write(self, image: Image, ctx: StepContexts) -> PendingCopy:
        """Write the image and return the copy, which is not visible yet."""
        copy: PendingCopy = self._call("store_write", ctx, image=image)
        if not all(hasattr(copy, name) for name in ("location", "bytes_written", "publish", "discard")):
            raise self.wrong_answer("store_write", copy, "a pending copy")
        return StagedCopy(
            self._checked(copy.location, Location, "store_write"),
            self._checked(copy.bytes_written, int, "store_write"),
            partial(self._run, "publish", copy.publish),
            partial(self._run, "discard", copy.discard),
        )

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
        context = ctx.for_step(self.label)
        listed = iter(self._call("store_list", ctx) or ())
        for number, copy in enumerate(self._pulled(listed, "store_list", context.limits, context)):
            if number == _MAX_COPIES:
                endless = StoreFailed(
                    "the store lists copies without end", hint="examine it by its own means"
                )
                raise self.blamed(endless, "store_list")
            yield self._checked(copy, StoredCopy, "store_list")

    def on_progress(self, event: Event, ctx: StepContexts) -> None:
        """Show *event* to an observer; the caller guards it."""
        with self.lifetime.at_work():
            self.hooks.on_progress(event=event, ctx=self._ready(ctx.for_step(self.label)))

    def diagnose(self, ctx: StepContexts) -> list[Finding]:
        """Return the findings of the plugin about its options on this machine, none when it examines nothing."""
        if "diagnose" not in self.answers:
            return []
        made = ctx.for_step(self.label)

        def examine() -> list[Finding]:
            return list(islice(self.hooks.diagnose(ctx=self._ready(made)) or (), _MAX_FINDINGS))

        found = self._within("diagnose", examine, made.limits, made)
        return [self._checked(finding, Finding, "diagnose") for finding in found]

    def guard(self, chunks: Chunks, hook: str, limits: Limits) -> Generator[Chunk, None, None]:
        """Pass on a stream that *hook* of this step made, and raise for pieces that are not bytes or come too late.

        Errors name the step.
        """
        for chunk in self._pulled(chunks, f"{hook}, its stream", limits):
            self._require_bytes(chunk)
            yield chunk

    def _pulled(
        self, items: Iterator[T], name: str, limits: Limits, ctx: Context | None = None
    ) -> Generator[T, None, None]:
        """Pass *items* of the plugin on; *name* is the deadline of each."""
        end = object()
        while (item := self._within(name, lambda: next(items, end), limits, ctx)) is not end:
            yield item  # type: ignore[misc]

    def _require_bytes(self, chunk: object) -> None:
        if not is_read_only(chunk):
            raise self.wrong_answer("its stream", chunk, "bytes or a read-only memoryview of bytes")

    def blamed(self, error: BaseException, hook: str) -> ImageportError:
        """Return *error* with this step named in it, unless a deeper step is named already."""
        if not isinstance(error, ImageportError):
            error = translated(error, hook, self)
        hide(error, self.secrets)
        if error.step is None and error.store is None:
            if self.is_store:
                error.store = self.label
            else:
                error.step = self.label
            error.distribution = self.distribution
        return error

    def close(self) -> None:
        """Give back what the plugin has opened, once, after its last hook; an error is logged."""
        if not self.lifetime.end(self.label):
            return
        try:
            self._within("close", self.plugin.close, self.lifetime.limits)
        except ImageportError as error:
            log.warning("'%s' could not be closed: %s", self.label, error, exc_info=True)

    def _ready(self, ctx: Context) -> Context:
        """Set the plugin up unless it is, and return *ctx*."""

        def set_up() -> None:
            supervised(lambda: self._within("setup", partial(self.plugin.setup, ctx), ctx.limits))

        self.lifetime.begin(set_up, ctx.limits)
        return ctx

    def _call(self, hook: str, ctx: StepContexts, **arguments: Any) -> Any:
        made = ctx.for_step(self.label)

        def call() -> Any:
            arguments["ctx"] = made if hook == "validate_source" else self._ready(made)
            return getattr(self.hooks, hook)(**arguments)

        if hook == "store_write":
            # Its caller has a separate thread for it, which is left behind when the store takes no more bytes.
            return self._run(hook, call)
        return self._within(hook, call, made.limits, made)

    def _within(self, name: str, action: Callable[[], T], limits: Limits, ctx: Context | None = None) -> T:
        """Return the result of *action*, a call of the plugin, within the deadline *name*.

        Raises ``Cancelled`` when the import of *ctx* is cancelled meanwhile.
        """

        def overdue() -> ImageportError:
            return self.overdue(name, limits)

        call = Call(DEADLINES[name].seconds(limits), overdue)
        check = ctx.check_cancelled if ctx is not None and not ctx.cancelled.is_set() else _go_on
        return within(call, partial(self._run, name.rpartition(", ")[2], action), check=check)

    def overdue(self, name: str, limits: Limits) -> ImageportError:
        """Return the error of a call of this step that takes longer than the deadline *name*."""
        return self.blamed(error_after(name, limits, StoreFailed if self.is_store else None), name)

    def _run(self, hook: str, action: Callable[[], T]) -> T:
        """Return the result of *action*, a call of the plugin; its errors carry the label."""
        try:
            with self.lifetime.at_work():
                return action()
        except LeftBehind:
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
