from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from tests.contract.site import Outcome, Site, step

from imageport import Caller, UsageError
from imageport.importing.admission import ImportRequest
from imageport.testing.http_server import Behaviour, HttpServer, content, status

BODY = b"disk\0" * 1000
#: The record of a new image.
UNTOUCHED: dict[str, Any] = {
    "status": "queued",
    "size": None,
    "checksum": None,
    "locations": [],
    "properties": {},
}
OTHERS = ("--project", "other", "--user", "stranger")


@pytest.fixture
def url(site: Site) -> str:
    """Return where ``BODY`` can be downloaded."""
    return site.server.publish("/disk", BODY)


def pipeline(text: Any) -> bytes:
    """Return the file of a pipeline; content that is not text is written as JSON, which is YAML."""
    return text if isinstance(text, bytes) else json.dumps(text).encode()


def described(**changes: Any) -> dict[str, Any]:
    """Return a pipeline that downloads, with *changes*."""
    return {"name": "contract", "source": step("web-download"), **changes}


def assert_untouched(site: Site, image: str) -> None:
    """Nothing was done to *image*, and no import of it was begun."""
    record = site.show(image)
    assert {name: record[name] for name in UNTOUCHED} == UNTOUCHED
    assert site.tasks(image) == []
    assert site.stored() == {}


def assert_pipeline_refused(site: Site, text: Any, *words: str) -> None:
    """The pipeline *text* is refused with *words*, and the image stays as it was."""
    image = site.create()
    url = site.server.publish("/never", BODY)
    done = site.imageport("run", site.file(pipeline(text)), url, "--image", image, code=2)
    for word in words:
        assert word in done.stderr
    assert_untouched(site, image)


def conflicting(site: Site, done: Outcome, message: str) -> None:
    """The import was refused as a conflict with this *message*, which in Glance is 409."""
    assert done.error["code"] == "conflict", done.error
    assert done.code == 7
    assert message in done.error["message"]
    assert done.error["hint"]
    assert done.task == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        ({}, "source"),
        ({"name": "contract"}, "source"),
        (described(source={}), "use"),
    ],
    ids=["nothing", "empty mapping", "no source", "no method"],
)
def test_001_a_request_without_a_method_is_refused(site: Site, text: Any, message: str) -> None:
    """No pipeline, an empty one, one without a source, or a source without a method: refused (400 in Glance); the
    record is unchanged and there is no task."""
    assert_pipeline_refused(site, text, message)
    site.imageport("run", code=2)


def test_002_an_unknown_or_disabled_method_is_refused(site: Site) -> None:
    """The method is not known, or known but not enabled: refused (400), before anything is fetched."""
    assert_pipeline_refused(site, described(source=step("web-downlaod")), "web-downlaod", "web-download")
    site.configure(enabled_methods=["glance-direct"])
    assert_pipeline_refused(site, described(), "'web-download' is not enabled", "enabled_methods")
    assert site.server.requests == []


@pytest.mark.parametrize("given", ["false", "no", 0, 1, None, []], ids=repr)
def test_003_what_is_true_or_false_is_written_as_such(site: Site, given: Any) -> None:
    """all_stores_must_succeed as a text, a number, a list or nothing: refused (400 each). On the command line
    --all-stores and --allow-failure take no value; a pipeline has no key all_stores."""
    assert_pipeline_refused(site, described(all_stores_must_succeed=given), "all_stores_must_succeed")
    assert_pipeline_refused(site, described(all_stores=given), "all_stores")
    image = site.create()
    for option in ("--all-stores", "--allow-failure", "--must-succeed"):
        file = site.file(pipeline(described()))
        site.imageport("run", file, "--image", image, f"{option}={json.dumps(given)}", code=2)
    assert_untouched(site, image)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "web-download"}, ["source"]),
        ({"source": ["web-download"]}, ["source"]),
        ({"source": None}, ["source"]),
        ({"source": step("web-download") | {"uri": 5}}, ["uri"]),
        ({"source": {"use": 5}}, ["use"]),
        ({"stores": None}, ["stores"]),
        ({"stores": 7}, ["stores"]),
        ({"stores": "s1"}, ["stores"]),
        ({"stores": [7]}, ["stores"]),
    ],
    ids=json.dumps,
)
def test_004_a_value_of_another_kind_is_a_mistake_and_no_crash(
    site: Site, change: dict[str, Any], words: list[str]
) -> None:
    """The method is a text, a list or null, the uri a number, the stores null, a number or a text: refused with the
    line of the pipeline (400, never 500)."""
    assert_pipeline_refused(site, described(**change), *words)


