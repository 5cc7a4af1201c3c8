"""``gc`` compares the catalog with the stores, both ways."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.plugin_folder import PluginFolder

from imageport import ImageRecord, Location
from imageport.app import Imageport
from imageport.catalog import Catalog
from imageport.testing.command import RunImageport, clean_environment

PLUGINS = """
    import json
    import threading
    from pathlib import Path
    from typing import ClassVar

    from imageport import ImageData, Location, Plugin, PluginConfig, StoreFailed, hookimpl
    from imageport.values import StagedCopy, StoredCopy


    class Config(PluginConfig):
        directory: Path


    class Shelf(Plugin[Config]):
        '''Keep each image as a file whose name ends with .copy.'''

        #: What is called, in this process.
        calls: ClassVar[list[str]] = []
        #: Called before the second list.
        before_second_list: ClassVar[list] = []

        def path(self, location):
            return self.config.directory / location.url.removeprefix("shelf:")

        @hookimpl
        def store_write(self, image, ctx):
            location = Location(url=f"shelf:{image.record.id}.copy", metadata={"mark": ctx.copy_token})
            ctx.announce(location)
            content = b"".join(bytes(piece) for piece in image.data.chunks())
            self.config.directory.mkdir(exist_ok=True)
            publish = lambda: self.path(location).write_bytes(content)
            return StagedCopy(location, len(content), publish, lambda: None)

        @hookimpl
        def store_delete(self, location):
            self.path(location).unlink(missing_ok=True)

        @hookimpl
        def store_stat(self, location):
            self.calls.append("stat")
            assert "definition" not in location.metadata
            path = self.path(location)
            return StoredCopy(location=location, size=path.stat().st_size) if path.exists() else None

        @hookimpl
        def store_list(self):
            self.calls.append("list")
            if self.calls.count("list") == 2:
                for action in self.before_second_list:
                    action()
            for path in sorted(self.config.directory.glob("*.copy")):
                yield StoredCopy(location=Location(url=f"shelf:{path.name}"), size=path.stat().st_size)


    class StatOnly(Shelf):
        store_list = None


    class ListOnly(Shelf):
        store_stat = None


    class Frozen(Shelf):
        @hookimpl
        def store_list(self):
            threading.Event().wait()


    class Refusing(Shelf):
        @hookimpl
        def store_list(self):
            raise StoreFailed("the key is not valid")


    class Mute(StatOnly):
        @hookimpl
        def store_stat(self, location):
            self.calls.append("stat")
            raise TimeoutError("no answer")
"""
NAMES = ("Shelf", "StatOnly", "ListOnly", "Frozen", "Refusing", "Mute")


class Yard:
    """A site with shelves, used in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.limits: dict[str, float] = {}
        (folder / "disk.raw").write_bytes(b"disk".ljust(1 << 20, b"\0"))
        self.site()

    def site(self, *stores: str, plugin: str = "shelf") -> None:
        """Write the site file with *stores*, each in a folder of its name."""
        site = {
            "catalog": f"sqlite:///{self.folder}/catalog.db",
            "staging": {"directory": str(self.folder / "staging")},
            "limits": self.limits,
            "stores": [self.entry(store, plugin) for store in stores],
        }
        (self.folder / "imageport.yaml").write_text(json.dumps(site))

    def entry(self, store: str, plugin: str = "shelf") -> dict[str, Any]:
        return {"use": plugin, "id": store, "with": {"directory": str(self.folder / store)}}

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        environment = clean_environment(self.folder)
        command = ("--config", self.folder / "imageport.yaml", *arguments)
        done = RunImageport(self.folder, environment).inside(*command)
        assert done.exit_code == code, done.stdout + done.stderr
        return done.stdout

    def imported(self, *stores: str, plugin: str = "shelf") -> str:
        """Import the disk into *stores*, which are in the pipeline, and return the id of the image."""
        entries = [self.entry(store, plugin) for store in stores]
        pipeline = {"name": "p", "source": {"use": "glance-direct"}, "stores": entries}
        (self.folder / "p.yaml").write_text(json.dumps(pipeline))
        report = json.loads(self.run("run", "p.yaml", "disk.raw", "--json").splitlines()[-1])
        return str(report["image"]["id"])

    def copy(self, store: str, image_id: str) -> Path:
        return self.folder / store / f"{image_id}.copy"

    def compared(self, code: int = 0, *options: str) -> list[tuple[str, str]]:
        """Return kind and name of each difference."""
        found = json.loads(self.run("gc", "--json", *options, code=code))["findings"]
        return [(item["kind"], item["name"]) for item in found]


@pytest.fixture
def yard(tmp_path: Path, plugin_folder: PluginFolder) -> Yard:
    plugins = {name.lower(): f"acme_shelves:{name}" for name in NAMES}
    plugin_folder.install("acme", plugins, {"acme_shelves": PLUGINS})
    return Yard(tmp_path)


def shelf() -> Any:
    import acme_shelves  # type: ignore[import-not-found]

    return acme_shelves.Shelf


@pytest.mark.parametrize("in_site", [True, False])
def test_where_both_agree_there_is_nothing_to_report(yard: Yard, *, in_site: bool) -> None:
    if in_site:
        yard.site("one", "two")
    yard.imported("one", "two")
    shelf().calls.clear()
    assert yard.compared() == []
    # Each store is listed once, and no copy is looked at by itself.
    assert shelf().calls == ["list", "list"]
    assert "nothing to clean up" in yard.run("gc")


