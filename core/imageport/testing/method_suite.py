"""The promises that every import method keeps, as tests to inherit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport.errors import (
    Cancelled,
    ImageportError,
    SourceRejected,
    SourceUnavailable,
    StepCrashed,
    VerificationFailed,
)
from imageport.events import ProgressEvent, SourceEvent
from imageport.limits import Limits
from imageport.testing.benches import RECORD, Bench, bench
from imageport.testing.clauses import not_tried, refused, require
from imageport.testing.http_answers import Behaviour, File, Stalled, Status, Truncated, redirect
from imageport.testing.http_server import HttpServer
from imageport.testing.plugin_suite import PluginConformance
from imageport.testing.step_suite import DISK
from imageport.testing.streams import require_equal
from imageport.values import ImageRecord, Source

#: Time-outs under which a server that sends nothing is given up soon.
_LIMITS = Limits(connect_timeout=2, read_timeout=1)

#: Answers that refuse the image.
REFUSALS: Mapping[str, Behaviour] = {
    "not found": Status(404),
    "forbidden": Status(403),
    "gone": Status(410),
    "internal error": Status(500),
    "unavailable": Status(503),
}


class MethodConformance(PluginConformance):
    """Tests of an import method.

    Inherit from it, and name the plugin and its options::

        class TestFetch(MethodConformance):
            plugin = "fetch"

    The image is offered by a web server with faults. A method that reads from another place overrides the fixture
    ``offer``, and one that reads nothing from a network sets ``network = False``. ``content`` is the image; *services*
    replace fields of the context.
    """

    role = "method"
    content: ClassVar[bytes] = DISK
    record: ClassVar[ImageRecord] = RECORD
    network: ClassVar[bool] = True
    patience: ClassVar[float] = 90.0
    services: Mapping[str, Any] = {}

    @pytest.fixture
    def offer(self, faulty_server: HttpServer) -> Callable[..., Source]:
        """Return a function that offers the image with some answers of the server, and returns where that is."""

        def offer(*behaviours: Behaviour) -> Source:
            url = faulty_server.answer("/disk.raw", *behaviours)
            return Source(method=self._name(), uri=url)

        return offer

    @pytest.fixture
    def method(self, offer: Callable[..., Source], tmp_path: Path) -> Iterator[Bench]:
        """Return the method, as an import calls it."""
        with self._bench(tmp_path) as made:
            yield made

    def test_the_image_is_read_whole(self, method: Bench, offer: Callable[..., Source]) -> None:
        """Return all bytes of the source, and their number as the size if it is known."""
        data = method.stage(offer(File(self.content)), self.record)
        size = data.size
        require_equal(method.bytes_of(data), self.content)
        require(size in (None, len(self.content)), f"the size is {size} for {len(self.content)} bytes")

    def test_an_empty_image_is_read_or_refused(self, method: Bench, offer: Callable[..., Source]) -> None:
        """Return no bytes, or raise SourceUnavailable or VerificationFailed."""
        with suppress(SourceUnavailable, VerificationFailed):
            require_equal(method.bytes_of(method.stage(offer(File(b"")), self.record)), b"")

    def test_a_stream_that_is_not_read_to_its_end_is_closed(
        self, method: Bench, offer: Callable[..., Source]
    ) -> None:
        """Close connections and files in a finally clause of the stream."""
        data = method.stage(offer(File(self.content)), self.record)
        with closing(method.chunks(data)) as chunks:
            next(chunks, None)
        data.close()

    def test_a_cancelled_import_ends(self, method: Bench, offer: Callable[..., Source]) -> None:
        """Call ctx.check_cancelled() in loops that take long."""
        source = offer(File(self.content))
        method.cancel()
        with suppress(Cancelled):
            method.bytes_of(method.stage(source, self.record))

    def test_a_source_without_an_address_is_refused(self, method: Bench) -> None:
        """Raise SourceRejected or UsageError for a source that the method cannot use."""
        source = Source(method=self._name())
        with suppress(ImageportError):
            method.validate(source, self.record)
            method.stage(source, self.record)
        self._require_no_crash(method)

    @pytest.mark.parametrize("fault", ["a short body", "a stall", "a length that is too large"])
    def test_an_image_that_ends_early_is_never_taken_for_whole(
        self, method: Bench, offer: Callable[..., Source], fault: str
    ) -> None:
        """Raise SourceUnavailable when fewer bytes come than the server has announced."""
        self._require_network()
        half = len(self.content) // 2
        answers: Mapping[str, Behaviour] = {
            "a short body": Truncated(self.content, ranges=False, after=half),
            "a stall": Stalled(self.content, ranges=False, after=half),
            "a length that is too large": File(self.content, ranges=False, length=len(self.content) + 1000),
        }
        self._require_failure(method, offer(answers[fault]), fault)

    @pytest.mark.parametrize("refusal", REFUSALS)
    def test_a_refusal_is_reported_with_a_hint(
        self, method: Bench, offer: Callable[..., Source], refusal: str
    ) -> None:
        """Raise SourceUnavailable with the status in the message, and a hint."""
        self._require_network()
        self._require_failure(method, offer(REFUSALS[refusal]), refusal)

    def test_a_redirect_is_followed_with_all_checks(
        self, offer: Callable[..., Source], faulty_server: HttpServer, tmp_path: Path
    ) -> None:
        """Fetch with ctx.http, which has every redirect checked."""
        self._require_network()
        seen: list[str] = []
        source = offer(redirect(faulty_server.publish("/elsewhere", self.content)))

        def validate(url: str, redirected_from: str | None) -> None:
            seen.append(url)

        with self._bench(tmp_path, network={"validate": validate}) as method, suppress(ImageportError):
            require_equal(method.bytes_of(method.stage(source, self.record)), self.content)
        if "/elsewhere" in faulty_server.paths():
            require(
                any("/elsewhere" in url for url in seen),
                "a redirect was followed that no step was asked about",
            )

    def test_a_network_that_the_site_refuses_is_not_used(
        self, offer: Callable[..., Source], faulty_server: HttpServer, tmp_path: Path
    ) -> None:
        """Open connections with ctx.http alone: it obeys the rules of the site."""
        self._require_network()
        source = offer(File(self.content))
        with self._bench(tmp_path, network={"allow": ()}) as method:
            refused(
                SourceRejected, "an address that the site refuses",
                lambda: method.bytes_of(method.stage(source, self.record)),
            )  # fmt: skip
        require(not faulty_server.requests, "the method asked a server that the site refuses")

    def test_a_step_can_refuse_the_source(
        self, offer: Callable[..., Source], faulty_server: HttpServer, tmp_path: Path
    ) -> None:
        """Open connections with ctx.http alone, and let SourceRejected pass."""
        self._require_network()
        source = offer(File(self.content))
        error = SourceRejected("a step refuses it", hint="choose another source")

        def validate(url: str, redirected_from: str | None) -> None:
            raise error

        with self._bench(tmp_path, network={"validate": validate}) as method:
            caught = refused(
                SourceRejected, "a source that a step refuses",
                lambda: method.bytes_of(method.stage(source, self.record)),
            )  # fmt: skip
        require(caught is error, "the error of the step was replaced by another one")
        require(not faulty_server.requests, "the method asked a server that a step refuses")

    def test_the_method_reports_progress_and_sources_and_nothing_else(
        self, method: Bench, offer: Callable[..., Source], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Report with ctx.progress and ctx.source, and print nothing."""
        method.bytes_of(method.stage(offer(File(self.content)), self.record))
        others = [
            event.kind for event in method.events if not isinstance(event, (ProgressEvent, SourceEvent))
        ]
        require(not set(others) - {"check"}, f"the method sent other events: {', '.join(others)}")
        printed = capfd.readouterr().out
        require(not printed, f"the method printed {printed[:80]!r}")

    def _bench(self, folder: Path, **services: Any) -> Any:
        given = {"limits": _LIMITS, **self.services, **services}
        return bench(self.plugin, self.options, folder, patience=self.patience, **given)

    def _name(self) -> str:
        return self.plugin if isinstance(self.plugin, str) else self.plugin.__name__

    def _require_network(self) -> None:
        if not self.network:
            not_tried("the method reads nothing from a network")

    def _require_failure(self, method: Bench, source: Source, fault: str) -> None:
        try:
            method.bytes_of(method.stage(source, self.record))
        except (SourceUnavailable, VerificationFailed) as error:
            require(error.hint, f"{fault}: {type(error).__name__} was raised without a hint")
            return
        require(False, f"{fault}: the image was taken")

    def _require_no_crash(self, method: Bench) -> None:
        for error in method.errors:
            if isinstance(error, StepCrashed):
                raise error
