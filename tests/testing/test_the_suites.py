"""The suites find a plugin that breaks a promise, and the memory store keeps all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from imageport.testing import MemoryStore, StoreConformance

pytest_plugins = ["pytester"]


class TestMemoryStore(StoreConformance):
    plugin = MemoryStore
    large = 8 << 20  # its copies are in memory

    @pytest.fixture(autouse=True)
    def clear(self) -> Iterator[None]:
        yield
        MemoryStore.clear()

    def traces(self, folder: Path) -> list[str]:
        return [copy.url for copy in (*MemoryStore.published.values(), *MemoryStore.hidden)]


STORE = """
    from imageport.stores import FolderStore, FolderStoreConfig
    from imageport.testing import StoreConformance

    class Shelf(FolderStore[FolderStoreConfig]):
        '''Keep images.'''

        config_model = FolderStoreConfig

        def file_name(self, image):
            return image.record.id

    {defect}

    class TestShelf(StoreConformance):
        plugin = Shelf
        options = {{"directory": "images"}}
"""

STORE_DEFECTS = {
    "a copy that stays when it is discarded": (
        "Shelf.discard = lambda self, copy: None",
        "test_a_discarded_copy_leaves_nothing",
    ),
    "a copy that is visible at once": (
        "Shelf.finish = lambda self, copy: (copy.close(0o600), copy._file.give_name(copy.final))",
        "test_a_copy_cannot_be_read_before_it_is_published",
    ),
    "a copy that cannot be deleted": (
        "Shelf.delete = lambda self, location, ctx: None",
        "test_a_copy_is_published_read_and_deleted",
    ),
    "a published copy that is removed with the mark of another": (
        "Shelf.is_ours = lambda self, path, mark: path.exists()",
        "test_an_attempt_that_was_given_up_leaves_the_next_one_alone",
    ),
    "a copy that loses its last byte": (
        "Shelf.write = lambda self, copy, chunk: copy.write(chunk[:-1] if len(chunk) > 1 else chunk)",
        "test_a_copy_is_published_read_and_deleted",
    ),
    "output that belongs to the report": (
        "Shelf.prepare = lambda self, location: (FolderStore.prepare(self, location), print('hello'))",
        "test_standard_output_stays_free",
    ),
}

STEP = """
    import os, tempfile
    from imageport import Image, ImageData, NoConfig, Plugin, SourceUnavailable, hookimpl
    from imageport.testing import StepConformance

    class Step(Plugin[NoConfig]):
        '''Do something.'''

        @hookimpl
        def transform(self, image, ctx):
            {body}

    class TestStep(StepConformance):
        plugin = Step
"""

STEP_DEFECTS = {
    "a stream that is left open": (
        "self.kept = image.data.chunks(); next(self.kept, None); return image.evolve("
        "data=ImageData.from_chunks(lambda: iter([b'x'])))",
        "test_the_stream_is_begun_at_most_once",
    ),
    "an unknown error": ("raise RuntimeError('oops')", "test_an_image_passes"),
    "a file beside the work folder": (
        "open('left', 'w').close(); return None",
        "test_an_image_passes",
    ),
    "a result by chance": (
        "return image.with_properties(number=str(os.urandom(8).hex()))",
        "test_equal_images_become_equal",
    ),
    "an error of the source that is replaced": (
        "return image.evolve(data=image.data.through(quiet))",
        "test_an_error_of_the_source_passes_and_the_stream_is_closed",
    ),
}

STEP_DEFECTS |= {
    "a file that is treated in another way than a stream": (
        "return image.evolve(name='file') if image.data.path else image",
        "test_a_stream_and_a_file_give_the_same_bytes",
    ),
    "a stream that grows without end": (
        "return image.evolve(data=ImageData.from_chunks(lambda: iter([bytes(1 << 20)] * 64)))"
        " if image.data.peek(2) == b'BZ' else image.evolve(data=image.data.through(doubled))",
        "test_a_small_file_does_not_become_larger_than_the_cap",
    ),
    "bytes that are changed by a step that changes none": (
        "self.writes = 'nothing'; return image.evolve(data=image.data.through(doubled))",
        "test_the_bytes_are_changed_as_declared",
    ),
    "a hint that is missing for an image that was cut off": (
        "return image.evolve(data=image.data.through(whole))",
        "test_an_image_that_was_cut_off_passes_or_is_refused_with_a_hint",
    ),
}

QUIET = """
    def quiet(chunks):
        try:
            yield from chunks
        except Exception as error:
            raise SourceUnavailable("something happened") from error

    def doubled(chunks):
        for chunk in chunks:
            yield chunk
            yield chunk

    def whole(chunks):
        total = 0
        for chunk in chunks:
            total += len(chunk)
            yield chunk
        if total % 1000 != 512:
            raise LookupError("the image is not whole")
