"""The signatures that each hook may have in a plugin, for type checkers; nothing imports this module at run time.

A plugin names any of the arguments of a hook, in any order. So the type of a hook is a union of one callable for each
choice of arguments, which are passed by name. :class:`imageport.Plugin` declares its hooks with these types, and a
method that fits none of them is an incompatible override.

Each choice is there twice, as mypy compares bound methods, and pyright functions with their receiver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.events import Event
    from imageport.values import Image, ImageRecord, Location, Source

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

MYPY = False
if MYPY:

    class Receiver:
        """A plugin. mypy finds no method with it, as it compares bound methods."""

else:
    Receiver: TypeAlias = Any


class PlainMethod(Protocol[R_co]):
    def __call__(self) -> R_co: ...


class PlainFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /) -> R_co: ...


class ContextMethod(Protocol[R_co]):
    def __call__(self, *, ctx: Context) -> R_co: ...


class ContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, ctx: Context) -> R_co: ...


class SourceMethod(Protocol[R_co]):
    def __call__(self, *, source: Source) -> R_co: ...


class SourceFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, source: Source) -> R_co: ...


class RecordMethod(Protocol[R_co]):
    def __call__(self, *, image: ImageRecord) -> R_co: ...


class RecordFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, image: ImageRecord) -> R_co: ...


class SourceRecordMethod(Protocol[R_co]):
    def __call__(self, *, source: Source, image: ImageRecord) -> R_co: ...


class SourceRecordFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, source: Source, image: ImageRecord) -> R_co: ...


class SourceContextMethod(Protocol[R_co]):
    def __call__(self, *, source: Source, ctx: Context) -> R_co: ...


class SourceContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, source: Source, ctx: Context) -> R_co: ...


class RecordContextMethod(Protocol[R_co]):
    def __call__(self, *, image: ImageRecord, ctx: Context) -> R_co: ...


class RecordContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, image: ImageRecord, ctx: Context) -> R_co: ...


class SourceRecordContextMethod(Protocol[R_co]):
    def __call__(self, *, source: Source, image: ImageRecord, ctx: Context) -> R_co: ...


class SourceRecordContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, source: Source, image: ImageRecord, ctx: Context) -> R_co: ...


class ImageMethod(Protocol[R_co]):
    def __call__(self, *, image: Image) -> R_co: ...


class ImageFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, image: Image) -> R_co: ...


class ImageContextMethod(Protocol[R_co]):
    def __call__(self, *, image: Image, ctx: Context) -> R_co: ...


class ImageContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, image: Image, ctx: Context) -> R_co: ...


class LocationMethod(Protocol[R_co]):
    def __call__(self, *, location: Location) -> R_co: ...


class LocationFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, location: Location) -> R_co: ...


class LocationContextMethod(Protocol[R_co]):
    def __call__(self, *, location: Location, ctx: Context) -> R_co: ...


class LocationContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, location: Location, ctx: Context) -> R_co: ...


class EventMethod(Protocol[R_co]):
    def __call__(self, *, event: Event) -> R_co: ...


class EventFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, event: Event) -> R_co: ...


class EventContextMethod(Protocol[R_co]):
    def __call__(self, *, event: Event, ctx: Context) -> R_co: ...


class EventContextFunction(Protocol[R_co]):
    def __call__(self, plugin: Receiver, /, *, event: Event, ctx: Context) -> R_co: ...


TakesContext: TypeAlias = PlainMethod[T] | PlainFunction[T] | ContextMethod[T] | ContextFunction[T]

TakesSource: TypeAlias = (
    PlainMethod[T]
    | PlainFunction[T]
    | SourceMethod[T]
    | SourceFunction[T]
    | RecordMethod[T]
    | RecordFunction[T]
    | ContextMethod[T]
    | ContextFunction[T]
    | SourceRecordMethod[T]
    | SourceRecordFunction[T]
    | SourceContextMethod[T]
    | SourceContextFunction[T]
    | RecordContextMethod[T]
    | RecordContextFunction[T]
    | SourceRecordContextMethod[T]
    | SourceRecordContextFunction[T]
)

TakesImage: TypeAlias = (
    PlainMethod[T]
    | PlainFunction[T]
    | ImageMethod[T]
    | ImageFunction[T]
    | ContextMethod[T]
    | ContextFunction[T]
    | ImageContextMethod[T]
    | ImageContextFunction[T]
)

TakesLocation: TypeAlias = (
    PlainMethod[T]
    | PlainFunction[T]
    | LocationMethod[T]
    | LocationFunction[T]
    | ContextMethod[T]
    | ContextFunction[T]
    | LocationContextMethod[T]
    | LocationContextFunction[T]
)

TakesEvent: TypeAlias = (
    PlainMethod[T]
    | PlainFunction[T]
    | EventMethod[T]
    | EventFunction[T]
    | ContextMethod[T]
    | ContextFunction[T]
    | EventContextMethod[T]
    | EventContextFunction[T]
)
