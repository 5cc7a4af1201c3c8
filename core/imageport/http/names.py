"""The addresses of host names: looked up once in an import, and judged."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, ip_address

from imageport.errors import SourceRejected, SourceUnavailable
from imageport.http.network import IPAddress, NetworkRules
from imageport.http.urls import as_address


class Names:
    """What host names mean during one import: the first answer of the resolver is kept."""

    def __init__(self, rules: NetworkRules, resolver: Callable[[str], Sequence[str]]) -> None:
        self._rules = rules
        self._resolver = resolver
        self._answers: dict[str, tuple[IPAddress, ...]] = {}
        self._lock = threading.Lock()

    def checked(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of *host*, every one of which passes the rules.

        Raises what ``look_up`` raises, and ``SourceRejected`` when one of the addresses is not permitted.
        """
        addresses = self.look_up(host)
        for address in addresses:
            self._rules.check(host, address)
        return addresses

    def look_up(self, host: str) -> tuple[IPAddress, ...]:
        """Return the addresses of *host*, a name or an address, without judging them.

        Raises ``SourceRejected`` when there is none, ``SourceUnavailable`` when no name server answers.
        """
        if as_address(host):
            return parse_addresses([host])
        with self._lock:
            if host not in self._answers:
                self._answers[host] = self._ask_resolver(host)
            return self._answers[host]

    def _ask_resolver(self, name: str) -> tuple[IPAddress, ...]:
        hint = "check the host name for a typing mistake; or this machine has no DNS or no internet"
        try:
            addresses = parse_addresses(self._resolver(name))
        except OSError as error:
            if error.errno == socket.EAI_AGAIN:
                raise SourceUnavailable(
                    f"no name server could tell the address of {name}: {error.strerror or error}",
                    hint="check the network and the name servers of this machine",
                    retry=True,
                ) from error
            raise SourceRejected(
                f"the host name {name} is not known: {error.strerror or error}", hint=hint
            ) from error
        if not addresses:
            raise SourceRejected(f"the host name {name} has no address", hint=hint)
        return addresses


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
