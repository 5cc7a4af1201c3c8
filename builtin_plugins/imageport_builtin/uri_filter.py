"""Refuse sources by the scheme, host and port of their url."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from imageport import Context, Plugin, PluginConfig, Source, SourceRejected, hookimpl
from imageport.http import Url, unwrap_address


def _scheme(text: str) -> str:
    if not re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*", text):
        raise ValueError(f"'{text}' is not a scheme; write for instance https")
    return text.lower()


def _host(text: str) -> str:
    """Return the spelling of a name or an address in which hosts of urls are compared."""
    try:
        url = Url.parse(f"http://[{text}]/" if text.count(":") > 1 and text[0] != "[" else f"http://{text}/")
    except SourceRejected as error:
        raise ValueError(f"'{text}' is not a host: {error.message.rpartition(': ')[2]}") from None
    if str(url) != f"http://{url.authority}/" or url.port is not None or url.credentials is not None:
        raise ValueError(f"'{text}' is not a host; write a name or an address and nothing else")
    return url.host


def _host_or_network(text: str) -> str:
    return str(ip_network(text)) if "/" in text else _host(text)


Scheme = Annotated[str, AfterValidator(_scheme)]
Host = Annotated[str, AfterValidator(_host)]
HostOrNetwork = Annotated[str, AfterValidator(_host_or_network)]
Port = Annotated[int, Field(ge=1, le=65535)]


class UriFilterConfig(PluginConfig):
    """Six lists. An allow list that is not empty decides alone; the deny list beside it is then ignored."""

    allowed_schemes: tuple[Scheme, ...] = Field(
        default=("http", "https"), description="Schemes that may be used."
    )
    disallowed_schemes: tuple[Scheme, ...] = Field(default=(), description="Schemes that may not be used.")
    allowed_hosts: tuple[Host, ...] = Field(
        default=(), description="Names and addresses that may be used, compared with the host as written."
    )
    disallowed_hosts: tuple[HostOrNetwork, ...] = Field(
        default=(),
        description="Names, addresses and networks (192.0.2.0/24) that may not be used; addresses and "
        "networks are also compared with every address that a name has.",
    )
    allowed_ports: tuple[Port, ...] = Field(default=(80, 443), description="Ports that may be used.")
    disallowed_ports: tuple[Port, ...] = Field(default=(), description="Ports that may not be used.")
    strict_ports: bool = Field(
        default=False,
        description="Judge a url without a port by the usual port of its scheme; else it passes whatever the "
        "lists of ports contain, as in Glance.",
    )


class UriFilter(Plugin[UriFilterConfig]):
    """Refuse sources by the scheme, host and port of their url, and of every redirect.

    Private and cloud metadata addresses are refused with or without this plugin, unless the site file allows
    them.
    """

    stability = "stable"

    @hookimpl
    def validate_source(self, source: Source, ctx: Context) -> None:
        """Refuse *source* unless it passes the lists; paths and standard input are not for us to judge."""
        uri = source.uri or ""
        if source.method != "web-download" and "://" not in uri:
            return
        url = Url.parse(uri)
        config = self.config
        _judge(url, "scheme", url.scheme, config.allowed_schemes, config.disallowed_schemes)
        _judge(url, "host", url.host, config.allowed_hosts, config.disallowed_hosts)
        port = url.effective_port if config.strict_ports else url.port
        if port is not None:
            _judge(url, "port", port, config.allowed_ports, config.disallowed_ports)
        addresses = ctx.http.resolve(url.host)
        if not config.allowed_hosts:
            _judge_addresses(url, addresses, config.disallowed_hosts)


def _judge(
    url: Url, what: str, value: object, allowed: Collection[object], disallowed: Collection[object]
) -> None:
    if allowed:
        if value not in allowed:
            raise SourceRejected(
                f"{url.shown}: the {what} {value} is not among the allowed ones",
                hint=f"allowed_{what}s of uri_filter has {', '.join(map(str, allowed))}",
            )
    elif value in disallowed:
        raise SourceRejected(
            f"{url.shown}: the {what} {value} is not allowed",
            hint=f"it is in disallowed_{what}s of uri_filter; use another source",
        )


def _judge_addresses(
    url: Url, addresses: Iterable[IPv4Address | IPv6Address], disallowed: Iterable[str]
) -> None:
    networks = [network for text in disallowed if (network := _as_network(text))]
    for address in addresses:
        for judged in {address, *unwrap_address(address)}:
            for network in networks:
                if judged in network:
                    raise SourceRejected(
                        f"{url.shown}: {url.host} has the address {judged}, which is not allowed",
                        hint=f"{network} is in disallowed_hosts of uri_filter; use another source",
                    )


def _as_network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
