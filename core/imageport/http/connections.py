"""Connections that go to checked addresses only, and that no server can keep waiting for ever."""

from __future__ import annotations

import errno
import http.client
import logging
import math
import os
import select
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import SystemTimeWarning

from imageport.errors import Cancelled, SourceUnavailable, UsageError
from imageport.limits import Limits, format_size

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from imageport.http.network import IPAddress

log = logging.getLogger(__name__)

# The error for a certificate that is not valid yet names the clock; the library would print a warning besides.
warnings.simplefilter("ignore", SystemTimeWarning)
# It would log the whole certificate that has another name.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)

#: Seconds after which a wait for the network looks whether the import was cancelled.
SLICE: Final = 0.2


class TooSlow(SourceUnavailable):
    """The bytes come below the minimum rate; on another connection they may come faster."""


class Watch:
    """The patience of one download: cancellation, deadline, silence and minimum rate.

    The rate is measured over ``read_timeout`` seconds, counting only the time spent waiting for the server:
    that the stores are slow is not the server's fault.
    """

    def __init__(self, name: str, limits: Limits, cancelled: threading.Event) -> None:
        self.limits = limits
        self._name = name
        self._cancelled = cancelled
        self._deadline = time.monotonic() + limits.download_deadline
        self._waited = 0.0
        self._received = 0
        self._stopped = threading.Event()
        #: When a read ends that brings nothing, so that what came before it goes on its way.
        self.until = math.inf

    def another(self) -> Watch:
        """Return the watch of another connection for the same download: it has the same deadline."""
        watch = Watch(self._name, self.limits, self._cancelled)
        watch._deadline = self._deadline
        return watch

    def stop(self) -> None:
        """Wake the threads that wait here."""
        self._stopped.set()

    def require_time(self) -> None:
        """Raise ``Cancelled`` or, after the deadline, ``SourceUnavailable``."""
        if self._cancelled.is_set() or self._stopped.is_set():
            raise Cancelled("the import was interrupted")
        if time.monotonic() > self._deadline:
            raise SourceUnavailable(
                f"{self._name} was not complete after {self.limits.download_deadline:g} s",
                hint="use a nearer mirror, or raise the limits in the site file",
            )

    def pause(self, seconds: float, *, asked: float | None = None) -> None:
        """Wait before another try, unless the import is cancelled or out of time.

        When the server has *asked* for more seconds (``Retry-After``), it gets them. Raises ``SourceUnavailable`` at
        once when the deadline comes before.
        """
        wait = max(seconds, asked or 0.0)
        left = max(0.0, self._deadline - time.monotonic())
        if asked is not None and wait > left:
            raise SourceUnavailable(
                f"{self._name} asks for a pause of {asked:.0f} s, but its deadline is in {left:.0f} s",
                hint="import it again after that time, use a mirror, or raise limits.download_deadline",
            )
        if asked is not None:
            log.warning("%s asks for a pause of %.0f s", self._name, asked)
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0:
            self._cancelled.wait(min(SLICE, left))
            self.require_time()

    def receive(self, read: Callable[[], int]) -> int:
        """Call *read*, which gives up after ``SLICE`` seconds, until it returns; keep account of the rate.

        Raises ``TimeoutError`` when the server sends nothing for ``read_timeout`` seconds, and at the moment ``until``
        ``BlockingIOError``, which means "nothing yet" to the layers above.
        """
        started = time.monotonic()
        while True:
            self.require_time()
            try:
                count = read()
            except TimeoutError:
                if time.monotonic() - started > self.limits.read_timeout:
                    raise TimeoutError(
                        f"the server sent nothing for {self.limits.read_timeout:g} s"
                    ) from None
                if time.monotonic() > self.until:
                    self._account(0, time.monotonic() - started)
                    raise BlockingIOError(errno.EAGAIN, "nothing has come yet") from None
            else:
                self._account(count, time.monotonic() - started)
                return count

    def _account(self, count: int, seconds: float) -> None:
        self._received += count
        self._waited += seconds
        if self._waited > self.limits.read_timeout:
            rate = self._received / self._waited
            if rate < self.limits.minimum_rate:
                self._received, self._waited = 0, 0.0
                raise TooSlow(
                    f"{self._name} came at {format_size(rate)} a second, "
                    f"less than {format_size(self.limits.minimum_rate)}",
                    hint="use another mirror, or lower limits.minimum_rate in the site file",
                    retry=True,
                )
            self._received, self._waited = 0, 0.0