"""

METHOD = """
    from imageport import ImageData, NoConfig, Plugin, hookimpl
    from imageport.testing import MethodConformance

    class Method(Plugin[NoConfig]):
        '''Fetch images.'''

        @hookimpl
        def stage(self, source, ctx):
            {body}

    class TestMethod(MethodConformance):
        plugin = Method
        patience = 3
"""

METHOD_DEFECTS = {
    "a connection without the rules of the site": (
        "import urllib.request; body = urllib.request.urlopen(source.uri).read();"
        " return ImageData.from_chunks(lambda: iter([body]))",
        {
            "test_a_network_that_the_site_refuses_is_not_used",
            "test_a_step_can_refuse_the_source",
            "test_a_redirect_is_followed_with_all_checks",
        },
    ),
    "an image of other bytes": (
        "return ImageData.from_chunks(lambda: iter([b'other']))",
        {"test_the_image_is_read_whole", "test_an_image_that_ends_early_is_never_taken_for_whole"},
    ),
}

OBSERVER = """
    from imageport import NoConfig, Plugin, hookimpl
    from imageport.testing import ObserverConformance

    class Observer(Plugin[NoConfig]):
        '''Watch imports.'''

        @hookimpl
        def on_progress(self, event, ctx):
            {body}

    class TestObserver(ObserverConformance):
        plugin = Observer
"""

OBSERVER_DEFECTS = {
    "a field that not all events have": ("event.step.upper()", {"test_every_kind_of_event_is_accepted"}),
    "a kind that was expected": (
        "{'task.create': 1}[event.kind] if event.kind.startswith('task.of') else 0",
        {"test_a_kind_of_a_later_version_is_passed_over"},
    ),
    "an event of the observer": ("ctx.progress(1)", {"test_nothing_is_sent_by_an_observer"}),
    "output that belongs to the report": ("print(event.kind)", {"test_standard_output_stays_free"}),
}


def test_a_store_without_a_defect_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(dedent(STORE.format(defect="")))
    assert pytester.inline_run().ret == 0


@pytest.mark.parametrize("defect", STORE_DEFECTS)
def test_a_store_that_breaks_a_promise_is_found(pytester: pytest.Pytester, defect: str) -> None:
    code, expected = STORE_DEFECTS[defect]
    pytester.makepyfile(dedent(STORE.format(defect=code)))
    assert expected in _failed(pytester)


@pytest.mark.parametrize("defect", STEP_DEFECTS)
def test_a_step_that_breaks_a_promise_is_found(pytester: pytest.Pytester, defect: str) -> None:
    body, expected = STEP_DEFECTS[defect]
    pytester.makepyfile(dedent(STEP.format(body=body)) + dedent(QUIET))
    assert expected in _failed(pytester)


@pytest.mark.parametrize("defect", METHOD_DEFECTS)
def test_a_method_that_breaks_a_promise_is_found(pytester: pytest.Pytester, defect: str) -> None:
    body, expected = METHOD_DEFECTS[defect]
    pytester.makepyfile(dedent(METHOD.format(body=body)))
    assert expected <= _failed(pytester)


@pytest.mark.parametrize("defect", OBSERVER_DEFECTS)
def test_an_observer_that_breaks_a_promise_is_found(pytester: pytest.Pytester, defect: str) -> None:
    body, expected = OBSERVER_DEFECTS[defect]
    pytester.makepyfile(dedent(OBSERVER.format(body=body)))
    assert expected <= _failed(pytester)


def _failed(pytester: pytest.Pytester) -> set[str]:
    _, skipped, failed = pytester.inline_run().listoutcomes()
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in (*skipped, *failed)}
