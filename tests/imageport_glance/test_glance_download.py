"""Scenarios 13, 40 and 106 to 108, against a server that speaks as Keystone and Glance do, or fails on request."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imageport import (
    Context,
    Image,
    ImageData,
    ImageRecord,
    LimitExceeded,
    Source,
    SourceRejected,
    SourceUnavailable,
    UsageError,
    VerificationFailed,
)
from imageport.limits import Limits
from imageport.testing.command import RunImageport
from imageport.testing.contexts import make_context, make_transport
from imageport.testing.http_server import Behaviour, HttpServer, content, redirect, status
from imageport_glance.glance_download import GlanceDownload, GlanceDownloadConfig

ID = "71c675ab-d94f-49cd-a114-e12490b328d9"
IMAGE = f"/v2/images/{ID}"
BODY = bytes(range(256)) * 8
SIGNED_IN = "/identity/v3/auth/tokens"
CATALOG = "/identity/v3/auth/catalog"
SECRET = "gAAAAABsecret"
USER = {"username": "demo", "password": "demo-password", "project_name": "demo"}


def described(**changes: Any) -> dict[str, Any]:
    """Return the record that Glance sends of an image whose bytes are ``BODY``."""
    return {
        "id": ID,
        "name": "remote name",
        "status": "active",
        "visibility": "public",
        "disk_format": "raw",
        "container_format": "bare",
        "size": len(BODY),
        "virtual_size": len(BODY),
        "checksum": hashlib.md5(BODY).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(BODY).hexdigest(),
        "min_disk": 5,
        "tags": ["remote"],
        "self": IMAGE,
        "hw_disk_bus": "virtio",
        "trait:HW_CPU_X86_VMX": "required",
        "os_distro": "debian",
        "os_version": "12",
        "os_glance_failed_import": "",
        **changes,
    }


def answer(document: Any, *, code: int = 200, **headers: str) -> Behaviour:
    """Answer with *document* as JSON."""
    body = json.dumps(document).encode()

    def behave(reply: Any) -> None:
        reply.head(code, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers})
        reply.write(body)

    return behave


def serve(glance: HttpServer, body: bytes = BODY, **changes: Any) -> None:
    """Have *glance* describe the image, with *changes*, and deliver *body*."""
    glance.answer(IMAGE, answer(described(**changes)))
    glance.answer(f"{IMAGE}/file", content(body))


def services(url: str) -> list[dict[str, Any]]:
    """Return a catalog whose image service in region North is at *url*."""
    regions = (("North", "public", url), ("North", "internal", f"{url}/internal"), ("South", "public", url))
    endpoints = [{"id": "e", "interface": kind, "region": name, "url": to} for name, kind, to in regions]
    return [
        {"type": "identity", "endpoints": []},
        {"type": "image", "name": "glance", "endpoints": endpoints},
    ]


def signed_in(catalog: list[dict[str, Any]]) -> Behaviour:
    """Answer as Keystone does to those who sign in."""
    token = {"methods": ["password"], "catalog": catalog}
    return answer({"token": token}, code=201, **{"X-Subject-Token": SECRET})


@pytest.fixture
def glance(http_server: HttpServer) -> HttpServer:
    """Return a server with the image, and a Keystone whose catalog names it."""
    serve(http_server)
    catalog = services(http_server.url("/v2/"))
    http_server.answer(SIGNED_IN, signed_in(catalog))
    http_server.answer(CATALOG, answer({"links": {}, "catalog": catalog}))
    return http_server


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def ctx(tmp_path: Path, events: list[Any]) -> Iterator[Context]:
    transport = make_transport()
    yield make_context(tmp_path, http=transport, emit=events.append)
    transport.close()


def plugin(server: HttpServer, *, auth: str = "/identity", **options: Any) -> GlanceDownload:
    """Return the plugin that asks *server*, as user demo in region North unless *options* change that."""
    if not {"endpoint", "glance_region"} & options.keys():
        options["glance_region"] = "North"
    if "endpoint" not in options:
        options = {"auth_url": server.url(auth), **options}
        if not {"token", "application_credential_id"} & options.keys():
            options = USER | options
    return GlanceDownload(GlanceDownloadConfig(**options))


def stage(method: GlanceDownload, ctx: Context, image_id: str | None = ID) -> ImageData:
    return method.stage(source=Source(method="glance-download", uri=image_id), ctx=ctx)


def read(data: ImageData) -> bytes:
    return b"".join(data.chunks())


def tokens_shown(server: HttpServer) -> dict[str, str | None]:
    return {request.path: request.headers["X-Auth-Token"] for request in server.requests}


# ---------------------------------------------------------------------------------------------- finding the image


def test_a_user_signs_in_and_the_region_is_found_without_regard_to_case(
    glance: HttpServer, ctx: Context
) -> None:
    """Scenario 106."""
    data = stage(plugin(glance, glance_region="nORTH"), ctx)
    assert data.size == len(BODY)
    assert read(data) == BODY
    assert json.loads(glance.requests[0].body)["auth"] == {
        "identity": {
            "methods": ["password"],
            "password": {
                "user": {"name": "demo", "domain": {"name": "Default"}, "password": "demo-password"}
            },
        },
        "scope": {"project": {"name": "demo", "domain": {"name": "Default"}}},
    }
    assert tokens_shown(glance) == {SIGNED_IN: None, IMAGE: SECRET, f"{IMAGE}/file": SECRET}


def test_an_application_credential_signs_in(glance: HttpServer, ctx: Context) -> None:
    credential = {"application_credential_id": "a1", "application_credential_secret": "hidden"}
    assert read(stage(plugin(glance, auth="/identity/v3/", **credential), ctx)) == BODY
    assert json.loads(glance.requests[0].body)["auth"]["identity"] == {
        "methods": ["application_credential"],
        "application_credential": {"id": "a1", "secret": "hidden"},
    }


def test_a_token_from_elsewhere_is_enough_for_the_catalog(glance: HttpServer, ctx: Context) -> None:
    assert read(stage(plugin(glance, token="mine"), ctx)) == BODY
    assert tokens_shown(glance) == {CATALOG: "mine", IMAGE: "mine", f"{IMAGE}/file": "mine"}


def test_an_endpoint_needs_no_keystone(glance: HttpServer, ctx: Context) -> None:
    method = plugin(glance, endpoint=glance.url("/v2/"), glance_image_id=ID.replace("-", "").upper())
    assert read(stage(method, ctx, None)) == BODY
    assert tokens_shown(glance) == {IMAGE: None, f"{IMAGE}/file": None}


def test_the_interface_that_was_asked_for_is_used(glance: HttpServer, ctx: Context) -> None:
    """Scenario 13: public unless it is named."""
    with pytest.raises(SourceUnavailable, match=r"/internal/v2/images/.* answered 404"):
        stage(plugin(glance, glance_service_interface="internal"), ctx)
    with pytest.raises(SourceUnavailable, match="no admin image service in region 'North'"):
        stage(plugin(glance, glance_service_interface="admin"), ctx)


@pytest.mark.parametrize(
    ("given", "message"), [(None, "no remote image"), ("ubuntu", "'ubuntu' is not the id")]
)
def test_an_id_that_is_missing_or_is_none_is_refused_before_anything_is_asked(
    glance: HttpServer, given: str | None, message: str
) -> None:
    """Scenario 13."""
    with pytest.raises(UsageError, match=message):
        plugin(glance).validate_source(source=Source(method="glance-download", uri=given))
    assert glance.requests == []


def test_sources_of_other_methods_are_left_alone(glance: HttpServer) -> None:
    plugin(glance).validate_source(source=Source(method="web-download", uri="https://example.org/disk"))


# -------------------------------------------------------------------------------------------- what it reports


def transformed(method: GlanceDownload, local: ImageRecord) -> ImageRecord:
    changed = method.transform(image=Image(local, ImageData.from_chunks(lambda: iter([]))))
    assert changed is not None
    return changed.record


def test_formats_and_the_properties_with_the_prefixes_are_copied_and_nothing_else(
    glance: HttpServer, ctx: Context
) -> None:
    """Scenario 106."""
    serve(glance, disk_format="qcow2", os_distro_count=7, os_type="linux")
    local = ImageRecord(
        id="local", name="mine", disk_format="raw", container_format="ova",
        properties={"os_type": "windows", "own": "kept"},
    )  # fmt: skip
    method = plugin(glance)
    assert stage(method, ctx).size == len(BODY)
    assert transformed(method, local) == local.evolve(
        disk_format="qcow2",
        container_format="bare",
        properties={
            "own": "kept",
            "hw_disk_bus": "virtio",
            "trait:HW_CPU_X86_VMX": "required",
            "os_distro": "debian",
            "os_type": "linux",
        },
    )


def test_other_prefixes_never_reach_fields_of_the_image(glance: HttpServer, ctx: Context) -> None:
    method = plugin(glance, extra_properties=["os_", "s", "h", "n"])
    properties: dict[str, Any] = {"hidden": "a\0b", f"h{'x' * 255}": "long", "nice": "yes"}
    serve(glance, **properties)
    stage(method, ctx)
    copied = transformed(method, ImageRecord(id="local")).properties
    assert dict(copied) == {"hw_disk_bus": "virtio", "os_distro": "debian", "os_version": "12", "nice": "yes"}


def test_formats_that_the_other_glance_does_not_report_stay(glance: HttpServer, ctx: Context) -> None:
    serve(glance, disk_format=None, container_format=None)
    method = plugin(glance)
    stage(method, ctx)
    local = ImageRecord(id="local", disk_format="iso", container_format="bare")
    assert transformed(method, local).disk_format == "iso"


# ------------------------------------------------------------------------------------------------ what goes wrong


def test_a_region_that_the_catalog_lacks_is_reported_with_those_that_it_has(
    glance: HttpServer, ctx: Context
) -> None:
    """Scenario 107."""
    with pytest.raises(SourceUnavailable, match="no public image service in region 'West'") as caught:
        stage(plugin(glance, glance_region="West"), ctx)
    assert caught.value.hint == "it has: North (internal), North (public), South (public)"


@pytest.mark.parametrize("state", ["queued", "deactivated", "im\nporting"])
def test_an_image_that_is_not_active_is_refused(glance: HttpServer, ctx: Context, state: str) -> None:
    """Scenario 107."""
    serve(glance, status=state, size=None)
    with pytest.raises(SourceUnavailable, match=r"is .*, not active") as caught:
        stage(plugin(glance), ctx)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("option", ["endpoint", "auth_url"])
def test_a_service_that_cannot_be_reached_is_named(ctx: Context, option: str) -> None:
    """Scenario 107."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        where = (
            {"endpoint": url} if option == "endpoint" else {"auth_url": url, "glance_region": "North", **USER}
        )
        with pytest.raises(SourceUnavailable, match=f"{url}/v.* could not be reached"):
            stage(GlanceDownload(GlanceDownloadConfig.model_validate(where)), ctx)