class WatchedSocket(socket.socket):
    """A TCP socket whose reads its watch can end."""

    watch: Watch

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into *buffer*. Raises the errors of ``Watch.receive``."""
        return self.watch.receive(lambda: super(WatchedSocket, self).recv_into(buffer, nbytes, flags))


class WatchedTlsSocket(ssl.SSLSocket):
    """A TLS socket whose reads its watch can end."""

    watch: Watch
    suppress_ragged_eofs: bool

    def recv_into(self, buffer: Buffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive into *buffer*. Raises the errors of ``Watch.receive``."""
        return self.watch.receive(lambda: super(WatchedTlsSocket, self).recv_into(buffer, nbytes, flags))


class PinnedHTTPConnection(HTTPConnection):
    """A connection to addresses that were checked before; ``host`` is only a name on it."""

    addresses: Sequence[IPAddress]
    watch: Watch

    def _new_conn(self) -> socket.socket:
        return _connect(self.addresses, self.port, self.watch)


class PinnedHTTPSConnection(HTTPSConnection):
    """The same with TLS; the certificate is verified for ``host``."""

    addresses: Sequence[IPAddress]
    watch: Watch

    def _new_conn(self) -> socket.socket:
        return _connect(self.addresses, self.port, self.watch)

    def connect(self) -> None:
        """Connect and shake hands, then put the watch on the TLS socket that replaced the plain one."""
        super().connect()
        secured = cast(WatchedTlsSocket, self.sock)
        secured.watch = self.watch
        # The end of a body without length is only certain when the server closes TLS, too (RFC 9112, 9.8).
        secured.suppress_ragged_eofs = False


def answer_of(connection: PinnedHTTPConnection | PinnedHTTPSConnection) -> http.client.HTTPResponse:
    """Read the head of the answer on *connection*, and return it as the library under urllib3 has it.

    It reads into memory of ours; urllib3 would hand out copies. Raises the errors of urllib3.
    """
    connection.sock.settimeout(SLICE)
    return http.client.HTTPConnection.getresponse(connection)


def tls_context(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the TLS context that verifies servers, by *ca_bundle* (PEM) or else by the system's certificates.

    Raises ``UsageError`` when *ca_bundle* cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise UsageError(
            f"the certificates in {ca_bundle} cannot be used: {error}",
            hint="network.ca_bundle in the site file must be a readable PEM file",
        ) from error
    context.sslsocket_class = WatchedTlsSocket
    return context


def expiry_of(addresses: Sequence[IPAddress], host: str, port: int, watch: Watch) -> str | None:
    """Return the day on which the certificate of a server expired; None when it did not, or does not come.

    A handshake that fails does not show the certificate, so this makes another one, which trusts nothing.
    """
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415 - only needed after a failure

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            _connect(addresses, port, watch) as plain,
            context.wrap_socket(plain, server_hostname=host) as tls,
        ):
            ends = load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"").not_valid_after_utc
    except (OSError, ValueError):
        return None
    return ends.date().isoformat() if ends < datetime.now(UTC) else None


def _connect(addresses: Sequence[IPAddress], port: int, watch: Watch) -> WatchedSocket:
    """Connect to the first of *addresses* that answers. Raises the last ``OSError`` when none does."""
    failure = OSError("there is no address to connect to")
    for address in addresses:
        try:
            return _connect_to(address, port, watch)
        except OSError as error:
            failure = error
    raise failure


def _connect_to(address: IPAddress, port: int, watch: Watch) -> WatchedSocket:
    connection = WatchedSocket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    connection.watch = watch
    try:
        connection.setblocking(False)
        code = connection.connect_ex((str(address), port))
        if code == errno.EINPROGRESS:
            code = _await_connection(connection, watch)
        if code:
            raise OSError(code, f"{os.strerror(code)} ({address} port {port})")  # noqa: TRY301
        connection.settimeout(watch.limits.connect_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connection.close()
        raise
    return connection


def _await_connection(connection: socket.socket, watch: Watch) -> int:
    """Return the error number with which the attempt to connect ends, 0 for success."""
    give_up = time.monotonic() + watch.limits.connect_timeout
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    while not poll.poll(SLICE * 1000):
        watch.require_time()
        if time.monotonic() > give_up:
            return errno.ETIMEDOUT
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
