from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.cli.command_line import CommandLine

from imageport.testing.http_server import HttpServer

FILES = Path(__file__).parent / "files"
SECRETS = ("correct-horse", "battery-staple", "secret-password")


def here(name: str, folder: Path) -> Path:
    """Return a copy of a file whose paths lead to *folder*."""
    text = (FILES / name).read_text()
    for root in ("/srv/glance", "/var/lib/glance", "/opt/stack/data/glance"):
        text = text.replace(root, f"{folder}{root}")
    copy = folder / name
    copy.write_text(text)
    return copy


def test_it_prints_a_site_file_and_a_pipeline(cli: CommandLine, kolla: list[Path]) -> None:
    shown = cli("from-glance", *kolla).out
    site, pipeline = shown.split("---\n# ---- pipeline.yaml\n")
    assert site.startswith("# ---- imageport.yaml\n")
    parsed = YAML(typ="safe").load(site)
    assert parsed["limits"] == {"image_size_cap": "512 GiB"}
    assert [store["id"] for store in parsed["stores"]] == ["fast", "archive", "web"]
    steps = [step["use"] for step in YAML(typ="safe").load(pipeline)["steps"]]
    assert steps == ["uri_filter", "image_decompression", "image_conversion", "inject_image_metadata"]


def test_each_value_names_the_option_it_came_from(cli: CommandLine, kolla: list[Path]) -> None:
    shown = cli.inside("from-glance", *kolla).out
    for line in shown.splitlines():
        is_value = ": " in line and not line.lstrip().startswith("#")
        assert not is_value or " [" in line or "# " in line or line.startswith("name: "), line


def test_the_order_of_the_files_does_not_matter(cli: CommandLine, kolla: list[Path]) -> None:
    shown = cli.inside("from-glance", *reversed(kolla), "--json").json
    assert shown["files"].keys() == cli.inside("from-glance", *kolla, "--json").json["files"].keys()
    assert "copy_image:" in shown["files"]["imageport.yaml"]


def test_of_several_files_the_later_one_counts(cli: CommandLine) -> None:
    for number in (1, 2):
        (cli.folder / f"{number}.conf").write_text(f"[DEFAULT]\nimage_size_cap = {number}\n")
    assert 'image_size_cap: "2 B"  # 2.conf' in cli.inside("from-glance", "1.conf", "2.conf").out


@pytest.mark.parametrize("more", [(), ("--json",), ("--output", "out")], ids=["text", "json", "output"])
def test_no_password_is_shown(cli: CommandLine, kolla: list[Path], more: tuple[str, ...]) -> None:
    shown = cli.inside("from-glance", *kolla, FILES / "devstack-glance-api.conf", *more).out
    written = "".join(path.read_text() for path in cli.folder.rglob("out/**/*.yaml"))
    assert not [secret for secret in SECRETS if secret in shown + written]


def test_json_shows_what_was_carried_and_what_was_not(cli: CommandLine, kolla: list[Path]) -> None:
    printed = cli.inside("from-glance", *kolla, "--json").json
    (cap,) = [entry for entry in printed["carried"] if entry["option"] == "image_size_cap"]
    assert cap["here"] == {"file": "imageport.yaml", "key": "limits.image_size_cap"}
    assert (cap["section"], cap["line"]) == ("DEFAULT", 13)
    (ceph,) = [gap for gap in printed["not_carried"] if gap["what"] == "rbd:rbd"]
    assert "no store plugin for rbd" in ceph["reason"]
    assert ceph["instead"]


@pytest.mark.parametrize("name", ["kolla", "devstack"])
def test_what_it_writes_is_valid_and_imports(cli: CommandLine, name: str) -> None:
    files = [here(f"{name}-glance-api.conf", cli.folder)]
    if name == "kolla":
        files += [here(file, cli.folder) for file in ("policy.yaml", "property-protections-roles.conf")]
    cli.inside("from-glance", *files, "--output", "moved")
    site = ("--config", "moved/imageport.yaml")
    cli.inside(*site, "validate", "moved/pipelines")
    done = cli.inside(
        *site, "run", "moved/pipelines/glance-direct.yaml", cli.image, "--json", "--role", "admin"
    )
    report = done.lines[-1]
    assert report["image"]["status"] == "active"
    directory = "srv/glance/fast" if name == "kolla" else "opt/stack/data/glance/images"
    assert cli.files(directory) == [report["image"]["id"]]


