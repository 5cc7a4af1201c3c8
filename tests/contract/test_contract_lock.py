from __future__ import annotations

import gzip
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.contract.remote_glance import publish_remote
from tests.contract.site import Outcome, Site, step

from imageport.catalog import Catalog
from imageport.catalog.database import Transaction
from imageport.catalog.schema import open_database
from imageport.testing.http_server import Reply, content, status

BODY = bytes(range(256)) * 100
OTHER = BODY[::-1]
MIB = 1 << 20
LOCK = "os_glance_import_task"
#: To qcow2, which needs a file first.
CONVERT = step("image_conversion", output_format="qcow2")


def catalog_of(site: Site) -> str:
    """Return the url of the catalog, for a process whose working folder is another."""
    url: str = site.settings["catalog"]
    return url.replace("sqlite:///catalog", f"sqlite:///{site.folder}/catalog")


@contextmanager
def database(site: Site) -> Iterator[Transaction]:
    """Open the database behind the catalog, for what only time or a hand in it can change."""
    with closing(open_database(catalog_of(site))) as opened, opened.writing() as transaction:
        yield transaction


def hold(site: Site, image: str, *stores: str) -> str:
    """Lock *image* for an import into *stores* that does nothing more, and return its task."""
    catalog = Catalog(catalog_of(site))
    lease = catalog.begin_import(
        image,
        starts_from={"queued"},
        request={},
        owner="tester",
        targets=stores,
        lease_seconds=60,
        brings_formats=True,
    )
    catalog.close()
    move_elsewhere(site, lease.task_id, seconds_left=50)
    return lease.task_id


def move_elsewhere(site: Site, task: str, *, seconds_left: float) -> None:
    """Have *task* run on another machine, with a lease of which so much is left."""
    with database(site) as transaction:
        set_holder(transaction, task, seconds_left=seconds_left)


def set_holder(transaction: Transaction, task: str, *, seconds_left: float) -> None:
    """Do so within a transaction."""
    expires = datetime.now(UTC) + timedelta(seconds=seconds_left)
    columns = {"holder": "elsewhere:4711:1-another", "lease_expires_at": expires}
    transaction.update("tasks", columns, "id = :task", task=task)


def assert_locked(done: Outcome, task: str) -> None:
    """The import was refused because *task* holds the lock."""
    assert done.code == 7
    assert done.error["code"] == "conflict"
    assert f"is locked by task {task}" in done.error["message"]
    assert f"imageport tasks cancel {task}" in done.error["hint"]
    assert done.task == {}


