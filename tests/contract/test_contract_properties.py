from __future__ import annotations

import socket

import pytest
from tests.contract.site import Site

from imageport import Caller
from imageport.access.permissions import Access
from imageport.app.records import change_record
from imageport.catalog import Catalog
from imageport.configuration.site import Site as Settings
from imageport.errors import NotAllowed

BODY = b"disk\0" * 1000
STAGE_HOST = "os_glance_stage_host"


@pytest.mark.parametrize(
    "name",
    ["os_glance", "os_glancefoo", "os_glance_import_task", "os_glance_failed_import", "os_glance_stage_host"],
)
def test_071_reserved_properties_cannot_be_set(site: Site, name: str) -> None:
    """A property whose name begins with os_glance is added, replaced or removed, when the image is made, later, or
    with an import: not allowed (403). Reading those that are there is."""
    assert "is reserved" in site.imageport("images", "create", "--property", f"{name}=x", code=2).stderr
    image = site.run(BODY).image["id"]
    before = site.show(image)
    assert before["properties"]["os_glance_failed_import"] == ""
    for change in (("--property", f"{name}=x"), ("--remove-property", name)):
        assert "is reserved" in site.imageport("images", "set", image, *change, code=2).stderr
    assert site.show(image) == before
    done = site.run(BODY, "--property", f"{name}=x", image=site.create())
    assert (done.code, done.error["code"]) == (2, "not-allowed")
    assert done.task == {}


def test_072_the_place_of_staged_data_is_not_shown(site: Site) -> None:
    """os_glance_stage_host, which a staged image has, is in no answer, and gone from the catalog once the image is
    imported. Setting size, checksum or os_hash_value: not allowed (403), as a property and as a field."""
    image = site.create()
    site.stage(image, BODY)
    catalog = Catalog(f"sqlite:///{site.folder}/catalog.db")
    try:
        assert catalog.get_image(image).properties[STAGE_HOST] == socket.gethostname()
        answers = [
            site.show(image),
            site.imageport("images", "list", "--json").json,
            site.imageport("images", "set", image, "--name", "x", "--json").json,
        ]
        done = site.run(image=image)
        assert STAGE_HOST not in str([*answers, *done.events, done.report, done.image])
        assert STAGE_HOST not in catalog.get_image(image).properties
        access = Access(Settings(), catalog, Caller(user="tester", roles=frozenset({"admin"})))
        for name in ("size", "checksum", "os_hash_value"):
            assert (
                "read-only"
                in site.imageport("images", "set", image, "--property", f"{name}=5", code=2).stderr
            )
            site.imageport("images", "set", image, f"--{name}", "5", code=2)
            with pytest.raises(NotAllowed):
                change_record(access, catalog.get_image(image), properties={}, **{name: "5"})
    finally:
        catalog.close()
    assert site.show(image)["size"] == len(BODY)


def test_073_what_a_user_changes_during_an_import_is_kept(site: Site) -> None:
    """The name and a property are changed, and another property removed, while the image is imported: it is so when
    the import is over, whether that succeeds or fails."""
    for faults in ((), ("end",)):
        site.trouble("s1", *faults, waits=True)
        (site.folder / "s1.go").unlink(missing_ok=True)
        image = site.create("--name", "before", "--property", "p=1", "--property", "q=1")
        running = site.start(BODY, image=image)
        running.until("task.processing")
        change = ("--name", "after", "--property", "p=2", "--remove-property", "q")
        site.imageport("images", "set", image, *change)
        site.let_go("s1")
        done = running.finish()
        assert done.task["status"] == ("failure" if faults else "success")
        own = {name: value for name, value in done.image["properties"].items() if "os_glance" not in name}
        assert (done.image["name"], own) == ("after", {"p": "2"})