@pytest.mark.parametrize(
    ("path", "code", "message", "hint"),
    [
        (SIGNED_IN, 401, "does not accept these credentials", "check the user, the password"),
        (SIGNED_IN, 404, "answered 404", "check the url"),
        (IMAGE, 401, "answered 401", "the token is missing, expired"),
        (IMAGE, 404, "answered 404", "check the id and the region"),
        (f"{IMAGE}/file", 403, "answered 403", "takes the role member"),
        (f"{IMAGE}/file", 204, "answered 204", "the server has no file at this url"),
    ],
)
def test_each_refusal_of_the_servers_has_its_own_advice(
    glance: HttpServer, ctx: Context, path: str, code: int, message: str, hint: str
) -> None:
    glance.answer(path, status(code))
    with pytest.raises(SourceUnavailable, match=message) as caught:
        stage(plugin(glance), ctx)
    assert hint in caught.value.hint


def test_a_token_that_keystone_does_not_accept_is_reported(glance: HttpServer, ctx: Context) -> None:
    glance.answer(CATALOG, status(401))
    with pytest.raises(SourceUnavailable, match="does not accept the token"):
        stage(plugin(glance, token="old"), ctx)


@pytest.mark.parametrize("path", [SIGNED_IN, CATALOG])
@pytest.mark.parametrize("code", [401, 200], ids=["refused", "no such region"])
def test_credentials_in_the_url_of_keystone_are_not_reported(
    glance: HttpServer, ctx: Context, path: str, code: int
) -> None:
    url = glance.url("/identity").replace("://", "://proxy:battery-staple@")
    if code != 200:
        glance.answer(path, status(code))
    token = {"token": "mine"} if path == CATALOG else {}
    with pytest.raises(SourceUnavailable) as caught:
        stage(plugin(glance, auth_url=url, glance_region="West", **token), ctx)
    assert "/identity/v3" in caught.value.message
    assert "battery" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("path", [SIGNED_IN, IMAGE, CATALOG])
