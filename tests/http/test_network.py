from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from imageport import SourceRejected
from imageport.configuration.site_file import load_site
from imageport.http import unwrap_address
from imageport.http.network import NetworkRules


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("fd12:3456::1", "private"),
        ("100.64.0.1", "shared"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("169.254.169.254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("192.0.2.1", "documentation"),
        ("2001:db8::1", "documentation"),
        ("198.18.0.1", "benchmarks"),
        ("fec0::1", "reserved"),
        ("64:ff9b:1::1", "unspecified"),
        ("64:ff9b:1::10.0.0.1", "private"),
        ("::ffff:0:10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("64:ff9b::10.0.0.1", "private"),
        ("2002:7f00:1::", "loopback"),
        ("2001:0:a00:1::f5ff:fffe", "private"),
        ("2001:0:808:808::f5ff:fffe", "private"),
    ],
)
def test_special_addresses_are_refused(address: str, kind: str) -> None:
    with pytest.raises(SourceRejected, match=kind) as caught:
        NetworkRules().require_permitted("name.example", ip_address(address))
    assert "network: {allow_networks: [" in caught.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "::ffff:8.8.8.8",
    ],
)
def test_public_addresses_pass(address: str) -> None:
    NetworkRules().require_permitted("name.example", ip_address(address))


def test_the_hint_is_the_line_to_add_to_the_site_file(tmp_path: Path) -> None:
    entry = "network: {allow_networks: [127.0.0.1/32]}"
    (tmp_path / "own.yaml").write_text("network: {}\n")
    home = {"HOME": str(tmp_path)}
    for explicit, place in (
        (None, "a site file, such as imageport.yaml in this folder"),
        ("own.yaml", "own.yaml"),
    ):
        site = load_site(explicit, environ=home, cwd=tmp_path)
        with pytest.raises(SourceRejected, match=r"^127\.0\.0\.1 is a loopback address$") as caught:
            site.network.require_permitted("127.0.0.1", ip_address("127.0.0.1"))
        assert caught.value.hint == f"if images may come from there, add to {place}: {entry}"


METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.42.42",
    "169.254.0.23",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "fd00:42::42",
    "fd00:a9fe:a9fe::1",
    "fd00:100::100:200",
    "fe80::a9fe:a9fe",
]


@pytest.mark.parametrize("address", METADATA)
def test_a_wide_network_never_opens_a_metadata_address_and_its_own_entry_does(address: str) -> None:
    metadata = ip_address(address)
    wide = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8", "fe80::/10"]
    widest = [str(ip_network(f"{address}/{metadata.max_prefixlen - 1}", strict=False))]
    for networks in (wide, widest, [*wide, *widest]):
        rules = NetworkRules.model_validate({"allow_networks": networks})
        with pytest.raises(SourceRejected) as caught:
            rules.require_permitted("name.example", metadata)
        entry = f"network: {{allow_networks: [{address}/{metadata.max_prefixlen}]}}"
        assert f"{entry}; a wider network does not open this address" in caught.value.hint
    NetworkRules.model_validate({"allow_networks": [address]}).require_permitted("name.example", metadata)


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}", "64:ff9b:1::{}", "::ffff:0:{}"])
def test_no_ipv6_form_of_a_metadata_address_is_opened_by_a_wide_network(form: str) -> None:
    rules = NetworkRules.model_validate({"allow_networks": ["::/0", "0.0.0.0/0"]})
    with pytest.raises(SourceRejected, match="metadata"):
        rules.require_permitted("name.example", ip_address(form.format("169.254.169.254")))
    rules.require_permitted("name.example", ip_address(form.format("10.0.0.1")))


def test_listed_networks_pass_and_their_neighbours_do_not() -> None:
    rules = NetworkRules.model_validate({"allow_networks": ["10.1.0.0/16", "fd00::/8"]})
    for allowed in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd12::1"):
        rules.require_permitted("name.example", ip_address(allowed))
    for refused in ("10.2.0.1", "127.0.0.1", "fe80::1"):
        with pytest.raises(SourceRejected):
            rules.require_permitted("name.example", ip_address(refused))


def test_a_teredo_address_stands_for_server_and_client() -> None:
    teredo = ip_address("2001:0:808:808::f5ff:fffe")
    assert unwrap_address(teredo) == (ip_address("8.8.8.8"), ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    "proxy", ["proxy", "https://proxy:1/", "http://proxy:1/path", "http://:1", "socks5://p:1"]
)
def test_a_proxy_must_be_an_http_url_without_a_path(proxy: str) -> None:
    with pytest.raises(ValidationError):
        NetworkRules(proxy=proxy)


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValidationError):
        NetworkRules.model_validate({"allow_network": []})