def test_005_imports_into_images_of_others_are_refused(site: Site, url: str) -> None:
    """An image that is not there, and a private one of another project: not found (404), in the same words. One
    that can be seen but is not owned: not allowed (403)."""
    image = site.create()
    refused = site.run(url, *OTHERS, image=image)
    site.assert_refused(refused, code="usage")
    site.imageport("images", "delete", "--yes", image)
    gone = site.run(url, image=image)
    site.assert_refused(gone, code="usage")
    assert refused.error == gone.error
    public = site.create("--visibility", "community")
    refused = site.run(url, *OTHERS, image=public)
    site.assert_refused(refused, code="not-allowed")
    assert refused.code == 2
    assert_untouched(site, public)
    assert site.server.requests == []


def test_006_an_existing_image_has_to_have_both_formats(site: Site, url: str) -> None:
    """A queued image without container_format or without disk_format: a conflict (409). Given with the import they
    are there, and '--disk-format auto' takes what is found. Unlike in Glance an import can make its image itself,
    which needs no formats: they are found out."""
    for lacking in ("disk_format", "container_format"):
        formats: dict[str, str | None] = {"disk_format": "raw", "container_format": "bare", lacking: None}
        image = site.create(**formats)
        conflicting(site, site.run(url, image=image), f"has no {lacking}")
        assert_untouched(site, image)
        given = {"disk_format": "raw", "container_format": "bare"}[lacking]
        done = site.run(url, image=image, **{lacking: given})
        assert (done.image["status"], done.image[lacking]) == ("active", given)
        site.imageport("images", "delete", "--yes", image)
    image = site.create(disk_format=None)
    done = site.run(url, image=image, disk_format="auto")
    assert (done.image["status"], done.image["disk_format"]) == ("active", "raw")
    done = site.run(url)
    assert (done.image["disk_format"], done.image["container_format"]) == ("raw", "bare")


def test_007_a_method_needs_an_image_in_the_right_status(site: Site, url: str) -> None:
    """Queued and glance-direct, queued and copy-image, active and web-download, uploading and web-download: a
    conflict (409) each."""
    image = site.create()
    conflicting(site, site.run(image=image), "nothing is staged")
    conflicting(site, site.run(image=image, method="copy-image"), f"image {image} is queued")
    assert_untouched(site, image)
    site.stage(image, BODY)
    conflicting(site, site.run(url, image=image), f"image {image} is uploading")
    assert site.run(image=image).image["status"] == "active"
    conflicting(site, site.run(url, image=image), f"image {image} is active")
    assert site.server.requests == []


def test_008_stores_are_named_in_one_way(site: Site, url: str) -> None:
    """Named stores together with all stores: refused (400), also in the library. The header of Glance is --store as
    well. Without --all-stores the named ones are taken."""
    image = site.create()
    done = site.run(url, image=image, stores=["s1"], all_stores=True)
    site.assert_refused(done, code="usage")
    assert_untouched(site, image)
    with pytest.raises(UsageError, match="exclude each other"):
        ImportRequest(caller=Caller(user="tester"), stores=("s1",), all_stores=True)
    done = site.run(url, image=image, stores=["s2", "s3"])
    assert site.stored() == {"s2": {image: BODY}, "s3": {image: BODY}}


@pytest.mark.parametrize("store", ["s4", "os_glance_staging_store", "os_glance_tasks_store", "w", ""])
def test_009_only_writable_stores_of_the_site_are_targets(site: Site, url: str, store: str) -> None:
    """A store that is not configured, one of Glance's reserved names, and a store that can only be read: refused.
    Glance answers 409 to the first; here it is a wrong name like any other. A list of no stores is refused, too
    (400): leave it out for the default store."""
    image = site.create()
    done = site.run(url, image=image, stores=[store])
    site.assert_refused(done, code="usage")
    assert f"'{store}'" in done.error["message"]
    assert_untouched(site, image)
    assert_pipeline_refused(site, described(stores=[store]), "stores")
    assert_pipeline_refused(site, described(stores=[]), "stores", "default store")
    site.imageport("stores", "show", "os_glance_staging_store", code=2)
    assert site.server.requests == []


def test_010_a_store_named_twice_is_written_once(site: Site, url: str) -> None:
    """The request names s1 twice: written once, success."""
    site.trouble("s1")
    done = site.run(url, image=site.create(), stores=["s1", "s1"])
    assert done.code == 0
    assert site.stored() == {"s1": {done.image["id"]: BODY}}
    assert [location["store"] for location in done.image["locations"]] == ["s1"]
    assert site.journal() == ["begin s1", "end s1"]
    assert done.lists == ("", "")


def test_011_one_store_alone_cannot_be_let_fail(site: Site, url: str) -> None:
    """A site with one store: all_stores_must_succeed=false is refused (400), in the pipeline and on the command line.
    An unknown store is refused as everywhere, and not ignored as in Glance: the image would go to a store that was not
    requested."""
    site.stores = {"s1": site.stores["s1"]}
    site.configure()
    image = site.create()
    site.assert_refused(site.run(url, image=image, must=False), code="usage")
    site.assert_refused(site.run(url, "--allow-failure", image=image), code="usage")
    site.assert_refused(site.run(url, image=image, stores=["s2"]), code="usage")
    assert_untouched(site, image)
    assert site.run(url, image=image).image["status"] == "active"