@pytest.mark.parametrize(
    "document", [b"<html>", b"[]", b'{"token": 5, "catalog": 5, "status": 5}', b"[" * 100_000, b"\xff"],
    ids=["page", "list", "numbers", "depth", "bytes"],
)  # fmt: skip
def test_answers_that_make_no_sense_are_refused(
    glance: HttpServer, ctx: Context, path: str, document: bytes
) -> None:
    glance.answer(path, content(document, headers={"X-Subject-Token": SECRET}))
    with pytest.raises(SourceUnavailable):
        stage(plugin(glance, **({"token": "mine"} if path == CATALOG else {})), ctx)


def test_a_token_that_is_none_is_refused(glance: HttpServer, ctx: Context) -> None:
    glance.answer(SIGNED_IN, answer({"token": {"catalog": []}}, code=201))
    with pytest.raises(SourceUnavailable, match="did not answer as Keystone does"):
        stage(plugin(glance), ctx)


@pytest.mark.parametrize(
    "change",
    [
        {"size": None}, {"size": "2048"}, {"size": -1}, {"size": 0}, {"size": 1.5}, {"size": True},
        {"disk_format": "../raw"}, {"disk_format": "raw\n"}, {"container_format": 5},
    ],
    ids=str,
)  # fmt: skip
def test_metadata_that_make_no_sense_are_refused(
    glance: HttpServer, ctx: Context, change: dict[str, Any]
) -> None:
    serve(glance, **change)
    with pytest.raises(SourceUnavailable, match=f"did not describe an image.*: {next(iter(change))}"):
        stage(plugin(glance), ctx)