def assert_robbed(site: Site, task: str) -> None:
    """The task failed because its lease was not renewed."""
    robbed = site.imageport("tasks", "show", task, "--json").json
    assert robbed["status"] == "failure"
    assert "stopped renewing its lease" in robbed["message"]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again, for a minute at most."""
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def wait_for_writing(site: Site, task: str, *stores: str) -> None:
    """Wait until *stores* have announced the location of the data of *task*."""
    catalog = Catalog(catalog_of(site))
    wait_until(lambda: {copy.store for copy in catalog.pending_locations(task)} == set(stores))
    catalog.close()


def assert_one_of_two_imports_goes_on(site: Site, image: str) -> None:
    """Of two processes that import at the same time one is refused, and the other is the only one that writes."""
    site.trouble("s1", waits=True)
    racing = [site.start(BODY, image=image) for _ in range(2)]
    wait_until(lambda: any(running.process.returncode is not None for running in racing))
    loser, winner = sorted(racing, key=lambda running: running.process.returncode is None)
    refused = loser.finish()
    site.let_go("s1")
    done = winner.finish()
    assert refused.code == 7
    assert refused.error["code"] == "conflict"
    assert done.code == 0
    assert done.image["status"] == "active"
    assert site.journal() == ["begin s1", "end s1"]
    assert site.stored() == {"s1": {image: BODY}}


def test_061_of_two_imports_at_the_same_time_one_is_refused(site: Site, catalog_url: str) -> None:
    """Two imports of one image at the same time, with the catalog in SQLite and in PostgreSQL: one runs, one is
    refused, and there is one writer."""
    site.configure(catalog=catalog_url)
    image = site.create()
    assert_one_of_two_imports_goes_on(site, image)
    assert [task["status"] for task in site.tasks(image)] == ["success"]


def test_062_a_lock_can_be_taken_from_an_import_that_stopped_renewing_it(site: Site) -> None:
    """Who holds the lock has renewed its lease less than 60 s ago: the next import is refused; longer ago: it loses the
    lock. Its task fails with this reason, the new import runs, its stores have the image, and those of the first one
    are in no list. Glance waits for 60 minutes; here a lease of 60 s is renewed by a timer, and a process on the same
    machine that has died is noticed at once."""
    image = site.run(BODY, image=site.create()).image["id"]
    site.trouble("s2", waits=True)
    running = site.start(None, "--role", "admin", image=image, method="copy-image", stores=["s2", "s3"])
    task = running.until("task.processing")["task_id"]
    wait_for_writing(site, task, "s2", "s3")
    running.kill()
    copy: dict[str, Any] = {"image": image, "method": "copy-image", "stores": ["s3"]}
    move_elsewhere(site, task, seconds_left=50)
    assert_locked(site.run(None, "--role", "admin", **copy), task)
    assert site.show(image)["properties"]["os_glance_importing_to_stores"] == "s2,s3"
    move_elsewhere(site, task, seconds_left=-1)
    done = site.run(None, "--role", "admin", **copy)
    assert done.code == 0
    assert done.lists == ("", "")
    assert site.stored() == {"s1": {image: BODY}, "s3": {image: BODY}}
    assert_robbed(site, task)


def test_063_an_import_that_has_not_started_holds_the_lock_as_long(site: Site) -> None:
    """As in 62, but the task is still pending. Glance waits for 120 minutes then; a lease makes no difference."""
    image = site.create()
    task = hold(site, image, "s2")
    assert site.tasks(image)[0]["status"] == "pending"
    assert_locked(site.run(BODY, image=image), task)
    move_elsewhere(site, task, seconds_left=-1)
    done = site.run(BODY, image=image)
    assert done.image["status"] == "active"
    assert done.lists == ("", "")
    assert_robbed(site, task)


def test_064_a_lock_whose_task_is_missing_is_taken_at_once(site: Site) -> None:
    """The row of the task that holds the lock is missing: the next import takes it at once."""
    image = site.create()
    task = hold(site, image, "s2")
    with database(site) as transaction:
        transaction.change("DELETE FROM tasks WHERE id = :task", task=task)
    done = site.run(BODY, image=image)
    assert done.image["status"] == "active"
    assert done.lists == ("", "")


@pytest.mark.parametrize("ended", ["success", "failure"])
def test_065_a_lock_whose_task_has_ended_is_taken_at_once(site: Site, ended: str) -> None:
    """The task has ended, well or not, but the lock is still there: the next import takes it without any error about
    states. Glance does so after 60 minutes; here it is certain at once that no process will release it."""
    image = site.create()
    task = hold(site, image, "s2")
    with database(site) as transaction:
        transaction.update("tasks", {"status": ended}, "id = :task", task=task)
    done = site.run(BODY, image=image)
    assert done.image["status"] == "active"
    assert done.lists == ("", "")
    assert [found["status"] for found in site.tasks(image)] == ["success", ended]


def test_066_of_two_thieves_one_wins(site: Site, catalog_url: str) -> None:
    """Two imports at the same time find a lock that can be taken, with the catalog in SQLite and in PostgreSQL: one
    runs, the other is refused."""
    site.configure(catalog=catalog_url)
    image = site.create()
    task = hold(site, image, "s1")
    move_elsewhere(site, task, seconds_left=-1)
    assert_one_of_two_imports_goes_on(site, image)
    assert_robbed(site, task)
    assert sorted(found["status"] for found in site.tasks(image)) == ["failure", "success"]


def test_067_a_robbed_import_that_comes_back_changes_nothing(site: Site) -> None:
    """An import is stopped in the middle of writing, its lease runs out, and another one takes the lock. When the
    first goes on it gives up; the record and the copies of the other stay as they are."""
    image = site.create()
    site.trouble("s1", waits=True)
    robbed = site.start(OTHER, image=image, stores=["s1", "s2"])
    task = robbed.until("task.processing")["task_id"]
    wait_for_writing(site, task, "s1", "s2")
    with database(site) as transaction:
        set_holder(transaction, task, seconds_left=-1)
        # While this transaction has the lock of the database, the process that is stopped has it not.
        robbed.process.send_signal(signal.SIGSTOP)
        state = Path(f"/proc/{robbed.process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")
    site.let_go("s1")
    done = site.run(BODY, image=image, stores=["s1", "s2"])
    assert done.image["status"] == "active"
    robbed.process.send_signal(signal.SIGCONT)
    after = robbed.finish()
    assert after.error["code"] == "lock-lost"
    assert after.code == 7
    assert site.show(image) == done.image
    assert site.stored() == {"s1": {image: BODY}, "s2": {image: BODY}}
    assert site.staged() == []
    assert_robbed(site, task)


def test_068_a_cancelled_import_stops_while_it_writes(site: Site) -> None:
    """The task is cancelled, or its row is removed, while a store is written: the import notices at its next report of
    progress, and is rolled back."""
    site.trouble("s1", waits=True)
    writing = []
    for _ in range(2):
        running = site.start(BODY, image=site.create(), stores=["s1", "s2"])
        writing.append((running, running.until("progress", lane="s2", done=len(BODY))["task_id"]))
    (cancelled, task), (removed, missing) = writing
    site.imageport("tasks", "cancel", task)
    with database(site) as transaction:
        transaction.change("DELETE FROM tasks WHERE id = :task", task=missing)
    done = cancelled.finish()
    assert done.code == 130
    assert done.error["code"] == "cancelled"
    assert done.task["status"] == "failure"
    assert done.task["progress"]["s2"] == len(BODY)
    gone = removed.finish()
    assert gone.code == 7
    assert gone.error["code"] == "lock-lost"
    assert gone.task == {}
    for outcome in (done, gone):
        assert outcome.image["status"] == "queued"
        assert outcome.image["locations"] == []
        assert LOCK not in outcome.image["properties"]
        assert outcome.lists[0] == ""
    assert site.stored() == {}
    assert site.staged() == []


def imports_that_end(site: Site) -> Iterator[Outcome]:
    """Import in all the ways that leave a lock in Glance, and in some others."""
    url = site.server.publish("/disk", BODY)
    site.configure(quotas={"image_size_total": len(BODY) - 1})
    yield site.run(url, image=site.create())
    site.configure(quotas=None)
    active = site.run(url, image=site.create(), steps=[CONVERT])
    yield active
    site.configure(quotas={"image_size_total": 1})
    yield site.run(url, image=(queued := site.create()))
    site.configure(quotas=None)
    for answer in (status(404), content(BODY, length=f"{len(BODY) + 1}")):
        yield site.run(site.server.answer("/broken", answer), image=queued, steps=[CONVERT])
    for fault in ({"status": "queued"}, {"size": len(BODY) + 1}):
        glance = publish_remote(site.server, BODY, **fault)
        yield site.run(None, image=queued, method=glance)
    for steps in ([CONVERT], []):
        yield site.run(url, image=site.create(disk_format="qcow2"), steps=steps)
    staged = site.create()
    site.stage(staged, gzip.compress(BODY)[:-1])
    yield site.run(image=staged, steps=["image_decompression"])
    for store in ("s2", "s3"):
        site.trouble(store, "middle")
    for must in (True, False):
        site.stage(staged, BODY)
        yield site.run(image=staged, steps=[CONVERT], stores=["s2", "s3"], must=must)
        yield site.run(url, image=queued, steps=[CONVERT], stores=["s2", "s3"], must=must)
    copy: dict[str, Any] = {"image": active.image["id"], "method": "copy-image", "all_stores": True}
    yield site.run(None, "--role", "admin", **copy)
    (site.folder / "s1" / copy["image"]).unlink()
    yield site.run(None, "--role", "admin", **copy)


def test_069_no_import_leaves_a_lock(site: Site) -> None:
    """No lock is left after success, after failures of every kind (fetching, another Glance, unpacking, converting,
    the format, one store, all stores, copying) and after a quota refused the import."""
    ended = list(imports_that_end(site))
    assert [done.code for done in ended] == [7, 0, 7, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6]
    for image in site.imageport("images", "list", "--json").json:
        assert LOCK not in image["properties"]
        assert image["properties"].get("os_glance_importing_to_stores", "") == ""
    tasks = site.imageport("tasks", "list", "--json").json
    assert {task["status"] for task in tasks} == {"success", "failure"}


def test_070_progress_is_reported_in_order(site: Site) -> None:
    """An image of 12 MiB comes in slowly: 4, 8, 12 MiB are reported in this order while it is downloaded, and while it
    is copied to the store; and so is the progress of converting it. Every part is reported five times a second at
    most."""
    more = threading.Semaphore()

    def slow(reply: Reply) -> None:
        reply.head(200, {"Content-Length": f"{12 * MIB}"})
        for _ in range(3):
            more.acquire()
            reply.write(bytes(range(256)) * (4 * MIB // 256))

    url = site.server.answer("/slow", slow)
    for steps, lanes in (((), ("web-download", "s1")), ((CONVERT,), ("web-download", "image_conversion"))):
        running = site.start(url, image=site.create(), steps=steps)
        for mebibytes in (4, 8, 12):
            running.until("progress", lane="web-download", done=mebibytes * MIB)
            # Progress within 0.2 s after that is not reported.
            time.sleep(0.25)
            more.release()
        done = running.finish()
        assert done.code == 0, done.report["error"]
        for lane in lanes:
            reported = [event["done"] for event in done.events if event.get("lane") == lane]
            assert reported == sorted(reported)
            assert reported[-1] == 12 * MIB
            assert len(set(reported)) > 1
