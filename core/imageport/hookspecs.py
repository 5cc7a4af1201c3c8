"""The contract between Imageport and its plugins: five hooks, four that complete a store, and one that examines.

A plugin is a subclass of :class:`imageport.Plugin` with methods marked ``@hookimpl``. A method names only the
arguments it wants, in any order::

    from imageport import Image, Plugin, hookimpl

    class Shout(Plugin):
        \"\"\"Write the name of the image in capitals.\"\"\"

        @hookimpl
        def transform(self, image: Image) -> Image:
            return image.evolve(name=(image.record.name or "").upper())

A marked method that is not a hook, an argument that its hook does not have, and a method that is named like a hook and
not marked make the plugin broken: ``imageport plugins list`` reports that, and so do type checkers
(:class:`imageport.Plugin`). Marked ``@hookimpl(optionalhook=True)``, a hook may be one that only other versions of
Imageport have; type checkers, which know one version, need a comment ``# type: ignore`` there.

Hooks may be called from different threads, never the same hook twice at the same time on one step. Raise the errors of
:mod:`imageport.errors`: their class decides the next step. Anything else is reported as a crash of the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageport.context import Context
    from imageport.data import ImageData
    from imageport.events import Event
    from imageport.values import Finding, Image, ImageRecord, Location, PendingCopy, Source, StoredCopy

__all__ = ["NAMESPACE", "ImportHooks", "hookimpl", "hookspec"]

NAMESPACE = "imageport"

hookspec = pluggy.HookspecMarker(NAMESPACE)

if TYPE_CHECKING:
    # Type checkers report a method that is marked so and has the name of no hook that Plugin declares.
    from typing_extensions import override as hookimpl
else:
    #: Marks a method of a plugin as the implementation of the hook of that name.
    hookimpl = pluggy.HookimplMarker(NAMESPACE)


class ImportHooks:
    """The hooks, in the order in which an import calls them."""

    # ------------------------------------------------------------------------------------------- before any byte

    @hookspec
    def validate_source(self, source: Source, image: ImageRecord, ctx: Context) -> None:
        """Refuse *source* by raising :class:`~imageport.SourceRejected`; return nothing to let it pass.

        Called on every step and every store before anything is fetched, and again for the target of every redirect
        and for every other url that a plugin fetches. Must not open a connection.
        Example: refuse hosts outside a list.
        """

    @hookspec(firstresult=True)
    def stage(self, source: Source, image: ImageRecord, ctx: Context) -> ImageData | None:
        """Return the bytes of the image, without reading any of them yet.

        Called on the step under ``source:``. None means "not mine", which ends the import with an error.
        Raises :class:`~imageport.SourceRejected` or :class:`~imageport.SourceUnavailable`, now or while the data is
        read. Example: ``return ImageData.from_file(path)``.
        """

    # ------------------------------------------------------------------------------------------ the image in flight

    @hookspec(firstresult=True)
    def transform(self, image: Image, ctx: Context) -> Image | None:
        """Return a new image, or None to leave *image* as it is.

        Called on the step under ``source:`` when it has this hook, for the facts that the source has about the image,
        and then on each entry of ``steps:``, top to bottom. To change bytes, wrap the stream with
        :meth:`ImageData.through`, or ask for a file with ``ctx.spool(image.data)`` and write the result to
        ``ctx.work_file(...)``. Raises :class:`~imageport.TransformFailed` (cannot do it) or
        :class:`~imageport.VerificationFailed` (the image is not as it should be).

        Of the record, a step may change ``name``, ``disk_format``, ``container_format``, ``virtual_size``,
        ``min_disk``, ``min_ram``, ``tags`` and ``properties``, but for properties whose names begin with ``os_glance``.
        In the container ``bare``, where Imageport inspects the bytes, ``disk_format`` has to match them and
        ``virtual_size`` is measured. Size and digests always are. A changed ``id`` fails the import; a changed
        ``status``, ``owner``, ``visibility``, ``protected`` or ``locations`` has no effect.
        """

    # -------------------------------------------------------------------------------------------------- the stores

    @hookspec(firstresult=True)
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        """Write every byte of ``image.data`` and return a copy that is not visible before ``publish()``.

        Called once for each target store, each in a separate thread, all reading the same pass over the data. Call
        ``ctx.announce(location)`` before the first byte is taken, so that the copy can be removed with
        ``store_delete`` should the process die; a store that does not has failed. It may be called again with further
        metadata, such as the id of an upload: the last call counts. ``ctx.copy_token`` is for the name of the hidden
        copy. An exception, from the data or from here, must leave nothing behind. Raises
        :class:`~imageport.StoreFailed`.
        """

    @hookspec(firstresult=True)
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of the copy at *location*, without reading any of them yet.

        A store with this hook and without ``store_write`` is read-only. Raises :class:`~imageport.StoreFailed`.
        """

    @hookspec(firstresult=True)
    def store_delete(self, location: Location, ctx: Context) -> None:
        """Remove the copy at *location*, published or half written; a missing copy is not an error.

        Raises :class:`~imageport.StoreFailed` when the copy is still there afterwards.
        """

    @hookspec(firstresult=True)
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return the published copy at *location* as the store sees it, or None when it is not there.

        Reads no bytes of the image. Raises :class:`~imageport.StoreFailed` when the store cannot be asked.
        """

    @hookspec(firstresult=True)
    def store_list(self, ctx: Context) -> Iterable[StoredCopy]:
        """Yield every published copy that carries the mark of Imageport, in any order.

        The location of each is enough for ``store_delete``. Copies that are not published are not in the list: they
        are found by what was announced. Raises :class:`~imageport.StoreFailed` when the store cannot be asked.
        """

    # --------------------------------------------------------------------------------------------------- observers

    @hookspec
    def on_progress(self, event: Event, ctx: Context) -> None:
        """Take note of *event*. Errors are logged and never stop the import.

        Called for every event on every observer, and on every step that has this hook, in the order in which things
        happened, one call at a time, in a separate thread: the import does not wait for an observer. One that is far
        behind misses events ``progress``, and no others. The end of an import waits ten seconds for all of them
        together; events that are not delivered by then are lost, and the log names the observer. After three failures
        an observer is not called again. ``event.kind`` decides which fields an event has: see ``imageport.events``.
        Example: ``if event.kind == "task.failure": print(event.error)``.
        """

    # ------------------------------------------------------------------------------------------- outside of imports

    @hookspec(firstresult=True)
    def diagnose(self, ctx: Context) -> Iterable[Finding]:
        """Yield the findings of the plugin about its options and its server: :class:`~imageport.values.Finding`.

        A store examines whether an import would succeed: its server is reachable, the key is valid, the bucket, pool or
        folder is there, and how much room it has. Called by ``imageport doctor`` and ``imageport plan``, and before an
        import fetches its first byte. It must change nothing. A call that raises, or takes longer than ten seconds, is
        reported as a finding itself.
        Example: ``yield Finding("error", f"{folder} is missing", "mount it")``.
        """
