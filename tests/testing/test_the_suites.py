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

QUIET = """
    def quiet(chunks):
        try:
            yield from chunks
        except Exception as error:
            raise SourceUnavailable("something happened") from error
"""


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


def _failed(pytester: pytest.Pytester) -> set[str]:
    _, skipped, failed = pytester.inline_run().listoutcomes()
    return {report.nodeid.rpartition("::")[2].partition("[")[0] for report in (*skipped, *failed)}
