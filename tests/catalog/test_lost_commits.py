"""A connection to PostgreSQL that dies during a commit: what is in the stores is always what the catalog has.

Each commit of a command is lost in turn, as a request that does not reach the server or as an answer that does not
reach the command. Then the server is there again, or is away until the command has ended.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.catalog.losing_proxy import Loses, LosingProxy
from tests.faults.machine import SITE, Command, Machine, machine

from imageport.catalog import Catalog, CommitUnknown, postgresql
from imageport.catalog.postgresql import PostgresqlDatabase, TransactionNumber
from imageport.errors import ImageportError
from imageport.values import ImageRecord

PIPELINE = """\
name: {name}
source: {{use: {method}}}
stores:
  - {{use: file, id: a, with: {{directory: {folder}/a}}}}
  - {{use: file, id: b, with: {{directory: {folder}/b}}}}
all_stores_must_succeed: {must}
"""
DISK = random.Random(1).randbytes(300_000) + bytes(1 << 20)


@dataclass
class Site:
    """A machine with pipelines into two stores."""

    machine: Machine

    def new(self) -> str:
        """Return the id of a new image."""
        return self.machine.new_image("raw")

    def imported(self, *stores: str) -> str:
        """Return the id of an image in these stores."""
        image = self.new()
        chosen = [word for store in stores for word in ("--store", store)]
        done = self.machine.run("run", "all.yaml", "disk.raw", "--image", image, "--quiet", *chosen)
        assert done.status == 0, done.complaints
        return image

    def assert_in_order(self, arguments: list[str], done: Command) -> None:
        """Check that the stores have what is in the catalog after ``gc``, and that a success was one."""
        assert self.machine.run("gc").status == 0
        self.machine.assert_whole(hashlib.sha256(DISK).hexdigest())
        self.machine.assert_nothing_left()
        if done.status == 0 and "run" in arguments:
            image = arguments[arguments.index("--image") + 1]
            assert self.machine.catalog.get_image(image).status == "active"


@dataclass
class LossySite(Site):
    """A site whose commands reach PostgreSQL through the proxy."""

    proxy: LosingProxy

    def lossy(self, *arguments: str) -> Command:
        """Run a command through the proxy."""
        return self.machine.run(*arguments, site="lossy.yaml")


@pytest.fixture
def site(postgresql: str, postgresql_socket: Path, tmp_path: Path) -> Iterator[LossySite]:
    _prepare(tmp_path)
    proxy = LosingProxy(postgresql_socket)
    database = postgresql.partition("@/")[2].partition("?")[0]
    through = f"postgresql+psycopg://imageport@127.0.0.1:{proxy.port}/{database}"
    (tmp_path / "lossy.yaml").write_text(SITE.format(folder=tmp_path, catalog=through))
    with machine(tmp_path, ["a", "b"], catalog_url=postgresql) as made:
        yield LossySite(made, proxy)
    proxy.close()


@pytest.fixture
def site_with_file(tmp_path: Path) -> Iterator[Site]:
    _prepare(tmp_path)
    with machine(tmp_path, ["a", "b"]) as made:
        yield Site(made)


def _prepare(folder: Path) -> None:
    (folder / "disk.raw").write_bytes(DISK)
    for name, method, must in [
        ("all", "glance-direct", "true"),
        ("any", "glance-direct", "false"),
        ("copy-any", "copy-image", "false"),
    ]:
        text = PIPELINE.format(name=name, method=method, must=must, folder=folder)
        (folder / f"{name}.yaml").write_text(text)


def _import(name: str) -> Callable[[Site], list[str]]:
    return lambda site: ["run", f"{name}.yaml", "disk.raw", "--image", site.new(), "--quiet"]


def _copy(name: str) -> Callable[[Site], list[str]]:
    copies = ["--role", "admin", "--quiet", "--image"]
    return lambda site: ["run", f"{name}.yaml", *copies, site.imported("a")]


#: What makes things ready for a command, and returns its arguments.
COMMANDS: dict[str, Callable[[Site], list[str]]] = {
    "import into all stores": _import("all"),
    "import into any store": _import("any"),
    "copy": _copy("copy-any"),
    "stage": lambda site: ["images", "stage", site.new(), "disk.raw"],
    "delete image": lambda site: ["images", "delete", site.imported("a", "b"), "--yes"],
    "delete copy": lambda site: [
        "images", "delete", site.imported("a", "b"), "--store", "b", "--yes", "--role", "admin",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("command", "loses", "goes_away"),
    [
        *((command, "answer", False) for command in COMMANDS),
        *((command, "answer", True) for command in COMMANDS if command != "import into all stores"),
        *((command, "request", False) for command in ("import into all stores", "stage")),
    ],
)
def test_no_lost_commit_parts_the_stores_from_the_catalog(
    site: LossySite, command: str, loses: Loses, goes_away: bool
) -> None:
    number = 0
    has_lost = True
    while has_lost:
        number += 1
        arguments = COMMANDS[command](site)
        site.proxy.lose(number, loses, goes_away=goes_away)
        done = site.lossy(*arguments)
        has_lost = site.proxy.has_lost
        if loses == "answer" and not goes_away:
            assert done.status == 0, f"commit {number} was made: {done.complaints}"
        site.assert_in_order(arguments, done)
    assert number > 2, "no commit was lost"


@pytest.mark.parametrize("command", COMMANDS)
def test_no_commit_that_the_disk_refuses_parts_the_stores_from_the_catalog(
    site_with_file: Site, command: str
) -> None:
    number = 0
    has_failed = True
    while has_failed:
        number += 1
        arguments = COMMANDS[command](site_with_file)
        done = site_with_file.machine.run(*arguments, failing_commit=number)
        has_failed = done.had_failing_commit
        site_with_file.assert_in_order(arguments, done)
    assert number > 2, "no commit has failed"


def _create(catalog: Catalog) -> ImageRecord:
    return catalog.create_image(ImageRecord(id="one"))


@pytest.fixture
def through(site: LossySite) -> Iterator[Catalog]:
    url = next(
        line.partition(": ")[2]
        for line in (site.machine.folder / "lossy.yaml").read_text().splitlines()
        if line.startswith("catalog: ")
    )
    opened = Catalog(url)
    yield opened
    opened.close()


def test_a_commit_whose_answer_is_lost_is_made_once(site: LossySite, through: Catalog) -> None:
    site.proxy.lose(1, "answer", goes_away=False)
    assert _create(through).id == "one"
    assert site.proxy.has_lost
    assert [image.id for image in through.list_images()] == ["one"]


def test_a_commit_that_does_not_reach_the_server_is_a_failure(site: LossySite, through: Catalog) -> None:
    site.proxy.lose(1, "request", goes_away=False)
    with pytest.raises(ImageportError, match="failed: ") as failed:
        _create(through)
    assert not isinstance(failed.value, CommitUnknown)
    assert through.list_images() == []


def test_a_commit_is_unknown_while_the_server_is_away(
    site: LossySite, through: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "PATIENCE", 0.2)
    site.proxy.lose(1, "answer", goes_away=True)
    with pytest.raises(
        CommitUnknown, match="did not confirm a change, which may have been made or not"
    ) as failed:
        _create(through)
    assert "imageport gc" in failed.value.hint
    assert site.machine.catalog.get_image("one").id == "one"


def test_a_commit_is_unknown_to_a_server_that_has_crashed_since(
    site: LossySite, through: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = PostgresqlDatabase.was_committed

    def of_another_server(database: PostgresqlDatabase, transaction: TransactionNumber) -> bool | None:
        return asked(database, replace(transaction, server=None))

    monkeypatch.setattr(PostgresqlDatabase, "was_committed", of_another_server)
    site.proxy.lose(1, "answer", goes_away=False)
    with pytest.raises(CommitUnknown):
        _create(through)
