"""An import that was killed in the middle of its download is gone on with by ``run --resume``."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE, Popen

import pytest
from tests.faults.downloads import Downloads
from tests.noise import noise

from imageport.testing.command import IMAGEPORT, RunImageport
from imageport.testing.http_answers import File, Stalled, Status, Truncated
from imageport.testing.http_server import Behaviour, HttpServer

BODY = noise(14 << 20)
OTHER = noise(14 << 20, "other")
#: Where the server stalls, and how much of that is certainly in staging: whole pieces of the stream.
THERE = 13 << 20
KEPT = 12 << 20
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server, {"read_timeout": 30})


@contextmanager
def importing(
    downloads: Downloads, url: str, *arguments: str, until: int
) -> Iterator[tuple[Popen[str], str]]:
    """Start an import, wait until so many bytes are in staging, and give its process and task."""
    command = [str(IMAGEPORT), "run", "download.yaml", url, "--json", *arguments]
    with Popen(
        command, cwd=downloads.folder, env=downloads.run.environment, stdout=PIPE, stderr=DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        task = next(
            event["task_id"]
            for event in map(json.loads, process.stdout)
            if event["type"] == "task.processing"
        )
        folder = downloads.folder / "staging"
        while sum(path.stat().st_size for path in folder.glob(f"*.{task}/source")) < until:
            assert process.poll() is None
            time.sleep(0.02)
        yield process, task


def killed(downloads: Downloads, url: str, *arguments: str, at: int = KEPT) -> str:
    """Start an import, kill it when *at* bytes are in staging, and return its task."""
    with importing(downloads, url, *arguments, until=at) as (process, task):
        process.kill()
    return task


@pytest.mark.parametrize("checksum", [None, SHA256], ids=["unchecked", "checked"])
def test_only_the_rest_is_fetched_and_the_digests_are_those_of_all_bytes(
    downloads: Downloads, checksum: str | None
) -> None:
    downloads.write(staging="file", checksum=checksum)
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE), File(BODY))
    task = killed(downloads, url)
    shown = downloads.run.inside("tasks", "show", task[:8])
    assert f"--resume {task[:8]}" in shown.stdout
    assert downloads.run.inside("tasks", "show", task, "--json").json["resumable_bytes"] == KEPT
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task[:8], "--json")
    report = downloads.require_imported(done, BODY)
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={KEPT}-"]
    assert downloads.server.requests[1].headers["If-Range"] == '"1"'
    assert report["source"]["resumed"] == KEPT
    assert report["source"]["bytes_read"] == len(BODY)
    (image,) = downloads.run.inside("images", "list", "--json").json
    assert image["id"] == report["image"]["id"]
    before = downloads.run.inside("tasks", "show", task, "--json").json
    assert (before["status"], before["resumable_bytes"]) == ("failure", 0)


def test_an_import_that_is_killed_again_goes_on_again(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer(
        "/disk.raw", Stalled(BODY, after=5 << 20), Stalled(BODY, after=5 << 20), File(BODY)
    )
    first = killed(downloads, url, at=4 << 20)
    second = killed(downloads, url, "--resume", first, at=8 << 20)
    done = downloads.run.inside("run", "download.yaml", url, "--resume", second, "--json")
    downloads.require_imported(done, BODY)
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={4 << 20}-", f"bytes={8 << 20}-"]


@pytest.mark.parametrize(
    "answers",
    [
        (File(OTHER, etag='"2"'),),
        (File(OTHER[: 5 << 20], etag='"2"'),),
        (File(OTHER, ranges=False),),
        (Status(416), File(OTHER)),
    ],
    ids=["changed", "shorter", "no-ranges", "refused"],
)
def test_where_the_rest_is_not_to_be_had_it_begins_anew(
    downloads: Downloads, answers: tuple[Behaviour, ...]
) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE), *answers)
    task = killed(downloads, url)
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    last = answers[-1]
    assert isinstance(last, File)
    report = downloads.require_imported(done, last.data)
    assert report["source"]["resumed"] == 0


def test_wrong_bytes_from_before_are_noticed_and_fetched_whole(downloads: Downloads) -> None:
    """The server calls another file by the same ETag, or the disk has lost what it had."""
    downloads.write(staging="file", checksum=SHA256)
    url = downloads.server.answer("/disk.raw", Stalled(OTHER, after=THERE), File(BODY))
    task = killed(downloads, url)
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    downloads.require_imported(done, BODY)
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={KEPT}-", None]


def test_a_mirror_is_gone_on_with_where_it_was_left(downloads: Downloads) -> None:
    bad = downloads.server.answer("/bad.raw", Status(404), File(OTHER))
    good = downloads.server.answer("/good.raw", Stalled(BODY, after=THERE), File(BODY))
    downloads.write(staging="file", mirrors=[good])
    task = killed(downloads, bad)
    done = downloads.run.inside("run", "download.yaml", bad, "--resume", task, "--json")
    downloads.require_imported(done, BODY)
    assert downloads.server.asked("/good.raw") == [None, f"bytes={KEPT}-"]
    assert downloads.server.asked("/bad.raw") == [None]


def test_without_resume_a_dead_import_is_cleaned_up_as_ever(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE), File(BODY))
    task = killed(downloads, url)
    assert downloads.files("staging") != []
    downloads.run.inside("gc")
    assert downloads.files("staging") == []
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    assert done.exit_code == 2
    assert "has ended with failure" in done.report["error"]["message"]
    assert "without --resume" in done.report["error"]["hint"]


def test_what_cannot_be_resumed_is_reported_and_stays_as_it_was(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE), File(BODY))
    task = killed(downloads, url)

    def refused(*arguments: str, code: int = 2) -> str:
        done = downloads.run.inside("run", *arguments, "--json")
        assert done.exit_code == code
        assert done.report["error"]["hint"]
        return str(done.report["error"]["message"])

    assert "no task 00000000" in refused("download.yaml", url, "--resume", "00000000")
    assert "had the source" in refused("download.yaml", url + "2", "--resume", task)
    other = json.loads((downloads.folder / "download.yaml").read_text())
    (downloads.folder / "other.yaml").write_text(json.dumps(other | {"name": "other"}))
    assert "had the pipeline download" in refused("other.yaml", url, "--resume", task)
    (downloads.folder / "stream.yaml").write_text(json.dumps(other | {"staging": "auto"}))
    assert "nothing was kept" in refused("stream.yaml", url, "--resume", task)
    downloads.run.inside("images", "create", "--name", "another")
    assert "imported image" in refused("download.yaml", url, "--resume", task, "--image", "another")
    stranger = refused("download.yaml", url, "--resume", task, "--user", "stranger")
    assert f"no task {task}" in stranger
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    downloads.require_imported(done, BODY)


def test_a_live_import_is_not_taken_over(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE))
    with importing(downloads, url, until=KEPT) as (process, task):
        done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
        assert done.exit_code == 7
        assert "is alive" in done.report["error"]["message"]
        shown = downloads.run.inside("tasks", "show", task, "--json").json
        assert (shown["status"], shown["resumable_bytes"]) == ("processing", 0)
        process.terminate()
        process.communicate()
    assert process.returncode == 130
    assert downloads.files("staging") == []


def test_nothing_is_kept_that_could_not_be_distinguished_from_another_file(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE, etag='W/"1"'), File(BODY))
    task = killed(downloads, url)
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    assert done.exit_code == 2
    assert "nothing of the source" in done.report["error"]["message"]
    assert "strong ETag" in done.report["error"]["hint"]


def test_a_note_that_cannot_be_read_counts_as_missing(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE))
    task = killed(downloads, url)
    (path,) = (downloads.folder / "staging").rglob("source.json")
    for note in ("", "{}", "[]", "null", '{"length": -1}', "\x00\xff"):
        path.write_text(note)
        assert downloads.run.inside("tasks", "show", task, "--json").json["resumable_bytes"] == 0


def test_after_a_restart_of_the_machine_only_what_is_on_the_disk_counts(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer("/disk.raw", Stalled(BODY, after=THERE), File(BODY))
    task = killed(downloads, url)
    (path,) = (downloads.folder / "staging").rglob("source.json")
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {"boot": "another", "synced": 9 << 20}))
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    downloads.require_imported(done, BODY)
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={8 << 20}-"]


def test_a_download_that_breaks_off_while_it_is_resumed_goes_on(downloads: Downloads) -> None:
    downloads.write(staging="file")
    url = downloads.server.answer(
        "/disk.raw", Stalled(BODY, after=5 << 20), Truncated(BODY, after=5 << 20), File(BODY)
    )
    task = killed(downloads, url, at=4 << 20)
    done = downloads.run.inside("run", "download.yaml", url, "--resume", task, "--json")
    downloads.require_imported(done, BODY)
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={4 << 20}-", f"bytes={9 << 20}-"]
