"""The filter beyond the contract; for the rest see tests/contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imageport import Source, SourceRejected
from imageport.testing.contexts import LOOPBACK, make_context, make_transport, names
from imageport_builtin.uri_filter import UriFilter, UriFilterConfig

NAMES = {
    "name": ["8.8.8.8"],
    "loop.example": ["127.0.0.1"],
    "mixed.example": ["8.8.8.8", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "xn--bcher-kva.example": ["8.8.8.8"],
}


def verdict(
    url: str, *, allow: tuple[str, ...] = LOOPBACK, method: str = "web-download", **lists: Any
) -> str:
    """Return the verdict of the filter with these lists on *url*."""
    transport = make_transport(allow=allow, resolver=names(NAMES))
    context = make_context(Path(), http=transport)
    filtering = UriFilter(UriFilterConfig(**lists))
    try:
        filtering.validate_source(source=Source(method=method, uri=url), ctx=context)
    except SourceRejected as error:
        assert error.hint
        return f"refused: {error}"
    return "accepted"


@pytest.mark.parametrize(
    ("port", "accepted"),
    [
        ("", True),
        (":", True),
        (":80", True),
        (":443", True),
        (":22", False),
        (":8080", False),
        (":081", False),
        (":0", False),
        (":99999", False),
        (":-1", False),
        (":abc", False),
    ],
)
def test_ports_are_judged_by_the_default_list(port: str, accepted: bool) -> None:
    assert (verdict(f"http://name{port}/") == "accepted") is accepted


def test_a_url_without_a_port_passes_unless_the_filter_is_strict() -> None:
    assert verdict("https://name/", allowed_ports=[8080]) == "accepted"
    assert "the port 443 is not" in verdict("https://name/", allowed_ports=[8080], strict_ports=True)
    assert verdict("https://name/", strict_ports=True) == "accepted"


def test_an_address_is_compared_in_its_shortest_form() -> None:
    assert "is not allowed" in verdict("http://127.0.0.1/", disallowed_hosts=["127.0.0.1"])
    for host in ("[::1]", "[0::1]", "[0:0:0:0:0:0:0:1]"):
        assert "is not allowed" in verdict(f"http://{host}/", disallowed_hosts=["::1"])
        assert "is not allowed" in verdict(f"http://{host}/", disallowed_hosts=["[0::1]"])
    listed: dict[str, Any] = {"allow": ("2001:db8::/32",), "allowed_hosts": ["2001:db8::1"]}
    assert verdict("http://[2001:db8:0::1]/", **listed) == "accepted"
    assert verdict("http://[2001:db8::2]/", **listed).startswith("refused")


@pytest.mark.parametrize(
    ("host", "denied"),
    [
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::1%25lo]", "::1"),
        ("[::1%lo]", "::1"),
        ("loop.example", "127.0.0.1"),
        ("mixed.example", "127.0.0.1"),
        ("mixed.example", "127.0.0.0/8"),
        ("mapped.example", "127.0.0.1"),
        ("nat64.example", "127.0.0.0/8"),
        ("nat64.example", "64:ff9b::/96"),
        ("name.", "name"),
        ("name", "NAME."),
        ("BÜCHER.example", "bücher.EXAMPLE"),
    ],
)
def test_no_spelling_gets_around_the_deny_list(host: str, denied: str) -> None:
    """Loopback is permitted by the network rules here, so that only the list refuses."""
    assert "not allowed" in verdict(f"http://{host}/", disallowed_hosts=[denied])
    assert verdict(f"http://{host}/") == "accepted"


def test_capitals_in_an_allow_list_match() -> None:
    assert verdict("http://name/", allowed_hosts=["NaMe."], allowed_schemes=["HTTP"]) == "accepted"


@pytest.mark.parametrize("uri", ["/srv/images/disk.raw", "disk.raw", "-", "C:\\disk", None])
def test_paths_of_other_methods_are_not_judged(uri: str | None) -> None:
    context = make_context(Path(), http=make_transport())
    source = Source(method="glance-direct", uri=uri)
    UriFilter(UriFilterConfig()).validate_source(source=source, ctx=context)


def test_urls_of_other_methods_are_judged() -> None:
    assert verdict("ftp://name/", method="glance-direct").startswith("refused")


@pytest.mark.parametrize(
    "lists",
    [
        {"allowed_ports": [70000]},
        {"disallowed_ports": [0]},
        {"allowed_schemes": [""]},
        {"allowed_schemes": ["https:"]},
        {"allowed_hosts": [""]},
        {"allowed_hosts": ["http://name/"]},
        {"allowed_hosts": ["name:80"]},
        {"allowed_hosts": ["user@name"]},
        {"allowed_hosts": ["10.0.0.0/8"]},
        {"disallowed_hosts": ["10.0.0.1/8"]},
        {"disallowed_hosts": ["name/8"]},
        {"disallowed_hosts": ["127.1"]},
        {"disallowed_hosts": ["::1::"]},
        {"disallowed_hosts": ["*.example"]},
        {"allowed_host": ["a"]},
    ],
)
def test_lists_that_make_no_sense_are_refused(lists: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UriFilterConfig(**lists)
