"""The promises that every step keeps, as tests to inherit."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from imageport.errors import Cancelled, ImageportError, SourceUnavailable, StepCrashed
from imageport.events import CheckEvent, ProgressEvent
from imageport.testing.benches import RECORD, Bench, Stream, bench, files_below, joined, require_equal
from imageport.testing.plugin_suite import PluginConformance
from imageport.values import Image, ImageRecord

#: A disk: a boot record without partitions, and data.
DISK = bytes(510) + b"\x55\xaa" + random.Random(7).randbytes(1_500_000) + bytes(300_000)

#: Bytes that do not form an image, or only a part of one.
DAMAGED: Mapping[str, bytes] = {
    "no bytes": b"",
    "one byte": b"\x00",
    "noise": random.Random(8).randbytes(100_000),
    "the beginning of gzip": b"\x1f\x8b\x08\x00" + bytes(2_000),
    "the beginning of xz": b"\xfd7zXZ\x00" + bytes(2_000),
    "the beginning of bzip2": b"BZh91AY&SY" + bytes(2_000),
    "the beginning of zstd": b"\x28\xb5\x2f\xfd" + bytes(2_000),
    "the beginning of zip": b"PK\x03\x04" + bytes(2_000),
    "the beginning of 7z": b"7z\xbc\xaf\x27\x1c" + bytes(2_000),
    "the beginning of lha": b"\x20\x00-lh5-" + bytes(2_000),
    "the beginning of qcow2": b"QFI\xfb\x00\x00\x00\x03" + bytes(2_000),
    "the beginning of vmdk": b"KDMV\x01\x00\x00\x00" + bytes(2_000),
    "the beginning of vhdx": b"vhdxfile" + bytes(2_000),
    "the beginning of vhd": b"conectix" + bytes(2_000),
}


class StepConformance(PluginConformance):
    """Tests of a step.

    Inherit from it, and name the plugin and its options::

        class TestStamp(StepConformance):
            plugin = "stamp"
            options = {"name": "imported_by"}

    ``plugin`` is an installed name or a class. ``options`` are those under ``with:``; relative paths are in the folder
    of the test. ``content`` and ``record`` are an image that passes the step.
    """

    content: ClassVar[bytes] = DISK
    record: ClassVar[ImageRecord] = RECORD

    @pytest.fixture
    def step(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
        """Return the step, as an import calls it, in a working folder that has to stay empty."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
        monkeypatch.setenv("TMPDIR", str(elsewhere))
        with bench(self.plugin, self.options, tmp_path) as made:
            yield made
        assert files_below(elsewhere) == [], "scratch files belong to the work folder: ctx.work_file(...)"

    def run(self, step: Bench, source: Stream) -> tuple[Image, bytes]:
        """Return the result of *step* for the image of *source*, with its bytes read to the end."""
        image = step.transform(Image(self.record, source.data()))
        return image, joined(step.chunks(image.data))

    def test_an_image_passes(self, step: Bench) -> None:
        image, _ = self.run(step, Stream(self.content))
        assert image.record.id == self.record.id
        assert image.data.finished

    def test_equal_images_become_equal(self, tmp_path: Path) -> None:
        made = []
        for _ in range(2):
            with bench(self.plugin, self.options, tmp_path) as step:
                image, content = self.run(step, Stream(self.content))
                made.append((image.record, content))
        (record, content), (other_record, other_content) = made
        assert record == other_record
        require_equal(content, other_content)

    def test_the_image_that_came_in_stays_as_it_was(self, step: Bench) -> None:
        data = Stream(self.content).data()
        given = Image(self.record, data)
        before = repr(self.record)
        step.transform(given)
        assert repr(given.record) == before
        assert given.data is data

    def test_the_way_the_bytes_are_cut_does_not_matter(self, step: Bench, tmp_path: Path) -> None:
        whole = self.run(step, Stream(self.content))[1]
        cut = [self.content[:1], self.content[1:4097], b"", self.content[4097:]]
        with bench(self.plugin, self.options, tmp_path) as other:
            require_equal(self.run(other, Stream(*cut))[1], whole)

    def test_the_stream_is_begun_at_most_once(self, step: Bench) -> None:
        source = Stream(self.content)
        self.run(step, source)
        assert source.begun <= 1
        assert source.closed

    @pytest.mark.parametrize(
        "error", [SourceUnavailable("the cable was cut"), Cancelled("the import was interrupted")], ids=type
    )
    def test_an_error_of_the_source_passes_and_the_stream_is_closed(
        self, step: Bench, error: Exception
    ) -> None:
        source = Stream(self.content[:700_000], error=error)
        with pytest.raises(type(error)) as caught:
            self.run(step, source)
        assert caught.value is error
        assert source.closed

    def test_a_step_of_a_cancelled_import_closes_the_stream(self, step: Bench) -> None:
        source = Stream(self.content)
        step.cancel()
        with suppress(Cancelled):
            self.run(step, source)
        assert source.closed or not source.begun

    def test_a_stream_that_is_not_read_to_its_end_is_closed(self, step: Bench) -> None:
        source = Stream(*[self.content[start : start + 4096] for start in range(0, len(self.content), 4096)])
        image = step.transform(Image(self.record, source.data()))
        with closing(step.chunks(image.data)) as chunks:
            next(chunks, None)
        image.data.close()
        assert source.closed or not source.begun

    @pytest.mark.parametrize("damage", DAMAGED)
    def test_bytes_of_any_kind_pass_or_are_refused_with_a_hint(self, step: Bench, damage: str) -> None:
        source = Stream(DAMAGED[damage])
        try:
            self.run(step, source)
        except ImageportError as error:
            assert not isinstance(error, StepCrashed), error
            assert error.message
            assert error.hint
            assert source.closed or not source.begun

    def test_a_step_reports_progress_and_checks_and_nothing_else(self, step: Bench) -> None:
        self.run(step, Stream(self.content))
        assert all(isinstance(event, (ProgressEvent, CheckEvent)) for event in step.events)
        for event in step.events:
            if isinstance(event, ProgressEvent):
                assert 0 <= event.done <= (event.done if event.total is None else event.total)

    def test_standard_output_stays_free(self, step: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        self.run(step, Stream(self.content))
        assert capfd.readouterr().out == ""
