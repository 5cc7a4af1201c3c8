from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.contract.site import Site, step

from imageport import Source, SourceRejected, SourceUnavailable
from imageport.testing.contexts import LOOPBACK, make_context, make_transport, names
from imageport.testing.http_server import HttpServer, redirect
from imageport_builtin.uri_filter import UriFilter, UriFilterConfig

BODY = b"disk\0" * 1000

#: What the resolver of these tests knows.
NAMES = {
    "name": ["8.8.8.8"],
    "a": ["8.8.8.8"],
    "b": ["8.8.8.8"],
    "3m.com": ["8.8.8.8"],
    "0xdeadbeef.com": ["8.8.8.8"],
    "loop.example": ["127.0.0.1"],
    "mixed.example": ["8.8.8.8", "127.0.0.1"],
}


def verdict(url: str | None, *, allow: Sequence[str] = LOOPBACK, **lists: Any) -> str:
    """Return the verdict of the filter with these *lists* on *url*, where the site allows the networks *allow*."""
    context = make_context(Path(), http=make_transport(allow=allow, resolver=names(NAMES)))
    source = Source(method="web-download", uri=url)
    try:
        UriFilter(UriFilterConfig(**lists)).validate_source(source=source, ctx=context)
    except SourceRejected as error:
        assert error.hint
        return f"refused: {error}"
    return "accepted"


def verdicts(*urls: str | None, **lists: Any) -> set[str]:
    """Return all verdicts of the filter on *urls*, without the reasons."""
    return {verdict(url, **lists).partition(":")[0] for url in urls}


@pytest.fixture
def other() -> Iterator[HttpServer]:
    """Serve from another port: another origin."""
    with HttpServer() as server:
        yield server


def test_029_only_http_and_https_are_accepted(site: Site) -> None:
    """By default http and https are accepted; ftp, file and data, a url without scheme or host, an empty one and
    none are refused, before anything is fetched."""
    assert verdicts("http://name/", "HTTP://NAME/", "https://name/disk?x=y") == {"accepted"}
    refused = ("ftp://name/", "file:///x", "data:text/plain,x", "//name/", "name", "http:///x", "", None)
    assert verdicts(*refused) == {"refused"}
    for url in refused[:5]:
        done = site.run(url, image=site.create(), steps=["uri_filter"], method="web-download")
        site.assert_refused(done, code="source-rejected")


def test_030_ports_are_judged(site: Site) -> None:
    """No port, 80 and 443 are accepted; 22, 8080 and 081 refused, as are 0, 99999, -1 and abc, which are not ports."""
    assert verdicts("http://name/", "http://name:80/", "http://name:443/") == {"accepted"}
    refused = [f"http://127.0.0.1:{port}/" for port in ("22", "8080", "081", "0", "99999", "-1", "abc")]
    assert verdicts(*refused) == {"refused"}
    for url in refused:
        done = site.run(url, image=site.create(), steps=["uri_filter"])
        site.assert_refused(done, code="source-rejected")
        assert done.code == 3


def test_031_an_allow_list_wins_over_the_deny_list_beside_it() -> None:
    """Allowed schemes https and ftp, ftp denied: ftp is accepted. Allowed hosts a and b, b denied: b is accepted.
    Allowed ports 8080 and 8484, 8484 denied: 8484 is accepted."""
    schemes: dict[str, Any] = {"allowed_schemes": ["https", "ftp"], "disallowed_schemes": ["ftp"]}
    assert verdict("ftp://name/", **schemes) == "accepted"
    assert "the scheme http is not among the allowed ones" in verdict("http://name/", **schemes)
    hosts: dict[str, Any] = {"allowed_hosts": ["a", "b"], "disallowed_hosts": ["b"]}
    assert verdict("http://b/", **hosts) == "accepted"
    assert "the host name is not among the allowed ones" in verdict("http://name/", **hosts)
    ports: dict[str, Any] = {"allowed_ports": [8080, 8484], "disallowed_ports": [8484]}
    assert verdict("http://name:8484/", **ports) == "accepted"
    assert "the port 80 is not among the allowed ones" in verdict("http://name:80/", **ports)