def test_a_download_goes_through_all_of_it(cli: CommandLine, http_server: HttpServer, qcow2: bytes) -> None:
    http_server.publish("/disk.qcow2.gz", gzip.compress(qcow2))
    conf = f"""\
[DEFAULT]
enabled_backends = fast:file, archive:file
hashing_algorithm = sha256
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = {cli.folder}/fast
[archive]
filesystem_store_datadir = {cli.folder}/archive
[os_glance_staging_store]
filesystem_store_datadir = {cli.folder}/staging
[import_filtering_opts]
allowed_hosts = [127.0.0.1]
allowed_ports = [{http_server.port}]
[image_import_opts]
image_import_plugins = [image_decompression, image_conversion, inject_image_metadata]
[inject_metadata_properties]
inject = hw_disk_bus:scsi
"""
    (cli.folder / "glance-api.conf").write_text(conf)
    cli.inside("from-glance", "glance-api.conf", "--output", ".")
    done = cli.inside(
        "run", "pipelines/web-download.yaml", http_server.url("/disk.qcow2.gz"), "--all-stores", "--json"
    )
    image = done.lines[-1]["image"]
    assert (image["disk_format"], image["size"], image["os_hash_algo"]) == ("raw", 4 << 20, "sha256")
    assert image["properties"]["hw_disk_bus"] == "scsi"
    assert cli.files("fast") == cli.files("archive") == [image["id"]]
    refused = cli.inside("run", "pipelines/web-download.yaml", "http://127.0.0.1:1/x", "--json", code=3)
    assert "port 1 is not among" in refused.lines[-1]["error"]["message"]


@pytest.fixture
def qcow2(tmp_path: Path) -> bytes:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "4M"], check=True)
    return disk.read_bytes()


def test_the_login_for_glance_download_comes_from_the_environment(cli: CommandLine) -> None:
    (cli.folder / "glance-api.conf").write_text("[DEFAULT]\nenabled_import_methods = [glance-download]\n")
    cli.inside("from-glance", "glance-api.conf", "--output", ".")
    assert "'OS_TOKEN' is not set" in cli.inside("validate", "pipelines", code=2).out
    cli.environ |= {
        "OS_AUTH_URL": "https://keystone.example.org/v3", "OS_TOKEN": "gAAAAAB", "OS_REGION_NAME": "two",
    }  # fmt: skip
    cli.inside("validate", "pipelines")


def test_nothing_is_overwritten(cli: CommandLine, kolla: list[Path]) -> None:
    (cli.folder / "out" / "pipelines").mkdir(parents=True)
    (cli.folder / "out" / "pipelines" / "copy-image.yaml").write_text("mine")
    refused = cli.inside("from-glance", *kolla, "--output", "out", code=7)
    assert "out/pipelines/copy-image.yaml is already there" in refused.err
    assert cli.files("out") == ["pipelines"]
    assert cli.files("out/pipelines") == ["copy-image.yaml"]


def test_a_folder_that_cannot_be_made_is_reported(cli: CommandLine, kolla: list[Path]) -> None:
    assert (
        "cannot write disk.raw/out"
        in cli.inside("from-glance", *kolla, "--output", "disk.raw/out", code=2).err
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[composite:glance-api]\nuse = egg:Paste", "x:1:1: this is not a configuration of Glance"),
        ('{"revision": 1}', "x:1:1: this is not a configuration of Glance"),
        ("Hello.", "x:1:1: must be a mapping"),
        ("[DEFAULT]\n  debug = true", "x:2:1: this line continues nothing"),
    ],
    ids=["paste", "json", "prose", "indented"],
)
def test_another_file_is_refused(cli: CommandLine, text: str, complaint: str) -> None:
    (cli.folder / "x").write_text(text)
    assert complaint in cli.inside("from-glance", "x", code=2).err


def test_a_file_of_comments_has_no_settings(cli: CommandLine) -> None:
    (cli.folder / "policy.yaml").write_text('# "copy_image": "role:admin"\n')
    shown = cli.inside("from-glance", "policy.yaml", "--json").json
    assert json.dumps(shown["carried"]) == "[]"
    assert shown["not_carried"] == []
