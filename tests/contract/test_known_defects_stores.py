"""Imports with failing stores: every method, with failures allowed or not, converted or not.

In Glance the same table has records that are stuck, locks and staged data that stay, and copies that are successful
though no store took them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from tests.contract.disks import converted, raw_disk
from tests.contract.remote_glance import publish_remote
from tests.contract.site import Outcome, Site, step

DISK = raw_disk(300 * 1024)
STORES = ("s1", "s2", "s3")
#: Where each store breaks, when it does: the last one when the others have published already.
FAULTS = {"s1": "begin", "s2": "middle", "s3": "publish"}
BROKEN: tuple[tuple[str, ...], ...] = ((), ("s1",), ("s2",), ("s3",), STORES)
CASES = [(must, broken) for must in (True, False) for broken in BROKEN]
FAILING = [(must, broken) for must, broken in CASES if broken and (must or broken == STORES)]
SUCCEEDING = [case for case in CASES if case not in FAILING]

#: Changes a property of the user; a failure has to take that back.
INJECT = step("inject_image_metadata", inject={"colour": "injected"})


@dataclass(frozen=True)
class Way:
    """A *method* that brings images to a site, and the formats in the record before and after the import."""

    method: str
    converts: bool = False

    def __str__(self) -> str:
        return f"{self.method} converted" if self.converts else self.method

    @property
    def copies(self) -> bool:
        return self.method == "copy-image"

    @property
    def declared(self) -> str:
        """The disk_format before the import: to be converted, or to be replaced by that of the other Glance."""
        return "qcow2" if self.converts or self.method == "glance-download" else "raw"

    def image(self, site: Site) -> str:
        """Return an image that can be imported, or for a copy one that is in the store s0."""
        image = site.create("--property", "colour=mine", disk_format=self.declared)
        if self.copies:
            _break(site)
            assert site.run(DISK, image=image, stores=["s0"]).code == 0
        return image

    def content(self, site: Site) -> bytes:
        """Return the bytes that are to be imported."""
        return converted(site.folder, DISK, "qcow2").read_bytes() if self.converts else DISK

    def run(self, site: Site, image: str, content: bytes, *, must: bool) -> Outcome:
        """Import *image* into the three stores."""
        how: dict[str, Any] = {"image": image, "stores": STORES, "must": must}
        if self.copies:
            return site.run(None, "--role", "admin", method=self.method, **how)
        how["steps"] = ["image_conversion", INJECT] if self.converts else [INJECT]
        if self.method == "glance-download":
            return site.run(method=publish_remote(site.server, content), **how)
        if self.method == "web-download":
            return site.run(site.server.publish("/disk", content), **how)
        site.stage(image, content)
        return site.run(**how)


#: With how many stores may be written at once; 0 is all of them.
WAYS = [
    *((Way("glance-direct", converts), at_once) for converts in (False, True) for at_once in (0, 1)),
    *((Way("web-download", converts), at_once) for converts in (False, True) for at_once in (0, 1)),
    *((Way("copy-image"), at_once) for at_once in (0, 1)),
    # From here on it is a download like any other, but for the record that it describes.
    (Way("glance-download"), 0),
]


def _break(site: Site, *broken: str) -> None:
    for store in STORES:
        site.trouble(store, *([FAULTS[store]] if store in broken else []))


def _own_properties(record: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = record["properties"]
    return {name: value for name, value in found.items() if not name.startswith("os_glance")}


def _assert_failed(
    site: Site, way: Way, before: Mapping[str, Any], done: Outcome, broken: tuple[str, ...], *, must: bool
) -> None:
    failed = [store for store, outcome in done.report["stores"].items() if outcome["status"] == "failed"]
    if must and broken == STORES:  # the first failure ends it, whatever the others were doing
        assert failed
    else:
        assert failed == list(broken)
    cause = done.task["cause"]
    assert cause["code"] == done.error["code"] == "store-failed"
    assert cause["store"] in failed if must else cause["store"] is None
    for store in [cause["store"]] if must else failed:
        assert f"{store} broke: {FAULTS[store]}" in done.task["message"]
    assert done.report["rolled_back"]
    assert done.report["orphans"] == []
    if way.copies:
        changing = {"properties", "updated_at"}
        assert {**done.image, **dict.fromkeys(changing)} == {**before, **dict.fromkeys(changing)}
        assert "os_glance_import_task" not in done.image["properties"]
        assert done.lists == ("", ",".join(failed))
        assert done.task["status"] == "failure"
        assert site.stored() == {}
        assert site.staged() == []
    else:
        site.assert_rolled_back(done, failed=",".join(failed))
    for name in ("disk_format", "container_format"):
        assert done.image[name] == before[name]
    assert _own_properties(done.image) == {"colour": "mine"}


def _assert_succeeded(site: Site, way: Way, done: Outcome, broken: tuple[str, ...]) -> None:
    assert done.code == 0, done.report["error"]
    assert done.task["status"] == "success"
    image = done.image
    assert (image["status"], image["disk_format"], image["size"]) == ("active", "raw", len(DISK))
    good = [store for store in STORES if store not in broken]
    assert [copy["store"] for copy in image["locations"]] == ["s0"] * way.copies + good
    assert site.stored() == {store: {image["id"]: DISK} for store in good}
    assert site.staged() == []
    assert "os_glance_import_task" not in image["properties"]
    assert done.lists == ("", ",".join(broken))
    assert image["properties"]["colour"] == ("mine" if way.copies else "injected")


@pytest.mark.parametrize(("way", "at_once"), WAYS, ids=str)
def test_whichever_stores_fail_nothing_is_stuck_and_nothing_is_left(
    site: Site, way: Way, at_once: int
) -> None:
    """It is always the same image that fails, so each time shows that the time before left one that can be imported."""
    site.stores["s0"] = step("file", directory="s0")
    site.configure(limits={"max_parallel_stores": at_once})
    image, content = way.image(site), way.content(site)
    before = site.show(image)
    for must, broken in FAILING:
        _break(site, *broken)
        _assert_failed(site, way, before, way.run(site, image, content, must=must), broken, must=must)
    for must, broken in SUCCEEDING:
        image = image or way.image(site)
        _break(site, *broken)
        _assert_succeeded(site, way, way.run(site, image, content, must=must), broken)
        site.imageport("images", "delete", "--yes", image)
        assert site.stored() == {}
        image = ""