def test_032_a_deny_list_decides_without_an_allow_list() -> None:
    """No allowed schemes, ftp denied: ftp is refused and http accepted. No allowed ports, 22 denied: 8080 is
    accepted and 22 refused."""
    schemes: dict[str, Any] = {"allowed_schemes": [], "disallowed_schemes": ["ftp"]}
    assert "the scheme ftp is not allowed" in verdict("ftp://name/", **schemes)
    assert verdict("http://name/", **schemes) == "accepted"
    ports: dict[str, Any] = {"allowed_ports": [], "disallowed_ports": [22]}
    assert verdict("http://name:8080/", **ports) == "accepted"
    assert "the port 22 is not allowed" in verdict("http://name:22/", **ports)


def test_033_no_notation_of_an_address_gets_around_the_lists() -> None:
    """127.0.0.1 denied: that is refused. In decimal, hexadecimal, octal, short and mixed notation, and with a dot
    at the end, it is refused under any lists, even where 127.0.0.1 is allowed."""
    assert "is not allowed" in verdict("http://127.0.0.1/", disallowed_hosts=["127.0.0.1"])
    assert verdict("http://127.0.0.1/", allowed_hosts=["127.0.0.1"]) == "accepted"
    odd = "2130706433 0x7f000001 017700000001 0177.0.0.1 127.1 127.0.0x0.1 127.0.0.1."
    urls = [f"http://{host}/" for host in odd.split()]
    for lists in ({}, {"disallowed_hosts": ["127.0.0.1"]}, {"allowed_hosts": ["127.0.0.1"]}):
        assert verdicts(*urls, **lists) == {"refused"}


def test_034_ipv6_addresses_are_compared_in_their_shortest_form() -> None:
    """::1 denied: [::1] and [0::1] are refused. 2001:db8::1 passes an allow list only when it is on it."""
    denied = verdicts("http://[::1]/", "http://[0::1]/", disallowed_hosts=["::1"])
    assert denied == {"refused"}
    here = ("2001:db8::/32",)
    assert verdict("http://[2001:db8:0::1]/", allow=here, allowed_hosts=["2001:db8::1"]) == "accepted"
    assert verdicts("http://[2001:db8::1]/", allow=here, allowed_hosts=["a"]) == {"refused"}


def test_035_names_may_look_like_numbers_and_have_to_resolve() -> None:
    """Names that begin with digits or 0x and that resolve are accepted. A name that does not resolve is an unavailable
    source, which another try may find: exit code 4 on the command line; over HTTP it stays 400, as in Glance."""
    assert verdicts("http://3m.com/", "http://0xdeadbeef.com/") == {"accepted"}
    with pytest.raises(
        SourceUnavailable, match=r"the host name nowhere\.example cannot be resolved"
    ) as caught:
        verdict("http://nowhere.example/")
    assert (caught.value.exit_code, caught.value.retry) == (4, True)


@pytest.mark.parametrize(
    ("host", "denied"),
    [
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::1%lo]", "::1"),
        ("loop.example", "127.0.0.1"),
        ("mixed.example", "127.0.0.1"),
        ("name.", "name"),
        ("name", "NAME"),
    ],
)
def test_036_no_other_name_of_a_host_gets_around_the_deny_list(host: str, denied: str) -> None:
    """An IPv4 address mapped into IPv6, an address with a zone, a name whose address is denied, a name with a
    public and a denied address, a denied name with a dot at the end, and a deny list in capitals: all refused."""
    assert "not allowed" in verdict(f"http://{host}/", disallowed_hosts=[denied])
    assert verdict(f"http://{host}/") == "accepted", "it is the list that refuses"


