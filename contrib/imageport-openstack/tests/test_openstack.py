"""Images in a real Glance, as users of the cloud see them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import DISK, FORMATS, Site
from imageport.testing import RunImageport, Stream, bench
from imageport.testing.http_server import HttpServer
from tests.markdown import blocks_of
from tests.servers.openstack import OpenStack

from imageport_openstack.glance import Glance
from imageport_openstack.remedies import ERRORS

SHA512 = hashlib.sha512(DISK).hexdigest()


def only(glance: Glance) -> dict[str, Any]:
    (found,) = glance.images()
    return dict(found)


def test_the_image_has_the_fields_and_properties_of_the_import(site: Site, glance: Glance) -> None:
    site.run()
    glance.delete(only(glance)["id"])
    arguments = ["--name", "Debian 12", "--min-disk", "3", "--min-ram", "512", "--tag", "golden", *FORMATS]
    created = site.imageport.inside(
        "images", "create", *arguments, "--property", "os_distro=debian", "--json"
    )
    done = site.run("--image", created.json["id"], formats=False, properties={"hw_disk_bus": "scsi"})
    assert done.exit_code == 0, done.stderr
    found = only(glance)
    expected = {
        "name": "Debian 12", "status": "active", "visibility": "shared", "os_hidden": False, "min_disk": 3,
        "min_ram": 512, "tags": ["golden"], "disk_format": "raw", "container_format": "bare", "size": len(DISK),
        "os_distro": "debian", "hw_disk_bus": "scsi", "os_hash_value": SHA512,
        "imageport_image": done.report["image"]["id"],
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert done.report["stores"]["cloud"]["location"].endswith(f"/North/{found['id']}")
    assert b"".join(glance.download(found["id"])) == DISK


def test_an_image_that_is_not_published_has_no_name_and_is_in_no_list(
    options: dict[str, Any], glance: Glance, tmp_path: Path
) -> None:
    with bench("openstack", {**options, "visibility": "community"}, tmp_path, is_store=True) as store:
        copy = store.write(Stream(DISK).data())
        found = only(glance)
        shown = (found["name"], found["visibility"], found["os_hidden"], found["status"])
        assert shown == (None, "private", True, "active")
        assert list(glance.images(False)) == []
        copy.publish()
    found = only(glance)
    assert (found["name"], found["visibility"], found["os_hidden"]) == ("disk.raw", "community", False)


def test_the_image_is_in_each_store_that_is_named(site: Site, glance: Glance, cloud: OpenStack) -> None:
    for stores in ["s2"], ["s1", "s3"]:
        expected = set(stores)
        done = site.run(stores=stores)
        assert done.exit_code == 0, done.stderr
        found = only(glance)
        assert set(found["stores"].split(",")) == expected
        assert {path.parent.name for path in cloud.glance.folder.glob(f"s?/{found['id']}")} == expected
        glance.delete(found["id"])


def test_glance_fetches_the_image_itself_and_what_it_got_is_compared(
    site: Site, glance: Glance, http_server: HttpServer
) -> None:
    url = http_server.publish("/disk.raw", DISK)
    done = site.run(url, source="web-download", method="web-download", all_stores=True)
    assert done.exit_code == 0, done.stderr
    found = only(glance)
    assert (found["os_hash_value"], found["stores"]) == (SHA512, "s1,s2,s3")
    assert found["name"] == "disk.raw"


def test_glance_fetches_nothing_that_it_cannot_reach(site: Site, glance: Glance) -> None:
    done = site.run(method="web-download")
    assert done.exit_code == 6
    assert done.report["error"]["message"].startswith("Glance can fetch images only from the web")
    assert list(glance.images()) == []


def test_a_lack_of_rights_shows_before_any_byte_is_sent(site: Site, glance: Glance) -> None:
    done = site.run(visibility="public")
    assert done.exit_code == 6
    assert "Glance answered 403" in done.report["error"]["message"]
    assert "another visibility" in done.report["error"]["hint"]
    assert list(glance.images()) == []


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"password": "not the secret"}, "does not accept these credentials", "check the user"),
        ({"region_name": "West"}, "no image service where the options look", "region_name"),
        ({"auth_url": "http://127.0.0.1:9/v3"}, "the cloud does not answer", "answers at that address"),
        ({"stores": ["s9"]}, "has no store s9", "it has: s1, s2, s3"),
    ],
    ids=["password", "region", "address", "store"],
)
def test_a_mistake_in_the_options_is_explained_and_nothing_is_read(
    site: Site, wrong: dict[str, Any], message: str, hint: str
) -> None:
    done = site.run(**wrong)
    assert done.exit_code == 6
    assert message in done.report["error"]["message"]
    assert hint in done.report["error"]["hint"]
    assert "not the secret" not in done.stdout + done.stderr


def test_credentials_may_be_in_clouds_yaml(site: Site, glance: Glance, options: dict[str, Any]) -> None:
    auth = {name: options[name] for name in ("auth_url", "username", "password", "project_name")}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    cloud = {"auth": {**auth, **domains}, "region_name": "North"}
    (site.folder / "clouds.yaml").write_text(json.dumps({"clouds": {"mine": cloud}}))
    site.options = {"cloud": "mine", "clouds_file": "clouds.yaml"}
    done = site.run()
    assert done.exit_code == 0, done.stderr
    assert only(glance)["status"] == "active"


def test_a_deleted_image_is_deleted_in_glance_and_another_one_is_not(site: Site, glance: Glance) -> None:
    first = site.run().report["image"]["id"]
    glance.change(only(glance)["id"], imageport_token="1")
    deleted = site.imageport.inside("images", "delete", first, "--yes")
    assert deleted.exit_code == 0, deleted.stderr
    assert only(glance)["status"] == "active"
    second = site.run().report["image"]["id"]
    assert site.imageport.inside("images", "delete", second, "--yes").exit_code == 0
    assert only(glance)["imageport_image"] == first


PAGE = Path(__file__).parents[3] / "docs/how-to/store-in-openstack.md"


def test_the_files_of_the_page_are_valid(site: Site) -> None:
    blocks = [block for block in blocks_of(PAGE) if block.language == "yaml"]
    auth = {"auth_url": "https://keystone.example.org:5000/v3", "username": "u", "password": "p"}
    clouds = {"clouds": {"production": {"auth": {**auth, "project_name": "images"}}}}
    (site.folder / "clouds.yaml").write_text(json.dumps(clouds))
    for block in blocks:
        (site.folder / (block.file_name or "")).write_text(block.text)
    names = [block.file_name for block in blocks if block.file_name != "imageport.yaml"]
    assert names == ["golden.yaml", "fetched.yaml"]
    secret = {"OS_APPLICATION_CREDENTIAL_SECRET": "secret"}
    site.imageport = RunImageport(site.folder, {**site.imageport.environment, **secret})
    for name in names:
        validated = site.imageport.inside("validate", str(name))
        assert validated.exit_code == 0, validated.stderr


@pytest.mark.parametrize("name", [name for name in ERRORS if isinstance(name, str)])
def test_errors_are_named_as_their_libraries_name_them(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(__import__(module, fromlist=[kind]), kind)
    assert f"{found.__module__}.{found.__qualname__}" == name