def test_012_the_default_store_is_written_unless_another_is_named(site: Site, url: str) -> None:
    """No store is named: only s1, the default, has the image. With --store s2, as with the header of Glance: only
    s2."""
    done = site.run(url, image=site.create())
    assert site.stored() == {"s1": {done.image["id"]: BODY}}
    site.imageport("images", "delete", "--yes", done.image["id"])
    done = site.run(url, image=site.create(), stores=["s2"])
    assert site.stored() == {"s2": {done.image["id"]: BODY}}


IMAGE_ID = "71c675ab-d94f-49cd-a114-e12490b328d9"


def in_json(document: Any) -> Behaviour:
    """Answer with *document*."""
    return content(json.dumps(document).encode(), headers={"Content-Type": "application/json"})


def other_cloud(server: HttpServer) -> dict[str, Any]:
    """Have *server* speak as a Keystone that knows a Glance for every interface; return the options to reach it."""
    endpoints = [
        {"interface": name, "region": "North", "url": server.url(f"/{name}")}
        for name in ("admin", "internal", "public")
    ]
    catalog = {"catalog": [{"type": "image", "name": "glance", "endpoints": endpoints}]}
    server.answer("/identity/v3/auth/catalog", in_json(catalog))
    image = {
        "id": IMAGE_ID, "status": "active", "size": len(BODY), "disk_format": "raw", "container_format": "bare",
        "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(BODY).hexdigest(),
    }  # fmt: skip
    server.answer(f"/public/v2/images/{IMAGE_ID}", in_json(image))
    server.answer(f"/public/v2/images/{IMAGE_ID}/file", content(BODY))
    return {"auth_url": server.url("/identity"), "token": "secret", "glance_region": "North"}


def test_013_glance_download_names_the_image_and_its_region(site: Site) -> None:
    """glance-download without region, without id, or with an invalid id: refused (400), and no request is sent.
    Without an interface the public one is used."""
    options = other_cloud(site.server)
    image = site.create()
    nowhere = {name: value for name, value in options.items() if name != "glance_region"}
    for source, given in ((IMAGE_ID, nowhere), (None, options), ("71c675ab", options), ("../x", options)):
        done = site.run(
            None, *([source] if source else []), image=image, method=step("glance-download", **given)
        )
        assert done.code == 2, done.error
        assert done.error["code"] in {"usage", "pipeline-invalid"}
        assert_untouched(site, image)
    assert site.server.requests == []
    done = site.run(None, IMAGE_ID, image=image, method=step("glance-download", **options))
    assert done.code == 0, done.error
    assert [path for path in site.server.paths() if "/v2/" in path] == [
        f"/public/v2/images/{IMAGE_ID}", f"/public/v2/images/{IMAGE_ID}/file",
    ]  # fmt: skip


def test_014_methods_and_stores_are_listed(site: Site) -> None:
    """'plugins list' and 'stores list' print the facts that Glance sends in headers when an image is created: the
    enabled methods, the default store, which ones can be written; no reserved ones, which cannot be configured either.
    With no method enabled none is listed as such."""
    listed = site.imageport("stores", "list", "--json").json
    assert [(store["id"], store["default"], store["read_only"]) for store in listed] == [
        ("s1", True, False), ("s2", False, False), ("s3", False, False), ("w", False, True),
    ]  # fmt: skip

    def methods() -> set[str]:
        plugins = site.imageport("plugins", "list", "--json").json
        return {
            plugin["name"] for plugin in plugins if "stage" in plugin["hooks"] and plugin["status"] == "ok"
        }

    assert methods() == {"glance-direct", "web-download", "copy-image", "glance-download"}
    site.configure(enabled_methods=["web-download"])
    assert methods() == {"web-download"}
    site.configure(enabled_methods=[])
    assert methods() == set()
    site.configure(enabled_methods=None)
    site.stores["os_glance_staging_store"] = step("file", directory="reserved")
    site.configure()
    assert "os_glance" in site.imageport("stores", "list", code=2).stderr


def test_015_the_task_of_an_import_is_named(site: Site, url: str) -> None:
    """Every accepted import: the report has the id of its task, the first event and, while it runs, the record have
    it as well, and the list of tasks shows it."""
    site.trouble("s1", waits=True)
    image = site.create()
    running = site.start(url, image=image)
    task = running.until("task.processing")["task_id"]
    assert site.show(image)["properties"]["os_glance_import_task"] == task
    assert [(found["id"], found["status"]) for found in site.tasks(image)] == [(task, "processing")]
    site.let_go("s1")
    done = running.finish()
    assert done.report["task_id"] == task
    assert done.task["result"]["image_id"] == image
    failed = site.run(site.server.answer("/gone", status(404)), image=site.create())
    assert failed.task["id"] == failed.report["task_id"]
    assert failed.task["status"] == "failure"
