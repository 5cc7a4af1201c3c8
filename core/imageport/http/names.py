"""The addresses of host names: looked up once in an import, and judged."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

from imageport.errors import Cancelled, SourceUnavailable
from imageport.http.connections import SLICE
from imageport.http.failures import unused_proxy
from imageport.http.network import IPAddress, NetworkRules
from imageport.http.urls import as_address

_SERVERS: Final = "check the network and the name servers of this machine, in /etc/resolv.conf"


class Names:
    """The addresses of host names during one import: the first answer of the resolver is kept.

    The resolver of the system waits as long as it likes, and nothing stops it. So each question is asked in a thread,
    which is left behind when no answer came within *patience* seconds or *cancelled* is set.
    """

    def __init__(
        self,
        rules: NetworkRules,
        resolver: Callable[[str], Sequence[str]],
        *,
        patience: float,
        cancelled: threading.Event,
    ) -> None:
        self._rules = rules
        self._resolver = resolver
        self._patience = patience
        self._cancelled = cancelled
        self._answers: dict[str, tuple[IPAddress, ...]] = {}
        self._questions: dict[str, _Question] = {}
        self._lock = threading.Lock()

    def checked(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of *host*, every one of which passes the rules.

        Raises the errors of ``look_up``, and ``SourceRejected`` when one of the addresses is not permitted.
        """
        addresses = self.look_up(host)
        for address in addresses:
            self._rules.require_permitted(host, address)
        return addresses

    def look_up(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of *host*, a name or an address, without judging them.

        Raises ``SourceUnavailable`` when there is none or no answer comes in time, and ``Cancelled``.
        """
        if as_address(host):
            return parse_addresses([host])
        with self._lock:
            if host in self._answers:
                return self._answers[host]
            # Another try waits for the answer to the question that is still open.
            question = self._questions.get(host) or _Question(host, self._resolver)
            self._questions[host] = question
        self._wait(question)
        with self._lock:
            self._questions.pop(host, None)
            # Of two threads that asked, both use the first answer.
            return self._answers.setdefault(host, question.addresses())

    def _wait(self, question: _Question) -> None:
        # A cancelled import may be reported to a host whose name is not resolved yet.
        was_cancelled = self._cancelled.is_set()
        give_up = time.monotonic() + self._patience
        while not question.answered.wait(SLICE):
            if self._cancelled.is_set() and not was_cancelled:
                raise Cancelled("the import was interrupted")
            if time.monotonic() > give_up:
                raise _unresolved(
                    question.name,
                    f"no name server answered within {self._patience:g} s",
                    hint=_SERVERS,
                )


class _Question:
    """One name that is resolved in a separate thread."""

    def __init__(self, name: str, resolver: Callable[[str], Sequence[str]]) -> None:
        self.name = name
        self.answered = threading.Event()
        self._resolver = resolver
        self._found: Sequence[str] = ()
        self._error: Exception | None = None
        threading.Thread(target=self._ask, name="resolver", daemon=True).start()

    def addresses(self) -> tuple[IPAddress, ...]:
        """Return the answer. Raises ``SourceUnavailable`` when there is none."""
        if isinstance(self._error, OSError):
            reason = self._error.strerror or str(self._error)
            raise _unresolved(self.name, reason, hint=_hint_for(self._error)) from self._error
        if self._error is not None:
            raise self._error
        if not self._found:
            raise _unresolved(self.name, "it has no address", hint=_hint_for(None))
        return parse_addresses(self._found)

    def _ask(self) -> None:
        try:
            self._found = self._resolver(self.name)
        except Exception as error:  # noqa: BLE001 - raised in the thread that asked
            self._error = error
        self.answered.set()


def _unresolved(name: str, reason: str, *, hint: str) -> SourceUnavailable:
    return SourceUnavailable(f"the host name {name} cannot be resolved: {reason}", hint=hint, retry=True)


def _hint_for(error: OSError | None) -> str:
    if error is not None and error.errno == socket.EAI_AGAIN:
        return _SERVERS
    return unused_proxy() or (
        "check the host name for a typing mistake; if this machine resolves names only through a proxy, set "
        "network.proxy in the site file"
    )


def parse_addresses(texts: Iterable[str]) -> tuple[IPAddress, ...]:
    """Return the answers of a resolver without zones and repetitions, IPv4-mapped ones as IPv4."""
    found: dict[IPAddress, None] = {}
    for text in texts:
        address = ip_address(text.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        found[mapped or address] = None
    return tuple(found)


def system_resolver(host: str) -> list[str]:
    """Ask the system for the addresses of *host*, the preferred one first. Raises ``OSError``."""
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(answer[4][0]) for answer in answers]