def test_037_nothing_but_the_internet_is_reached_by_default(site: Site) -> None:
    """With the default configuration loopback, private, link-local, metadata and unspecified addresses are refused,
    with and without the filter."""
    hosts = ["127.0.0.1", "[::1]", "10.0.0.1", "169.254.1.1", "[fe80::1]", "169.254.169.254", "0.0.0.0"]
    assert verdicts(*(f"http://{host}/" for host in [*hosts, "[::]", "loop.example"]), allow=()) == {
        "refused"
    }
    site.configure(network=None)
    for host in hosts:
        done = site.run(f"http://{host}/", image=site.create(), steps=["uri_filter"])
        site.assert_refused(done, code="source-rejected")
    done = site.run(site.server.publish("/disk", BODY), image=site.create())
    assert done.error["code"] == "source-rejected"
    assert site.server.requests == []


def test_038_every_redirect_is_judged(site: Site, other: HttpServer) -> None:
    """A redirect to an allowed url is followed. A redirect to a refused host, port or scheme, a loop of redirects,
    and the 11th redirect fail the import: queued, without size and checksum."""
    target = site.server.publish("/disk", BODY)
    refused_port = other.publish("/disk", BODY)
    filtering = step("uri_filter", allowed_ports=[site.server.port, 80], disallowed_hosts=["127.0.0.2"])
    for number in range(1, 11):
        site.server.answer(f"/hop{number}", redirect(f"/hop{number + 1}" if number < 10 else "/disk"))
    site.server.answer("/loop", redirect("/loop"))
    for location in (target, "/disk", "/hop2"):
        done = site.run(site.server.answer("/go", redirect(location)), image=site.create(), steps=[filtering])
        assert done.image["status"] == "active", done.error
        assert site.stored()["s1"][done.image["id"]] == BODY
        site.imageport("images", "delete", "--yes", done.image["id"])
    for location, message in (
        (refused_port, f"the port {other.port} is not among the allowed ones"),
        (target.replace("127.0.0.1", "127.0.0.2"), "127.0.0.2"),
        ("http://169.254.169.254/", "169.254.169.254"),
        ("ftp://127.0.0.1/disk", "ftp"),
        ("file:///etc/passwd", "file"),
        ("/loop", "redirect"),
        ("/hop1", "more than 10"),
    ):
        done = site.run(site.server.answer("/go", redirect(location)), image=site.create(), steps=[filtering])
        assert done.error["code"] in {"source-rejected", "source-unavailable"}
        assert message in done.error["message"]
        site.assert_rolled_back(done, failed="s1")
    assert other.requests == []


def test_039_the_address_that_was_checked_is_connected_to(http_server: HttpServer) -> None:
    """The answer of the name server changes between the check and the connection: the checked address is used."""
    answers = [["127.0.0.1"], ["192.0.2.7"]]

    def rebinding(_: str) -> Sequence[str]:
        return answers.pop(0)

    transport = make_transport(resolver=rebinding)
    url = http_server.publish("/disk", BODY).replace("127.0.0.1", "evil.example")
    filtering = UriFilter(UriFilterConfig(allowed_ports=[http_server.port]))
    filtering.validate_source(
        source=Source(method="web-download", uri=url), ctx=make_context(Path(), http=transport)
    )
    for _ in range(2):
        with transport.get(url) as response:
            assert b"".join(response.chunks()) == BODY
    assert answers == [["192.0.2.7"]]


def test_040_credentials_stay_at_their_origin(site: Site, other: HttpServer) -> None:
    """A redirect to another origin: no header with credentials arrives there."""
    other.publish("/disk", BODY)
    url = site.server.answer("/start", redirect("/next")).replace("//", "//user:secret@")
    site.server.answer("/next", redirect(other.url("/disk")))
    method = step("web-download", headers={"X-Auth-Token": "token", "Cookie": "cookie"})
    done = site.run(url, image=site.create(), method=method)
    assert done.image["status"] == "active"
    credentials = ["Authorization", "X-Auth-Token", "Cookie"]
    for request in site.server.requests:
        assert [name for name in credentials if name in request.headers] == credentials
    [request] = other.requests
    assert [name for name in credentials if name in request.headers] == []
