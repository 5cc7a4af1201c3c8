"""Which addresses may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from imageport.errors import SourceRejected
from imageport.http.urls import Url

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

#: Networks that are no part of the public internet, the narrowest first, after the IANA special-purpose
#: address registries (RFC 6890), plus addresses where clouds answer with secrets of the machine that asks.
_SPECIAL: Final[tuple[tuple[IPNetwork, str], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in {
        "169.254.169.254/32": "a cloud metadata address",
        "100.100.100.200/32": "a cloud metadata address",
        "168.63.129.16/32": "a cloud metadata address",
        "fd00:ec2::254/128": "a cloud metadata address",
        "0.0.0.0/8": "an unspecified address",
        "10.0.0.0/8": "a private address",
        "100.64.0.0/10": "an address shared inside a provider",
        "127.0.0.0/8": "a loopback address",
        "169.254.0.0/16": "a link-local address",
        "172.16.0.0/12": "a private address",
        "192.0.0.0/24": "a reserved address",
        "192.0.2.0/24": "an address for documentation",
        "192.88.99.0/24": "a reserved address",
        "192.168.0.0/16": "a private address",
        "198.18.0.0/15": "an address for benchmarks",
        "198.51.100.0/24": "an address for documentation",
        "203.0.113.0/24": "an address for documentation",
        "224.0.0.0/4": "a multicast address",
        "240.0.0.0/4": "a reserved address",
        "::/128": "an unspecified address",
        "::1/128": "a loopback address",
        "fc00::/7": "a private address",
        "fe80::/10": "a link-local address",
        "ff00::/8": "a multicast address",
        "2001:db8::/32": "an address for documentation",
        "3fff::/20": "an address for documentation",
        "2001::/23": "a reserved address",
    }.items()
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


class NetworkRules(BaseModel):
    """``network:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_networks: tuple[IPNetwork, ...] = Field(
        default=(), description="Private networks that may be connected to; all others are refused."
    )
    proxy: str | None = Field(
        default=None,
        description="HTTP proxy for everything, http://host:port. It resolves the names, so addresses behind "
        "names are then its business. Proxies named in the environment are ignored.",
    )
    ca_bundle: Path | None = Field(
        default=None, description="PEM file of the certificates to trust instead of the system's."
    )
    allow_downgrade: bool = Field(default=False, description="Follow redirects from https to http.")

    @field_validator("proxy")
    @classmethod
    def _is_http(cls, proxy: str | None) -> str | None:
        if proxy is not None:
            try:
                url = Url.parse(proxy)
            except SourceRejected as error:
                raise ValueError(error.message) from None
            if url.scheme != "http" or url.target != "/":
                raise ValueError("a proxy is written http://host:port")
        return proxy

    def check(self, host: str, address: IPAddress) -> None:
        """Raise ``SourceRejected`` unless *address*, found for *host*, is public or allowed."""
        for judged in unwrap_address(address):
            kind = _special_kind(judged)
            if kind and not any(judged in network for network in self.allow_networks):
                found = "" if host == str(address) else f" has the address {address}, which"
                raise SourceRejected(
                    f"{host}{found} is {kind}",
                    hint=f"if images may come from there, list a network that holds {judged} under "
                    "network.allow_networks in the site file",
                )


def unwrap_address(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return the IPv4 addresses that *address* stands for, or itself when it stands for none.

    Knows IPv4-mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380) addresses; the last
    hold two.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return (address.ipv4_mapped,)
        if address in _NAT64:
            return (IPv4Address(int(address) & 0xFFFFFFFF),)
        if address.sixtofour:
            return (address.sixtofour,)
        if address.teredo:
            return address.teredo
    return (address,)


def _special_kind(address: IPAddress) -> str | None:
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "a reserved address"
    return None
