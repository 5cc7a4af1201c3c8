from __future__ import annotations

from collections.abc import Iterator

import pytest

from imageport import SourceRejected, SourceUnavailable
from imageport.testing.contexts import make_transport, names
from imageport.testing.http_server import HttpServer, content, redirect, status

BODY = b"image"


@pytest.fixture
def other_server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(http_server: HttpServer, code: int) -> None:
    """Scenario 38."""
    http_server.answer("/final%20name", content(BODY))
    url = http_server.answer("/latest", redirect("final name", code))
    with make_transport().get(url) as response:
        assert b"".join(response.chunks()) == BODY
        assert response.url == http_server.url("/final%20name")


def test_each_hop_is_validated_with_the_page_that_named_it(http_server: HttpServer) -> None:
    seen: list[tuple[str, str | None]] = []
    http_server.answer("/1", redirect("/2"))
    http_server.answer("/2", redirect("/3"))
    http_server.answer("/3", content(BODY))
    make_transport(validate=lambda url, page: seen.append((url, page))).get(http_server.url("/1")).close()
    one, two, three = (http_server.url(f"/{number}") for number in "123")
    assert seen == [(one, None), (two, one), (three, two)]


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/disk",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://inside.example/",
        "http://2130706433/",
        "http://name:99999/",
        "http://[::1/",
        "ftp://8.8.8.8/disk",
        "file:///etc/passwd",
        "data:text/plain,x",
        "http://a@b@c/",
    ],
)
def test_a_redirect_to_a_refused_place_is_refused(http_server: HttpServer, target: str) -> None:
    """Scenario 38."""
    transport = make_transport(resolver=names({"inside.example": ["192.168.0.1"]}))
    page = http_server.answer("/latest", redirect(target))
    with pytest.raises(SourceRejected) as caught:
        transport.get(page)
    assert str(caught.value).endswith(f" (redirected from {page})")
    assert http_server.paths() == ["/latest"]


def test_a_page_is_named_that_redirects_to_where_nothing_answers(http_server: HttpServer) -> None:
    page = http_server.answer("/latest", redirect("http://nowhere.example/disk"))
    with pytest.raises(SourceUnavailable) as caught:
        make_transport().get(page)
    assert caught.value.message == (
        "the host name nowhere.example cannot be resolved: Name or service not known "
        f"(redirected from {page})"
    )
    missing = http_server.answer("/old", redirect("/gone"))
    with pytest.raises(SourceUnavailable) as caught:
        make_transport().get(missing)
    assert caught.value.message == (
        f"{http_server.url('/gone')} answered 404 Not Found (redirected from {missing})"
    )


def test_a_redirect_that_a_step_refuses_is_not_followed(http_server: HttpServer) -> None:
    """Scenario 38."""

    def only_latest(url: str, page: str | None) -> None:
        if not url.endswith("/latest"):
            raise SourceRejected(f"{url} from {page} is not permitted")

    url = http_server.answer("/latest", redirect("/disk"))
    with pytest.raises(SourceRejected, match=f"/disk from {url} is not permitted"):
        make_transport(validate=only_latest).get(url)
    assert http_server.paths() == ["/latest"]


def test_ten_redirects_are_followed_and_the_eleventh_is_not(http_server: HttpServer) -> None:
    """Scenario 38."""
    for number in range(12):
        http_server.answer(f"/{number}", redirect(f"/{number + 1}"))
    http_server.answer("/12", content(BODY))
    make_transport().get(http_server.url("/2")).close()
    with pytest.raises(SourceUnavailable, match="redirects more than 10 times") as caught:
        make_transport().get(http_server.url("/1"))
    assert not caught.value.retry
    assert http_server.paths()[-1] == "/11"


def test_a_circle_of_redirects_is_noticed(http_server: HttpServer) -> None:
    """Scenario 38."""
    http_server.answer("/a", redirect("/b"))
    http_server.answer("/b", redirect("/a#again"))
    with pytest.raises(SourceUnavailable, match="redirects in a circle"):
        make_transport().get(http_server.url("/a"))
    assert http_server.paths() == ["/a", "/b"]


def test_a_redirect_must_have_a_location(http_server: HttpServer) -> None:
    with pytest.raises(SourceUnavailable, match="without a Location"):
        make_transport().get(http_server.answer("/a", status(302)))


def test_headers_and_credentials_are_for_the_first_origin_only(
    http_server: HttpServer, other_server: HttpServer
) -> None:
    """Scenario 40: they do not come back either after an answer of another site."""
    http_server.answer("/start", redirect("/next"))
    http_server.answer("/next", redirect(other_server.url("/middle")))
    other_server.answer("/middle", redirect(http_server.url("/end")))
    http_server.answer("/end", content(BODY))
    url = http_server.url("/start").replace("//", "//user:secret@")
    make_transport().get(url, headers={"X-Auth-Token": "t", "cookie": "c"}).close()
    secrets = ("Authorization", "X-Auth-Token", "Cookie")
    sent = {
        request.path: [name for name in secrets if name in request.headers]
        for request in http_server.requests + other_server.requests
    }
    assert sent == {"/start": list(secrets), "/next": list(secrets), "/middle": [], "/end": []}


def test_a_redirect_cannot_spend_the_attempts_of_a_broken_server(
    http_server: HttpServer, other_server: HttpServer
) -> None:
    url = http_server.answer("/start", redirect(other_server.url("/disk")))
    other_server.answer("/disk", status(503), content(BODY))
    make_transport().get(url).close()
    assert http_server.paths() == ["/start", "/start"]
    assert other_server.paths() == ["/disk", "/disk"]


def test_one_header_is_sent_once_whatever_its_case(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", content(BODY)).replace("//", "//user:secret@")
    make_transport().get(url, headers={"authorization": "Bearer t", "user-agent": "me"}).close()
    headers = http_server.requests[0].headers
    assert headers.get_all("Authorization") == ["Bearer t"]
    assert headers.get_all("User-Agent") == ["me"]
