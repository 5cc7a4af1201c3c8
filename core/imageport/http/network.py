"""Rules for the addresses that may be connected to."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from imageport.errors import SourceRejected
from imageport.http.urls import Url

#: An address of either family.
IPAddress = IPv4Address | IPv6Address
#: A network of IP version 4 or 6, as an option.
IPNetwork = IPv4Network | IPv6Network

#: Where machines get their secrets, such as the credentials of their role. Only an entry for the single address
#: opens one of these, never a wider network. After the documentation of the providers and the sources of cloud-init.
_METADATA: Final[Mapping[str, str]] = {
    "169.254.0.0/16": "link-local (RFC 3927): 169.254.169.254 of AWS, Azure, Google, Oracle, OpenStack and others, "
    "169.254.170.2 and .23 of containers on AWS, 169.254.42.42 of Scaleway, 169.254.0.23 of Tencent",
    "fe80::/10": "link-local (RFC 4291): fe80::a9fe:a9fe of OpenStack and Akamai",
    "100.100.100.200/32": "Alibaba",
    "168.63.129.16/32": "Azure, WireServer",
    "192.0.0.192/32": "Oracle Cloud Classic",
    "fd00:ec2::/32": "AWS: ::254 for instances, ::23 for pods",
    "fd20:ce::254/128": "Google",
    "fd00:c1::a9fe:a9fe/128": "Oracle",
    "fd00:42::42/128": "Scaleway",
    "fd00:a9fe:a9fe::1/128": "Akamai",
    "fd00:100::100:200/128": "Alibaba",
}
_METADATA_NETWORKS: Final[tuple[IPNetwork, ...]] = tuple(map(ip_network, _METADATA))

#: Networks that are not part of the public internet, the narrowest first, after the IANA special-purpose address
#: registries (RFC 6890).
_SPECIAL: Final[tuple[tuple[IPNetwork, str], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in {
        "169.254.169.254/32": "a cloud metadata address",
        **{
            name: "a cloud metadata address"
            for name in _METADATA
            if name not in ("169.254.0.0/16", "fe80::/10")
        },
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
#: Prefixes of IPv6 addresses that end with an IPv4 address: NAT64 (RFC 6052, and RFC 8215 as it is used mostly), and
#: IPv4-translated (RFC 2765).
_TRANSLATED: Final = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96")))


class NetworkRules(BaseModel):
    """``network:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_networks: tuple[IPNetwork, ...] = Field(
        default=(),
        description="Private networks that may be connected to; all others are refused. Link-local addresses and those "
        "where clouds keep the secrets of a machine are opened only one by one, by an entry with /32 or /128.",
    )
    proxy: str | None = Field(
        default=None,
        description="HTTP proxy for all requests, http://host:port. The proxy resolves host names, so their "
        "addresses are not checked here. Proxies named in the environment are ignored.",
    )
    ca_bundle: Path | None = Field(
        default=None, description="PEM file of the certificates to trust instead of the system's."
    )
    allow_downgrade: bool = Field(default=False, description="Follow redirects from https to http.")

    #: Where these rules stand, for hints.
    _site_file: str = PrivateAttr(default="a site file, such as imageport.yaml in this folder")

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

    def require_permitted(self, host: str, address: IPAddress) -> None:
        """Raise ``SourceRejected`` unless *address*, found for *host*, is public or allowed."""
        for judged in unwrap_address(address):
            kind = _special_kind(judged)
            if kind and not any(self._opens(network, judged) for network in self.allow_networks):
                found = "" if host == str(address) else f" has the address {address}, which"
                entry = f"network: {{allow_networks: [{judged}/{judged.max_prefixlen}]}}"
                only = "; a wider network does not open this address" if _is_metadata(judged) else ""
                raise SourceRejected(
                    f"{host}{found} is {kind}",
                    hint=f"if images may come from there, add to {self._site_file}: {entry}{only}",
                )

    @staticmethod
    def _opens(network: IPNetwork, address: IPAddress) -> bool:
        return address in network and (network.num_addresses == 1 or not _is_metadata(address))


def unwrap_address(address: IPAddress) -> tuple[IPAddress, ...]:
    """Return the IPv4 addresses that *address* stands for, or itself when it stands for none.

    Knows IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056) and Teredo
    (RFC 4380) addresses; the last hold two.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return (address.ipv4_mapped,)
        if any(address in network for network in _TRANSLATED):
            return (IPv4Address(int(address) & 0xFFFFFFFF),)
        if address.sixtofour:
            return (address.sixtofour,)
        if address.teredo:
            return address.teredo
    return (address,)


def is_public(address: IPAddress) -> bool:
    """Return whether every machine may connect to *address*; for all others the site file has to allow it."""
    return not any(map(_special_kind, unwrap_address(address)))


def _is_metadata(address: IPAddress) -> bool:
    return any(address in network for network in _METADATA_NETWORKS)


def _special_kind(address: IPAddress) -> str | None:
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "a reserved address"
    return None
