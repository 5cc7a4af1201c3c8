"""One download of a file, from the mirror where it was opened and from others that send the rest."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imageport import Chunks, Context, ImageportError, SourceRejected, SourceUnavailable
from imageport.dataplane import identify
from imageport.http import Url

if TYPE_CHECKING:
    from imageport.dataplane import Chunk
    from imageport.http import HttpResponse

#: Bytes at the beginning of a file that show whether it is a web page.
_PAGE_HEAD: Final = 1 << 10
#: Control characters that do not occur in text.
_CONTROL_CHARACTERS: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True)
class Mirror:
    """A url, and headers for its server only."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The url for messages."""
        return Url.parse(self.url).shown


class FileDownload:
    """A file that is open at one mirror; ``size`` is its length or None, ``name`` its published name.

    ``complete`` is true after the last byte, ``failure`` has the reason otherwise, ``decoding`` is true while a
    Content-Encoding is removed. *failures* are the errors of the mirrors before.
    """

    def __init__(
        self,
        response: HttpResponse,
        mirror: Mirror,
        others: Iterable[Mirror],
        connections: int,
        ctx: Context,
        *,
        first_form: bool,
        may_go_on: bool,
        failures: Sequence[str],
    ) -> None:
        self.size = response.length
        self.name = response.filename
        self.mirror = mirror
        self.coding = response.coding
        self.decoding = response.is_decoding
        self.complete = False
        self.failure: str | None = None
        self._first_form = first_form
        self._may_go_on = may_go_on
        self._failures = failures
        self._response = response
        self._others = deque(others)
        self._connections = connections
        self._ctx = ctx
        report_source(Url.parse(response.url).shown, None, ctx)
        if self.decoding:
            ctx.log.warning(
                "%s was sent with Content-Encoding: %s, although no coding was asked for; it is decoded",
                mirror.shown,
                self.coding,
            )

    @property
    def has_other_form(self) -> bool:
        """Whether the bytes can come in another form, which has not been tried: as sent, or decoded."""
        return self._first_form and self.coding == "gzip"

    @property
    def form(self) -> str:
        """The form of the bytes, for the message of a failed verification; empty without Content-Encoding."""
        if self.coding is None:
            return ""
        sent = f"the server sent it with Content-Encoding: {self.coding}"
        if not self._first_form:
            return f"{sent}, and neither the bytes as sent nor the decoded ones are right"
        return f"{sent}, which was {'undone' if self.decoding else 'kept, as its name requires'}"

    def chunks(self) -> Chunks:
        """Read to the end. Raises ``SourceUnavailable`` for a body that is incomplete, empty or a web page."""
        try:
            yield from self._checked(self._pieces())
        except ImageportError as error:
            self.failure = message_with_url(self.mirror, error)
            if isinstance(error, SourceUnavailable) and not self._may_go_on:
                add_answers(error, self._failures)
            raise
        self.complete = True

    def _checked(self, pieces: Chunks) -> Chunks:
        """Pass *pieces* on unless they begin a web page."""
        head = b""
        held: list[Chunk] = []
        for piece in pieces:
            held.append(piece)
            head += bytes(piece[: _PAGE_HEAD - len(head)])
            if len(head) == _PAGE_HEAD:
                break
        if not head:
            raise empty(self.mirror.shown)
        if _is_page(head, self._response):
            raise SourceUnavailable(
                f"{self.mirror.shown} is a web page, not an image",
                hint="open it in a browser: it may be a login, an error, or a page that links to the image",
                retry=self._may_go_on,
            )
        while held:
            yield held.pop(0)
        yield from pieces

    def _pieces(self) -> Chunks:
        from imageport.http import parallel_chunks

        position = 0
        if self._response.start and self._ctx.partial:
            for piece in self._ctx.partial.received():
                position += len(piece)
                yield piece
        while True:
            try:
                for piece in parallel_chunks(self._response, self._connections):
                    position += len(piece)
                    yield piece
                return
            except SourceUnavailable as error:
                if not self._open_rest(position, error):
                    raise

    def _open_rest(self, position: int, error: SourceUnavailable) -> bool:
        """Open another mirror that has the rest of a file of the same size."""
        if not (error.retry and position and self.size):
            return False
        from imageport.http import Rest

        rest = Rest(position, self.size, None)
        while self._others:
            mirror = self._others.popleft()
            try:
                response = self._ctx.http.get(mirror.url, headers=mirror.headers, rest=rest, once=True)
            except (SourceUnavailable, SourceRejected) as other:
                report_source(mirror.shown, other, self._ctx)
                continue
            if response.start == position and response.is_as_published:
                report_source(Url.parse(self._response.url).shown, error, self._ctx)
                report_source(Url.parse(response.url).shown, None, self._ctx)
                self._response = response
                return True
            response.close()
        return False


def report_source(shown: str, error: SourceUnavailable | SourceRejected | None, ctx: Context) -> None:
    """Report that the bytes come from the url *shown*, or with *error* that they do not."""
    ctx.source(shown, error=None if error is None else error.message)
    if error is not None:
        ctx.log.warning("%s; the next url is tried", error)


def add_answers(error: SourceUnavailable | SourceRejected, failures: Sequence[str]) -> None:
    """Add the *failures* of all mirrors before to *error*, which is that of the last one."""
    if failures:
        error.message = f"no url has the image: {'; '.join([*failures, error.message])}"
        error.hint = f"check the urls, or name another mirror; about the last one: {error.hint}"


def message_with_url(mirror: Mirror, error: ImageportError) -> str:
    """Return the message of *error*, with the url of *mirror* in it."""
    return error.message if mirror.shown in error.message else f"{mirror.shown}: {error.message}"


def _is_page(head: bytes, response: HttpResponse) -> bool:
    """Return whether *head* begins a web page. The media type decides only for other text."""
    found = identify(head)
    if found is not None and found.name not in ("text", "fragment"):
        return found.name == "html"
    label = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return label in ("text/html", "application/xhtml+xml") and not _CONTROL_CHARACTERS.search(head)


def empty(name: str) -> SourceUnavailable:
    return SourceUnavailable(f"{name} is empty", hint="check the url, or ask its publisher")
