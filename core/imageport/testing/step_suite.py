"""The promises that every step keeps, as tests to inherit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import ClassVar

import pytest

from imageport.data import ImageData
from imageport.errors import Cancelled, ImageportError, SourceUnavailable, StepCrashed
from imageport.events import CheckEvent, ProgressEvent
from imageport.limits import Limits
from imageport.testing.benches import RECORD, Bench, bench
from imageport.testing.clauses import capability, not_tried, refused, require
from imageport.testing.plugin_suite import PluginConformance
from imageport.testing.streams import Stream, files_below, require_equal
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

#: Bytes of the largest image that a step may make of a small file that expands without end.
_CAP = 16 << 20

#: Small files that expand to four times that size.
BOMBS: Mapping[str, bytes] = {
    "gzip": gzip.compress(bytes(4 * _CAP), mtime=0),
    "bzip2": bz2.compress(bytes(4 * _CAP)),
    "xz": lzma.compress(bytes(4 * _CAP)),
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

    role = "step"
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
        with bench(self.plugin, self.options, tmp_path, patience=self.patience) as made:
            yield made
        left = files_below(elsewhere)
        require(
            not left,
            f"scratch files are beside the work folder, where ctx.work_file makes them: {', '.join(left)}",
        )

    def run(self, step: Bench, data: ImageData) -> tuple[Image, bytes]:
        """Return the result of *step* for the image of *data*, with its bytes read to the end."""
        image = step.transform(Image(self.record, data))
        return image, step.bytes_of(image.data)

    def test_an_image_passes(self, step: Bench) -> None:
        """Return the image, changed or not, with the id that it came with."""
        image, _ = self.run(step, Stream(self.content).data())
        require(image.record.id == self.record.id, "the image has another id afterwards")
        require(image.data.finished, "the bytes of the image were not read to their end")

    def test_equal_images_become_equal(self, tmp_path: Path) -> None:
        """Let the result depend on the image and the options alone."""
        made = []
        for _ in range(2):
            with bench(self.plugin, self.options, tmp_path, patience=self.patience) as step:
                image, content = self.run(step, Stream(self.content).data())
                made.append((image.record, content))
        (record, content), (other_record, other_content) = made
        require(record == other_record, "two equal images have different records afterwards")
        require_equal(content, other_content)

    def test_a_stream_and_a_file_give_the_same_bytes(self, step: Bench, tmp_path: Path) -> None:
        """Treat image.data the same way whether it has a path or not."""
        streamed, content = self.run(step, Stream(self.content).data())
        path = tmp_path / "disk"
        path.write_bytes(self.content)
        with bench(self.plugin, self.options, tmp_path, patience=self.patience) as other:
            read, from_file = self.run(other, ImageData.from_file(path))
        require_equal(from_file, content)
        require(
            read.record == streamed.record, "a file gets another record than the stream with the same bytes"
        )
        require(path.exists() and path.read_bytes() == self.content, "the file of the source was changed")

    def test_the_image_that_came_in_stays_as_it_was(self, step: Bench) -> None:
        """Return a new image, made with image.evolve(...), and change nothing of the one that came in."""
        data = Stream(self.content).data()
        given = Image(self.record, data)
        before = repr(self.record)
        step.transform(given)
        require(repr(given.record) == before, "the record that came in was changed")
        require(given.data is data, "the data that came in was replaced")

    def test_the_way_the_bytes_are_cut_does_not_matter(self, step: Bench, tmp_path: Path) -> None:
        """Read chunks of any length, empty ones too."""
        whole = self.run(step, Stream(self.content).data())[1]
        cut = [self.content[:1], self.content[1:4097], b"", self.content[4097:]]
        with bench(self.plugin, self.options, tmp_path, patience=self.patience) as other:
            require_equal(self.run(other, Stream(*cut).data())[1], whole)

    def test_the_stream_is_begun_at_most_once(self, step: Bench) -> None:
        """Read image.data once, and close what is not read to its end; ctx.spool makes a file of it."""
        source = Stream(self.content)
        self.run(step, source.data())
        require(source.begun <= 1, f"the stream was begun {source.begun} times")
        require(source.closed, "the stream was left open")

    @pytest.mark.parametrize(
        "error", [SourceUnavailable("the cable was cut"), Cancelled("the import was interrupted")], ids=type
    )
    def test_an_error_of_the_source_passes_and_the_stream_is_closed(
        self, step: Bench, error: ImageportError
    ) -> None:
        """Let errors of image.data pass as they are."""
        source = Stream(self.content[:700_000], error=error)
        caught = refused(type(error), "the step", lambda: self.run(step, source.data()))
        require(caught is error, "the error of the source was replaced by another one")
        require(source.closed, "the stream was left open")

    def test_a_step_of_a_cancelled_import_closes_the_stream(self, step: Bench) -> None:
        """Call ctx.check_cancelled() in loops that take long, and close the stream on every way out."""
        source = Stream(self.content)
        step.cancel()
        with suppress(Cancelled):
            self.run(step, source.data())
        require(source.closed or not source.begun, "the stream was left open")

    def test_a_step_that_is_cancelled_in_the_middle_closes_the_stream(self, step: Bench) -> None:
        """Call ctx.check_cancelled() in loops that take long, and close the stream on every way out."""
        source = Stream(*_pieces(self.content), at_each=lambda count: step.cancel() if count == 2 else None)
        with suppress(Cancelled):
            self.run(step, source.data())
        require(source.closed or not source.begun, "the stream was left open")

    def test_a_stream_that_is_not_read_to_its_end_is_closed(self, step: Bench) -> None:
        """Close the stream that came in when the one that was made of it is closed."""
        source = Stream(*_pieces(self.content))
        image = step.transform(Image(self.record, source.data()))
        with closing(step.chunks(image.data)) as chunks:
            next(chunks, None)
        image.data.close()
        require(source.closed or not source.begun, "the stream was left open")

    @pytest.mark.parametrize("damage", DAMAGED)
    def test_bytes_of_any_kind_pass_or_are_refused_with_a_hint(self, step: Bench, damage: str) -> None:
        """Raise VerificationFailed with a hint for bytes that the step cannot use."""
        self._require_passing_or_refused(step, Stream(DAMAGED[damage]))

    @pytest.mark.parametrize("part", ["half", "all but a byte"])
    def test_an_image_that_was_cut_off_passes_or_is_refused_with_a_hint(self, step: Bench, part: str) -> None:
        """Raise VerificationFailed with a hint for an image that ends early."""
        length = len(self.content) // 2 if part == "half" else len(self.content) - 1
        self._require_passing_or_refused(step, Stream(self.content[:length]))

    @pytest.mark.parametrize("kind", BOMBS)
    def test_a_small_file_does_not_become_larger_than_the_cap(self, tmp_path: Path, kind: str) -> None:
        """Stop with LimitExceeded at ctx.limits.image_size_cap: ctx.capped(...) does it for a stream."""
        limits = Limits(image_size_cap=_CAP)
        with bench(self.plugin, self.options, tmp_path, patience=self.patience, limits=limits) as step:
            with suppress(ImageportError):
                image = step.transform(Image(self.record, Stream(BOMBS[kind]).data()))
                total = 0
                with closing(step.chunks(image.data)) as chunks:
                    for chunk in chunks:
                        total += len(chunk)
                        require(total <= 2 * _CAP, "the step makes a stream larger than the cap on images")
            crash = next((error for error in step.errors if isinstance(error, StepCrashed)), None)
            if crash is not None:
                raise crash
        written = sum(
            path.stat().st_blocks * 512 for path in (tmp_path / "work").rglob("*") if path.is_file()
        )
        require(written <= 2 * _CAP, "the step writes a file larger than the cap on images")

    def test_a_step_reports_progress_and_checks_and_nothing_else(self, step: Bench) -> None:
        """Report with ctx.progress and ctx.check; Imageport alone sends other events."""
        self.run(step, Stream(self.content).data())
        others = [event.kind for event in step.events if not isinstance(event, (ProgressEvent, CheckEvent))]
        require(not others, f"the step sent events that are not its own to send: {', '.join(others)}")
        for event in step.events:
            if isinstance(event, ProgressEvent):
                most = event.done if event.total is None else event.total
                require(0 <= event.done <= most, f"progress of {event.done} of {event.total} bytes")

    def test_standard_output_stays_free(self, step: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        """Send messages to ctx.log: standard output belongs to the report of an import."""
        self.run(step, Stream(self.content).data())
        printed = capfd.readouterr().out
        require(not printed, f"the step printed {printed[:80]!r}")

    # ------------------------------------------------------------------------------------------------ declared facts

    @capability("writes")
    def test_the_bytes_are_changed_as_declared(self, step: Bench) -> None:
        """Declare writes = "nothing" only if the bytes stay as they are, and "file" or "disk" for files."""
        image, content = self.run(step, Stream(self.content).data())
        declared = step.plugin.writes
        if declared == "nothing":
            require(
                content == self.content, "the step declares that it writes nothing, and changes the bytes"
            )
        elif declared == "stream":
            require(image.data.path is None, "the step declares a stream, and returns a file")

    @capability("reads")
    def test_a_file_is_used_as_declared(self, tmp_path: Path) -> None:
        """Declare reads = "file" for a step that calls ctx.spool: the plan counts the room for it."""
        with bench(self.plugin, self.options, tmp_path, patience=self.patience, stream_only=True) as step:
            if step.plugin.reads != "stream" or step.plugin.writes not in ("nothing", "stream"):
                not_tried("the step declares that it needs a file")
            self.run(step, Stream(self.content).data())

    def _require_passing_or_refused(self, step: Bench, source: Stream) -> None:
        try:
            self.run(step, source.data())
        except ImageportError as error:
            if isinstance(error, StepCrashed):
                raise
            require(error.message and error.hint, f"{type(error).__name__} was raised without a hint")
            require(source.closed or not source.begun, "the stream was left open")


def _pieces(content: bytes) -> list[bytes]:
    return [content[start : start + 4096] for start in range(0, len(content), 4096)]