def test_data_that_a_proxy_compresses_is_stored_as_the_other_glance_has_it(
    glance: HttpServer, ctx: Context
) -> None:
    serve(glance)
    glance.answer(f"{IMAGE}/file", content(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}))
    assert read(stage(plugin(glance), ctx)) == BODY


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x"], ids=["short", "long"])
@pytest.mark.parametrize("announced", [True, False])
def test_another_number_of_bytes_than_the_size_fails(
    glance: HttpServer, ctx: Context, body: bytes, announced: bool
) -> None:
    """Scenario 106."""
    with_length = content(body)

    def to_the_end(reply: Any) -> None:
        reply.head(200, {})
        reply.write(body)

    glance.answer(f"{IMAGE}/file", with_length if announced else to_the_end)
    with pytest.raises(VerificationFailed, match=f"reports that the image has {len(BODY)}"):
        read(stage(plugin(glance), ctx))


@pytest.mark.parametrize(
    ("digests", "algorithm"),
    [
        ({}, "sha512"),
        ({"os_hash_algo": "unheard-of"}, "md5"),
        ({"os_hash_algo": None, "os_hash_value": None}, "md5"),
    ],
    ids=["sha512", "unknown", "none"],
)
def test_bytes_that_differ_from_the_digest_fail_and_both_values_are_named(
    glance: HttpServer, ctx: Context, events: list[Any], digests: dict[str, Any], algorithm: str
) -> None:
    """Scenario 108."""
    other = BODY[::-1]
    serve(glance, other, **digests)
    expected, found = (hashlib.new(algorithm, data).hexdigest() for data in (BODY, other))
    with pytest.raises(
        VerificationFailed, match=f"{algorithm} of the image as published is {found}, but {expected}"
    ):
        read(stage(plugin(glance), ctx))
    assert [(event.message, event.verdict) for event in events] == [(f"checksum {algorithm}", "failed")]


def test_without_any_digest_a_warning_reports_that(
    glance: HttpServer, ctx: Context, caplog: pytest.LogCaptureFixture
) -> None:
    serve(glance, os_hash_value=None, checksum=None)
    assert read(stage(plugin(glance), ctx)) == BODY
    assert "only its size is compared" in caplog.text