@pytest.mark.parametrize("plugin", ["shelf", "statonly"])
def test_a_copy_that_is_gone_is_reported_with_the_way_to_repair_it(yard: Yard, plugin: str) -> None:
    image, other = yard.imported("one", "two", plugin=plugin), yard.imported("one", plugin=plugin)
    yard.copy("one", image).unlink()
    assert yard.compared(6) == [("missing", f"shelf:{image}.copy")]
    shown = yard.run("gc", code=6)
    assert f"missing: shelf:{image}.copy: the copy of image {image} in store 'one' is missing" in shown
    assert f"imageport images delete {image} --store one" in shown
    assert yard.copy("one", other).exists()
    # As it is advised:
    yard.run(
        "--config",
        yard.folder / "imageport.yaml",
        "images",
        "delete",
        image,
        "--store",
        "one",
        "--yes",
        "--role",
        "admin",
    )
    assert yard.compared() == []


def test_a_copy_without_a_row_is_reported_and_stays(yard: Yard) -> None:
    yard.site("one")
    known, stranger = yard.imported("one"), str(uuid.uuid4())
    yard.copy("one", stranger).write_bytes(b"of another catalog")
    for options in ([], ["--dry-run"]):
        assert yard.compared(0, *options) == [("unknown", f"shelf:{stranger}.copy")]
    expected = f"store one has a copy that this catalog does not know: shelf:{stranger}.copy (18 B)"
    assert expected in yard.run("gc")
    assert yard.copy("one", stranger).exists()
    assert yard.copy("one", known).exists()


def test_many_unknown_copies_are_counted_and_listed_on_demand(yard: Yard) -> None:
    yard.site("one")
    (yard.folder / "one").mkdir()
    for number in range(25):
        (yard.folder / "one" / f"{number:03}.copy").touch()
    shown = yard.run("gc")
    assert shown.count("does not know") == 10
    assert "store one has 25 unknown copies in all" in shown
    assert yard.run("gc", "--dry-run").count("does not know") == 25


def test_a_store_without_a_list_has_no_unknown_copies_and_one_without_stat_no_missing_ones(
    yard: Yard,
) -> None:
    yard.site("one", plugin="statonly")
    yard.copy("one", yard.imported("one", plugin="statonly")).with_name("x.copy").touch()
    yard.site("two", plugin="listonly")
    yard.copy("two", yard.imported("two", plugin="listonly")).unlink()
    assert yard.compared() == []


def test_a_copy_is_known_by_its_address_whatever_the_store_is_called(yard: Yard) -> None:
    yard.site("one")
    entry = yard.entry("one") | {"id": "another-name"}
    pipeline = {"name": "p", "source": {"use": "glance-direct"}, "stores": [entry]}
    (yard.folder / "q.yaml").write_text(json.dumps(pipeline))
    yard.run("run", "q.yaml", "disk.raw", "--quiet")
    shelf().calls.clear()
    assert yard.compared() == []
    # One folder is one store.
    assert shelf().calls == ["list"]


def test_what_changes_meanwhile_is_not_reported(yard: Yard) -> None:
    yard.site("one")
    yard.imported("one")
    yard.copy("one", "fleeting").touch()
    shelf().before_second_list.append(lambda: yard.copy("one", "fleeting").unlink())
    shelf().calls.clear()
    assert yard.compared() == []
    assert shelf().calls == ["list", "list"]


def test_a_copy_that_is_published_after_the_list_is_not_missing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.site("one")
    yard.imported("one")
    real = shelf().store_list

    def empty(self: Any) -> Any:
        shelf().calls.append("list")
        return iter(())

    assert real is not None
    monkeypatch.setattr(shelf(), "store_list", yard_hook(empty))
    shelf().calls.clear()
    assert yard.compared() == []
    assert shelf().calls == ["list", "stat"]


def yard_hook(function: Any) -> Any:
    from imageport import hookimpl

    function.__name__ = "store_list"
    return hookimpl(function)


def test_stores_that_fail_are_named_and_the_others_are_compared(yard: Yard) -> None:
    yard.limits = {"store_patience": 0.5}
    yard.site("one")
    stranger = yard.folder / "one" / "x.copy"
    yard.imported("one")
    stranger.touch()
    yard.imported("two", plugin="frozen")
    yard.imported("three", plugin="refusing")
    found = yard.compared(6)
    assert sorted(found) == [("store", "three"), ("store", "two"), ("unknown", "shelf:x.copy")]
    shown = yard.run("gc", code=6)
    assert "store two was not examined: " in shown
    assert "store three was not examined: the key is not valid" in shown


def test_nothing_more_is_asked_of_a_store_that_has_failed(yard: Yard) -> None:
    for _ in range(3):
        yard.imported("one", plugin="mute")
    shelf().calls.clear()
    assert yard.compared(6) == [("store", "one")]
    assert shelf().calls == ["stat"]


def test_a_store_that_cannot_be_reached_is_named_once(yard: Yard) -> None:
    catalog = Catalog(f"sqlite:///{yard.folder}/catalog.db")
    for number in range(3):
        location = Location(url=f"shelf:{number}.copy", store="gone")
        record = ImageRecord(id=str(uuid.uuid4()), status="active", locations=(location,))
        catalog.create_image(record)
    catalog.close()
    assert yard.compared(6) == [("store", "gone")]


def test_the_comparison_can_be_left_out(yard: Yard) -> None:
    yard.site("one")
    (yard.folder / "one").mkdir()
    (yard.folder / "one" / "x.copy").touch()
    assert yard.compared(0, "--no-compare") == []
    with Imageport(yard.folder / "imageport.yaml") as opened:
        assert list(opened.clean_up(compare=False)) == []
        assert [found.kind for found in opened.clean_up()] == ["unknown"]
