from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imageport import SourceRejected
from imageport.http import Url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://NAME.:080/x?y=1#part", "http://name:80/x?y=1"),
        ("HTTPS://Example.ORG", "https://example.org/"),
        ("http://name:/", "http://name/"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://[0::1]:8080/", "http://[::1]:8080/"),
        ("http://[::1%lo]/", "http://[::1]/"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1]/"),
        ("http://3m.com/", "http://3m.com/"),
        ("http://0xdeadbeef.com/", "http://0xdeadbeef.com/"),
        ("http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "http://127.0.0.1/"),
        ("http://user:secret@10.1.1.1/x", "http://10.1.1.1/x"),
        ("http://name/?q", "http://name/?q"),
        ("http://name?q", "http://name/?q"),
    ],
)
def test_a_url_has_one_spelling(text: str, shown: str) -> None:
    assert str(Url.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "//name/",
        "data:text/plain,x",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://:80/",
        "http://name:0/",
        "http://name:99999/",
        "http://name:-1/",
        "http://name:abc/",
        "http://name:\uff18\uff10/",
        "http://name:+80/",
        "http://[::1/",
        "http://::1/",
        "http://[::1]x/",
        "http://[127.0.0.1]/",
        "http://[1:2]/",
        "http://na me/",
        " http://name/",
        "http://name/\n",
        "http://na\tme/",
        "http://name/\x00",
        "http://name\\@evil.example/",
        "http://a@b@c/",
        "http://a..b/",
        "http://-a.example/",
        "http://%31%32%37.0.0.1/",
        "http://evil.com\uff0f@good.example/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://name/\udc80",
    ],
)
def test_what_is_not_clearly_a_url_is_refused(text: str) -> None:
    with pytest.raises(SourceRejected, match="is not accepted as a url"):
        Url.parse(text)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0x0.1",
        "127.0.0.0x1",
        "127.0.0.1.",
        "127.0.0.256",
        "1.2.3.4.5",
        "0x",
    ],
)
def test_addresses_in_unusual_notations_are_refused(host: str) -> None:
    with pytest.raises(SourceRejected, match="interpret this number in different ways"):
        Url.parse(f"http://{host}/")


@given(st.one_of(st.text(), st.from_regex(r"https?://[^/]*(:[0-9]*)?/.*")))
@example("http://[::1")
@example("http://[v1.x]/")
@example("http://a:" + "9" * 5000)
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        url = Url.parse(text)
    except SourceRejected as error:
        assert error.hint
    else:
        assert Url.parse(str(url)) == Url(url.scheme, url.host, url.port, url.target)


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_location_header_leads_to_a_url_or_is_refused(location: str) -> None:
    try:
        joined = Url.parse("http://name/a/b?c").join(location)
    except SourceRejected:
        return
    assert joined.host


def test_redirect_targets_may_be_relative_and_hold_blanks() -> None:
    page = Url.parse("http://user:secret@name:81/a/b?c")
    assert str(page.join("d e")) == "http://name:81/a/d%20e"
    assert str(page.join("//other/x")) == "http://other/x"
    assert str(page.join("?q")) == "http://name:81/a/b?q"
    assert page.join("/x").credentials is None


def test_a_password_is_never_shown() -> None:
    url = Url.parse("https://user:s%2Fcret@name/x?signature=abc")
    assert url.credentials == "user:s/cret"
    assert url.basic_authorization == "Basic dXNlcjpzL2NyZXQ="
    assert "cret" not in f"{url!r} {url} {url.shown}"
    assert "signature" not in url.shown
    with pytest.raises(SourceRejected) as caught:
        Url.parse("https://user:secret@name:0/x")
    assert "secret" not in str(caught.value)


def test_the_usual_port_belongs_to_the_origin() -> None:
    assert Url.parse("https://name/").origin == Url.parse("HTTPS://NAME:443/x").origin
    assert Url.parse("https://name/").origin != Url.parse("http://name/").origin
    assert Url.parse("https://name/").origin != Url.parse("https://name:444/").origin