def test_an_image_above_the_cap_is_not_downloaded(glance: HttpServer, tmp_path: Path) -> None:
    small = make_context(tmp_path, http=make_transport(), limits=Limits(image_size_cap=len(BODY) - 1))
    with pytest.raises(LimitExceeded, match=f"has {len(BODY) / 1024:.1f} KiB, more than"):
        stage(plugin(glance), small)
    assert f"{IMAGE}/file" not in glance.paths()


@pytest.mark.parametrize("path", [IMAGE, f"{IMAGE}/file"])
def test_the_token_is_not_sent_to_a_server_that_is_redirected_to(
    glance: HttpServer, ctx: Context, path: str
) -> None:
    """Scenario 40."""
    with HttpServer() as other:
        serve(other)
        glance.answer(path, redirect(other.url(path)))
        assert read(stage(plugin(glance), ctx)) == BODY
        assert tokens_shown(other) == {path: None}


def test_a_password_is_not_sent_on_by_a_redirect(glance: HttpServer, ctx: Context) -> None:
    with HttpServer() as other:
        glance.answer(SIGNED_IN, redirect(other.url(SIGNED_IN), 307))
        with pytest.raises(SourceUnavailable, match="answered 307"):
            stage(plugin(glance), ctx)
        assert other.requests == []


def test_every_address_is_judged_before_it_is_asked(glance: HttpServer, tmp_path: Path) -> None:
    """Spec 1.9: also those of the metadata and of Keystone."""
    judged: list[str] = []

    def judge(url: str, redirected_from: str | None) -> None:
        judged.append(url.removeprefix(glance.url("")))
        if url.endswith("/file"):
            raise SourceRejected("not this one")

    with pytest.raises(SourceRejected, match="not this one"):
        stage(plugin(glance), make_context(tmp_path, http=make_transport(validate=judge)))
    assert judged == [SIGNED_IN, IMAGE, f"{IMAGE}/file"]
    assert glance.paths() == [SIGNED_IN, IMAGE]


