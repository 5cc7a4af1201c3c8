"""Passwords in urls, also in malformed ones: they are shown and recorded nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageport import SourceRejected
from imageport.configuration.templating import confidential
from imageport.http import Url
from imageport.http.urls import without_credentials
from imageport.redaction import redact
from imageport.testing.command import Finished, RunImageport

PARTS = ("s3cretA", "s3cretB", "s3cretC")
HINT = "write %2F for /, %3F for ? and %23 for # in a password, and %40 for @ in a path or query"


@settings(deadline=None)
@given(
    scheme=st.sampled_from(
        ["http://", "https://", "HTTP://", "ftp://", "nbd+x://", "http:/", "http:", "//", ""]
    ),
    user=st.sampled_from(["user", "", "u@er", "1234"]),
    delimiters=st.lists(
        st.sampled_from(["/", "#", "?", "@", ":", " ", "\\", "%", "ä", "//", "?@", "12/"]), max_size=2
    ),
    first=st.sampled_from(["s3cretA", "12345", ""]),
    host=st.sampled_from(["127.0.0.1:1", "h.example", "[::1]:80", "h.example:99999", "bad host", "", "h..x"]),
    rest=st.sampled_from(["/disk.raw", "", "/a/b?c=d", "?q", "/disk.raw#f"]),
)
def test_no_part_of_a_password_is_shown_however_the_url_is_malformed(
    scheme: str, user: str, delimiters: list[str], first: str, host: str, rest: str
) -> None:
    password = first + "".join(map("".join, zip(delimiters, PARTS[1:], strict=False)))
    text = f"{scheme}{user}:{password}@{host}{rest}"
    texts = [without_credentials(text)]
    try:
        url = Url.parse(text)
    except SourceRejected as error:
        texts += [error.message, error.hint]
    else:
        texts += [url.shown, str(url), repr(url)]
        assert url.host in ("127.0.0.1", "h.example", "::1"), "the host is the one behind the password"
    texts.append(redact(f"a library quotes {text}", confidential(text)))
    for part in PARTS:
        assert all(part not in message for message in texts)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host.example/a@b.raw", "https://host.example/a@b.raw"),
        ("https://host.example:8443/a%40b.raw", "https://host.example:8443/a%40b.raw"),
        ("https://user:s3cretA@host.example:8443/a.raw", "https://host.example:8443/a.raw"),
        ("https://user:s3cretA%2Fx@host.example/a.raw?x=1", "https://host.example/a.raw"),
        ("https://[::1]/a@b.raw", None),
        ("https://host.example:8443/a@b.raw", None),
        ("https://host.example:8443/a.raw?mail=a@b", None),
    ],
)
def test_an_at_sign_in_a_path_does_not_end_a_password(text: str, shown: str | None) -> None:
    if shown is None:
        with pytest.raises(SourceRejected) as caught:
            Url.parse(text)
        assert caught.value.hint == HINT
    else:
        assert Url.parse(text).shown == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:s3cret@host/x?q#f", "https://host/x"),
        ("https://user:s3c/r?e#t@host:1/x", "https://host:1/x"),
        ("user:s3cret@host/x", "host/x"),
        ("https://user:s3cret/x", "https://user:***/x"),
        ("https://host:8080/x", "https://host:8080/x"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("/srv/disk.raw", "/srv/disk.raw"),
    ],
)
def test_malformed_urls_are_shown_without_what_may_be_a_password(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("https://user:s3cret@host/x", {"user:s3cret", "s3cret"}),
        ("https://user:s3cr%2Fet@host/x", {"user:s3cr%2Fet", "user:s3cr/et", "s3cr%2Fet", "s3cr/et"}),
        ("https://t0ken@host/x", {"t0ken"}),
        ("htps://t0ken@host/x", {"t0ken"}),  # the scheme may be mistyped
        ("https://host/x?signature=abc#part", {"?signature=abc"}),
        ("https://user:s3/c?r#et@host/x?q=1", {"user:s3/c?r#et", "s3/c?r#et", "?q=1"}),
        ("https://host/a:b@c", set()),
        ("/srv/a:b@c.raw", set()),
        ("disk.raw", set()),
    ],
)
def test_what_a_url_has_beside_the_address_is_confidential(url: str, hidden: set[str]) -> None:
    assert confidential(url) == hidden


def test_a_secret_is_hidden_when_it_is_escaped_in_a_url() -> None:
    assert redact("see https://host/p%C3%A4ss%20word/x", {"päss word"}) == "see https://host/***/x"
    assert redact("see https://host/päss word/x", {"päss word"}) == "see https://host/***/x"


@pytest.fixture
def pipeline(site_folder: Path) -> Path:
    path = site_folder / "web.yaml"
    observers = [
        {"use": "jsonl", "with": {"path": "events.jsonl"}},
        {"use": "notifications", "with": {"path": "notifications.jsonl"}},
    ]
    path.write_text(json.dumps({"name": "web", "source": {"use": "web-download"}, "observers": observers}))
    return path


def _assert_secret(site_folder: Path, *finished: Finished) -> None:
    """The parts of the password are in no output, no file of observers, no catalog, and no scratch file."""
    written = [
        path for path in site_folder.rglob("*") if path.is_file() and path.suffix not in (".yaml", ".own")
    ]
    outputs = [text.encode() for done in finished for text in (done.stdout, done.stderr)]
    for data in (*outputs, *(path.read_bytes() for path in written)):
        assert b"s3cret" not in data


@pytest.mark.parametrize(
    "url",
    [
        "http://user:s3cretA/s3cretB@127.0.0.1:1/x",
        "http://user:s3cretA#s3cretB@127.0.0.1:1/x",
        "http://user:s3cretA?s3cretB@127.0.0.1:1/x",
        "http://user:s3cretA s3cretB@127.0.0.1:1/x",
        "http://user:s3cretA@s3cretB@127.0.0.1:1/x",
        "http://user:12/s3cretB@127.0.0.1:1/x",
        "http://user:s3cretA@127.0.0.1:1/x",
        "http://user:s3cretA%2Fs3cretB@127.0.0.1:1/x",
        "user:s3cretA@127.0.0.1:1/x",
        "http:user:s3cretA@127.0.0.1:1/x",
        "http://user:s3cretA@127.0.0.1:port/x",
    ],
)
@pytest.mark.parametrize("method", ["web-download", "glance-direct", "glance-download", "copy-image"])
def test_no_command_shows_or_records_the_password_of_a_source(
    run_imageport: RunImageport, site_folder: Path, pipeline: Path, url: str, method: str
) -> None:
    options = {"with": {"endpoint": "http://127.0.0.1:1"}} if method == "glance-download" else {}
    data = json.loads(pipeline.read_text())
    pipeline.write_text(json.dumps({**data, "source": {"use": method, **options}}))
    runs = [
        run_imageport.inside("run", pipeline, url, "--json", "--name", "n"),
        run_imageport.inside("--debug", "run", pipeline, url),
        run_imageport.inside("plan", pipeline, url),
        run_imageport.inside("plan", pipeline, url, "--json"),
        run_imageport.inside("tasks", "list", "--json"),
        run_imageport.inside("images", "list", "--json"),
    ]
    assert all(done.exit_code != 0 for done in runs[:2])
    _assert_secret(site_folder, *runs)


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("mirror", {"mirrors": ["http://user:s3cretA/x@127.0.0.1:1/x"]}),
        ("list", {"checksum_url": "http://user:s3cretA@127.0.0.1:1/SUMS"}),
        ("malformed list", {"checksum_url": "http://user:s3cretA/x@127.0.0.1:1/SUMS"}),
        ("signature", {"checksum_url": "http://127.0.0.1:1/S", "signature_url": "http://user:s3cretA@h/"}),
    ],
)
def test_no_command_shows_the_password_in_an_option(
    run_imageport: RunImageport, site_folder: Path, pipeline: Path, place: str, options: dict[str, object]
) -> None:
    data = json.loads(pipeline.read_text())
    pipeline.write_text(json.dumps({**data, "source": {"use": "web-download", "with": options}}))
    url = "http://127.0.0.1:1/disk.raw"
    runs = [
        run_imageport.inside("run", pipeline, url, "--json"),
        run_imageport.inside("--debug", "run", pipeline, url),
        run_imageport.inside("plan", pipeline, url, "--json"),
        run_imageport.inside("validate", pipeline),
    ]
    assert runs[0].exit_code != 0, place
    _assert_secret(site_folder, *runs)


@pytest.mark.parametrize(
    "network",
    [
        {"proxy": "http://user:s3cretA@127.0.0.1:1"},
        {"proxy": "http://user:s3cretA/x@127.0.0.1:1"},
        {"proxy": "http://user:s3cretA@127.0.0.1:1/path"},
    ],
)
@pytest.mark.parametrize(
    "webhook", ["http://user:s3cretB@127.0.0.1:1/x", "http://user:s3cretB/x@127.0.0.1:1/x"]
)
def test_no_command_shows_the_password_of_a_proxy_or_webhook(
    run_imageport: RunImageport, site_folder: Path, pipeline: Path, network: dict[str, str], webhook: str
) -> None:
    site = site_folder / "imageport.yaml"
    observers = [{"use": "notifications", "with": {"url": webhook}}]
    changed = site.read_text().replace("{allow_networks: [127.0.0.0/8]}", json.dumps(network))
    site.write_text(f"{changed}observers: {json.dumps(observers)}\n")
    runs = [
        run_imageport.inside("--debug", "run", pipeline, "http://127.0.0.1:1/disk.raw"),
        run_imageport.inside("run", pipeline, "http://127.0.0.1:1/disk.raw", "--json"),
        run_imageport.inside("doctor"),
        run_imageport.inside("validate", pipeline),
    ]
    assert runs[0].exit_code != 0
    _assert_secret(site_folder, *runs)


def test_the_error_for_a_password_with_a_slash_shows_how_to_write_it(
    run_imageport: RunImageport, pipeline: Path
) -> None:
    done = run_imageport.inside("run", pipeline, "http://user:s3cretA/B@h.example/x", "--json")
    error = done.report["error"]
    assert (done.exit_code, error["hint"]) == (3, HINT)
    assert error["message"] == (
        "'http://h.example/x' is not accepted as a url: a '/', '?' or '#' stands in its password, or an '@' in its path"
    )