# ----------------------------------------------------------------------------------------------------- its options


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"glance_region": "North"},
        {"glance_region": "North", "auth_url": "http://name/v3"},
        {"glance_region": "", "auth_url": "http://name/v3", "token": "t"},
        {"glance_region": "North", "auth_url": "http://name/v3", **USER, "endpoint": "http://name"},
        {"glance_region": "North", "auth_url": "http://name/v3", "token": "t", **USER},
        {"glance_region": "North", "auth_url": "http://name/v3", "username": "demo"},
        {"glance_region": "North", "auth_url": "http://name/v3", "application_credential_id": "a1"},
        {"endpoint": "name:9292"},
        {"endpoint": "ftp://name/"},
        {"endpoint": "http://name/?x=1"},
        {"endpoint": "http://name", **USER},
        {"endpoint": "http://name", "token": "t\r\nX-Injected: 1"},
        {"endpoint": "http://name", "token": ""},
        {"endpoint": "http://name", "extra_properties": [""]},
        {"endpoint": "http://name", "glance_service_interface": "secret"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """Scenario 13: a region that is missing among them."""
    with pytest.raises(ValidationError):
        GlanceDownloadConfig.model_validate(options)


def test_secrets_are_not_shown() -> None:
    config = GlanceDownloadConfig.model_validate(
        {
            "glance_region": "North",
            "auth_url": "http://name/v3",
            **USER,
            "application_credential_secret": None,
        }
    )
    assert "demo-password" not in f"{config!r} {config.model_dump()} {config.model_dump_json()}"


# ------------------------------------------------------------------------------------------------ the whole import


@pytest.fixture
def pipeline(glance: HttpServer, site_folder: Path) -> str:
    """Return a pipeline that fetches the image from *glance* as user demo."""
    options = {"glance_region": "north", "auth_url": glance.url("/identity"), **USER}
    (site_folder / "copy.yaml").write_text(
        json.dumps({"name": "copy", "source": {"use": "glance-download", "uri": ID, "with": options}})
    )
    return "copy.yaml"


def test_an_image_arrives_with_its_formats_properties_and_digests(
    glance: HttpServer, pipeline: str, run_imageport: RunImageport
) -> None:
    """Scenario 106."""
    done = run_imageport("run", pipeline, "--json", "--name", "mine", "--property", "os_distro=other")
    assert done.exit_code == 0, done.stderr
    image = done.report["image"]
    remote = described()
    same = (
        "disk_format",
        "container_format",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
    )
    assert {name: image[name] for name in same} == {name: remote[name] for name in same}
    assert (image["name"], image["min_disk"], image["tags"]) == ("mine", 0, [])
    kept = {name: value for name, value in image["properties"].items() if not name.startswith("os_glance")}
    assert kept == {"hw_disk_bus": "virtio", "trait:HW_CPU_X86_VMX": "required", "os_distro": "debian"}
    assert done.copies["default"].read_bytes() == BODY
    assert "demo-password" not in done.stdout + done.stderr


def test_it_brings_no_property_that_the_caller_may_not_set(
    glance: HttpServer, pipeline: str, run_imageport: RunImageport, site_folder: Path
) -> None:
    """A user who can change the remote image could otherwise write protected properties here, and any number of
    them."""
    with (site_folder / "imageport.yaml").open("a") as site:
        site.write("property_protections: {file: protections.conf}\nlimits: {image_properties: 3}\n")
    sections = (("^hw_", "admin"), (".*", "@"))
    (site_folder / "protections.conf").write_text(
        "".join(f"[{names}]\ncreate={who}\nread=@\nupdate={who}\ndelete={who}\n" for names, who in sections)
    )
    refused = run_imageport("run", pipeline, "--json")
    assert refused.report["error"]["code"] == "not-allowed"
    assert refused.report["error"]["step"] == "glance-download"
    assert "property hw_disk_bus is protected" in refused.report["error"]["message"]
    assert [path for path in (site_folder / "images").rglob("*") if path.is_file()] == []

    as_admin = ("run", pipeline, "--json", "--role", "admin")
    too_many = run_imageport(*as_admin, "--property", "own=kept")
    assert too_many.report["error"]["code"] == "over-quota"
    done = run_imageport(*as_admin)
    assert done.report["image"]["properties"]["hw_disk_bus"] == "virtio"


def test_it_cannot_stand_under_steps(run_imageport: RunImageport, site_folder: Path) -> None:
    """It describes the image as well as bringing it, but only what it has brought."""
    step = {"use": "glance-download", "with": {"endpoint": "http://name"}}
    pipeline = {"name": "wrong", "source": {"use": "web-download"}, "steps": [step]}
    (site_folder / "wrong.yaml").write_text(json.dumps(pipeline))
    done = run_imageport("validate", "wrong.yaml")
    assert done.exit_code == 2
    assert (
        "'glance-download' cannot stand under 'steps': it belongs under 'source'" in done.stdout + done.stderr
    )


def test_after_each_failure_the_image_is_as_it_was_and_the_next_import_may_start(
    glance: HttpServer, pipeline: str, run_imageport: RunImageport, site_folder: Path
) -> None:
    """Scenarios 106 to 108."""
    formats = ("--disk-format", "raw", "--container-format", "bare")
    before = run_imageport("images", "create", *formats, "--property", "own=kept", "--json").json
    fetch = ("run", pipeline, "--image", before["id"], "--json")

    def fails(exit_code: int) -> None:
        failed = run_imageport(*fetch)
        assert failed.exit_code == exit_code, failed.stderr
        after = run_imageport("images", "show", before["id"], "--json").json
        ours = ("status", "disk_format", "container_format", "size", "checksum", "locations")
        assert {name: after[name] for name in ours} == {name: before[name] for name in ours}
        assert user_properties(after) == {"own": "kept"}
        assert [path for path in (site_folder / "images").rglob("*") if path.is_file()] == []

    serve(glance, BODY[:-1], disk_format="iso")
    fails(5)
    serve(glance, BODY[::-1], disk_format="iso")
    fails(5)
    serve(glance, status="queued")
    fails(4)
    glance.answer(IMAGE, status(503))
    fails(4)
    serve(glance)
    glance.answer(SIGNED_IN, signed_in([]))
    fails(4)
    glance.answer(SIGNED_IN, signed_in(services(glance.url())))
    assert run_imageport(*fetch).exit_code == 0


def user_properties(image: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in image["properties"].items() if not name.startswith("os_glance")}
