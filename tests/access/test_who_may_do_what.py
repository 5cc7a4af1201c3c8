"""Callers of several projects, through the command line."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine

from imageport import Caller
from imageport.access.permissions import Access
from imageport.app.records import change_record, create_record
from imageport.catalog import Catalog
from imageport.configuration.site import Site
from imageport.errors import NotAllowed, UsageError

ADA = ("--user", "ada", "--project", "web")
BOB = ("--user", "bob", "--project", "ops")
READER = (*ADA, "--role", "reader")
ADMIN = ("--user", "root", "--role", "admin")
FORMATS = ("--disk-format", "raw", "--container-format", "bare")

COPY = """
name: copy
source: {use: copy-image}
stores:
  - {use: file, id: one, with: {directory: one}}
  - {use: file, id: two, with: {directory: two}}
  - {use: file, id: three, with: {directory: three}}
"""


def created(cli: CommandLine, *options: str) -> str:
    return str(cli.inside("images", "create", *FORMATS, "--json", *options).json["id"])


def imported(cli: CommandLine, *options: str) -> str:
    return str(cli.inside("run", "p.yaml", cli.image, "--json", *ADA, *options).lines[-1]["image"]["id"])


def commands(image: str) -> list[list[str]]:
    """Return every command that names an image."""
    return [
        ["images", "show", image],
        ["images", "set", image, "--name", "other"],
        ["images", "stage", image, "disk.raw"],
        ["images", "export", image, "out.raw"],
        ["images", "delete", image, "--yes"],
        ["images", "delete", image, "--store", "one", "--yes"],
        ["run", "p.yaml", "disk.raw", "--image", image, "-q"],
        ["run", "copy.yaml", "--image", image, "-q"],
        ["tasks", "list", "--image", image],
    ]


def test_an_image_that_is_not_to_be_seen_is_as_if_it_were_not_there(cli: CommandLine) -> None:
    (cli.folder / "copy.yaml").write_text(COPY)
    image = imported(cli, "--name", "secret")
    unknown = f"{image[:-4]}{'0000' if image[-4:] != '0000' else '1111'}"
    for there, nowhere in zip(commands(image), commands(unknown), strict=True):
        printed = cli.inside(*there, *BOB, code=2)
        assert f"no image '{image}'" in printed.err
        assert printed.err.replace(image, "ID") == cli.inside(*nowhere, *BOB, code=2).err.replace(
            unknown, "ID"
        )
    for name in ("secret", "secrte", image[:8]):
        assert "secret'?" not in cli.inside("images", "show", name, *BOB, code=2).err
    assert cli.inside("images", "list", "--json", *BOB).json == []
    assert cli.inside("tasks", "list", "--json", *BOB).json == []
    assert [found["id"] for found in cli.inside("images", "list", "--json", *ADA).json] == [image]


def test_what_can_be_seen_cannot_be_changed_by_others(cli: CommandLine) -> None:
    (cli.folder / "copy.yaml").write_text(COPY)
    active = imported(cli)
    queued = created(cli, *ADA)
    for image in (active, queued):
        cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "admin")
    assert cli.inside("images", "show", active, "--json", *BOB).json["owner"] == "web"
    for image, arguments, rule in (
        (active, ["images", "set", active, "--name", "mine"], "modify_image"),
        (queued, ["images", "stage", queued, "disk.raw"], "modify_image"),
        (queued, ["run", "p.yaml", "disk.raw", "--image", queued, "-q"], "modify_image"),
        (active, ["images", "delete", active, "--yes"], "delete_image"),
        (active, ["images", "delete", active, "--store", "one", "--yes"], "delete_image_location"),
        (active, ["run", "copy.yaml", "--image", active, "-q"], "copy_image"),
    ):
        before = cli.inside("images", "show", image, "--json", *ADA).json
        printed = cli.inside(*arguments, *BOB, code=2).err
        assert f"policy {rule} (" in printed
        assert "does not allow this to bob of project ops (roles: member)" in printed
        assert cli.inside("images", "show", image, "--json", *ADA).json == before
    assert cli.inside("images", "export", active, "bobs.raw", *BOB).code == 0


def test_a_wrong_status_is_reported_before_a_missing_right(cli: CommandLine) -> None:
    image = imported(cli)
    cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "admin")
    assert "is active" in cli.inside("run", "p.yaml", cli.image, "--image", image, *BOB, "-q", code=7).err


def test_who_only_reads_sees_all_of_the_project_and_changes_nothing(cli: CommandLine) -> None:
    image = imported(cli)
    assert cli.inside("images", "show", image, "--json", *READER).json["id"] == image
    for arguments, rule in (
        (["images", "create", "--name", "new"], "add_image"),
        (["run", "p.yaml", "disk.raw", "-q"], "add_image"),
        (["images", "set", image, "--name", "new"], "modify_image"),
        (["images", "export", image, "out.raw"], "download_image"),
    ):
        assert f"policy {rule} (" in cli.inside(*arguments, *READER, code=2).err
    assert len(cli.inside("images", "list", "--json", *READER).json) == 1


def test_an_import_into_ones_own_image_needs_the_right_to_change_it(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("policy: {modify_image: 'role:importer'}\n")
    assert "policy modify_image" in cli.inside("run", "p.yaml", cli.image, "-q", *ADA, code=2).err
    assert cli.inside("images", "list", "--json", *ADA).json == []
    cli.inside("run", "p.yaml", cli.image, "-q", *ADA, "--role", "member,importer")


def test_a_permitted_copy_leaves_the_owner_as_it_is(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("policy: {copy_image: 'role:admin or visibility:public'}\n")
    (cli.folder / "copy.yaml").write_text(COPY)
    image = imported(cli)
    cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "admin")
    done = cli.inside("run", "copy.yaml", "--image", image, "--json", *BOB).lines[-1]
    assert done["image"]["owner"] == "web"
    assert [copy["store"] for copy in done["image"]["locations"]] == ["one", "three", "two"]


def test_only_some_may_publish_images(cli: CommandLine) -> None:
    image = created(cli, *ADA)
    assert (
        "policy publicize_image"
        in cli.inside("images", "set", image, "--visibility", "public", *ADA, code=2).err
    )
    assert (
        "policy publicize_image" in cli.inside("images", "create", "--visibility", "public", *ADA, code=2).err
    )
    cli.inside("images", "set", image, "--visibility", "community", *ADA)
    assert cli.inside("images", "show", image, "--json", *BOB).json["visibility"] == "community"
    cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "Admin")
    cli.inside("images", "set", image, "--visibility", "public", "--name", "as before", *ADA)


def test_an_image_of_no_project_belongs_to_its_user(cli: CommandLine) -> None:
    own, project = created(cli), created(cli, "--project", "web")
    assert cli.inside("images", "show", own, "--json").json["owner"] == "tester"
    assert cli.inside("images", "show", project, "--json", "--project", "web").json["owner"] == "web"
    assert "no image" in cli.inside("images", "show", project, code=2).err
    assert "no image" in cli.inside("images", "show", own, "--project", "web", code=2).err
    assert len(cli.inside("images", "list", "--json", *ADMIN).json) == 2


def test_the_environment_names_the_caller_unless_options_do(cli: CommandLine) -> None:
    cli.environ |= {"IMAGEPORT_USER": "ada", "IMAGEPORT_PROJECT": "web", "IMAGEPORT_ROLES": "reader,Admin"}
    image = created(cli, "--visibility", "public")
    assert cli.inside("images", "show", image, "--json").json["owner"] == "web"
    printed = cli.inside(
        "images", "set", image, "--name", "x", "--user", "eve", "--role", "guest", code=2
    ).err
    assert "does not allow this to eve of project web (roles: guest)" in printed


@pytest.mark.parametrize("option", ["--user", "--project", "--role"])
def test_a_caller_whose_name_is_not_text_is_refused(cli: CommandLine, option: str) -> None:
    assert "is not text" in cli.inside("images", "create", option, "\udcff", code=2).err


def test_tasks_are_seen_with_their_images_and_stopped_by_who_started_them(cli: CommandLine) -> None:
    image = imported(cli)
    (task,) = cli.inside("tasks", "list", "--json", *ADA).json
    assert task["owner"] == "web"
    assert f"no task {task['id']}" in cli.inside("tasks", "show", task["id"], *BOB, code=2).err
    assert f"no task {task['id']}" in cli.inside("tasks", "cancel", task["id"], *BOB, code=2).err
    cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "admin")
    assert cli.inside("tasks", "show", task["id"], "--json", *BOB).json["id"] == task["id"]
    assert "policy modify_task" in cli.inside("tasks", "cancel", task["id"], *BOB, code=2).err
    assert "ended with success" in cli.inside("tasks", "cancel", task["id"], *ADA, code=7).err
    cli.inside("images", "delete", image, "--yes", *ADA)
    assert cli.inside("tasks", "list", "--json", *BOB).json == []
    assert len(cli.inside("tasks", "list", "--json", *ADA).json) == 1
    assert len(cli.inside("tasks", "list", "--json", *ADMIN).json) == 1


def test_tasks_can_be_kept_from_those_who_only_see_the_image(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("policy: {get_tasks: 'role:admin or owner'}\n")
    image = imported(cli)
    cli.inside("images", "set", image, "--visibility", "public", *ADA, "--role", "admin")
    assert cli.inside("tasks", "list", "--image", image, "--json", *BOB).json == []
    assert len(cli.inside("tasks", "list", "--image", image, "--json", *ADA).json) == 1


# ---------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("name", ["os_glance", "os_glancefoo", "os_glance_import_task"])
def test_reserved_properties_are_not_written_by_users(cli: CommandLine, name: str) -> None:
    image = created(cli)
    for arguments in (
        ["images", "create", "--property", f"{name}=x"],
        ["images", "set", image, "--property", f"{name}=x"],
        ["images", "set", image, "--remove-property", name],
        ["run", "p.yaml", "disk.raw", "-q", "--property", f"{name}=x"],
    ):
        assert f"property {name} is reserved" in cli.inside(*arguments, "--role", "admin", code=2).err
    assert cli.inside("images", "show", image, "--json").json["properties"] == {}


@pytest.mark.parametrize("name", ["size", "checksum", "os_hash_value", "status", "owner", "id"])
def test_read_only_fields_are_not_written_by_users(cli: CommandLine, name: str) -> None:
    printed = cli.inside("images", "set", created(cli), "--property", f"{name}=5", code=2).err
    assert f"{name} of an image is read-only" in printed


def test_programs_set_no_fields_that_users_may_not_set(tmp_path: Path) -> None:
    site = Site(catalog=f"sqlite:///{tmp_path}/catalog.db")
    with closing(Catalog(site.catalog)) as catalog:
        access = Access(site, catalog, Caller(user="ada"))
        record = create_record(access, properties={}, name="mine")
        with pytest.raises(NotAllowed, match="size of an image is read-only"):
            change_record(access, record, properties={}, size=5)
        with pytest.raises(NotAllowed, match="checksum of an image is read-only"):
            create_record(access, properties={}, checksum="x")
        with pytest.raises(UsageError, match=r"'nmae' is not a field of an image \(did you mean 'name'\?\)"):
            change_record(access, record, properties={}, nmae="x")
        assert catalog.list_images() == [record]


def test_a_property_is_not_called_like_a_field(cli: CommandLine) -> None:
    printed = cli.inside("images", "create", "--property", "visibility=public", code=2).err
    assert "visibility is a field of the image" in printed
    assert "has 256 characters" in cli.inside("images", "create", "--property", f"{'a' * 256}=b", code=2).err


def test_users_have_only_so_many_properties(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("limits: {image_properties: 2}\n")
    image = imported(cli, "--property", "a=1")
    two = ("images", "set", image, *ADA, "--property")
    printed = cli.inside(*two, "b=2", code=7).err
    assert "an image may have 2 properties, this one would have 3" in printed
    cli.inside(*two, "a=2")
    cli.inside(*two, "b=2", "--remove-property", "a")


def test_an_image_has_only_so_many_copies(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("limits: {image_locations: 2}\n")
    (cli.folder / "copy.yaml").write_text(COPY)
    image = imported(cli)
    printed = cli.inside("run", "copy.yaml", "--image", image, *ADA, "--role", "admin", "-q", code=7).err
    assert f"an image may have 2 copies, image {image} would have 3" in printed
    assert cli.files("three") == []


PROTECTED = """
[^licence]
create = admin
read = @
update = admin
delete = admin

[^hidden]
create = admin
read = admin
update = admin
delete = admin

[^once]
create = @
read = admin
update = admin
delete = admin

[^os_distro$]
create = admin
read = admin, member
update = admin
delete = admin

[^a]
create = @
read = @
update = @
delete = @
"""


@pytest.fixture
def protected(cli: CommandLine) -> CommandLine:
    (cli.folder / "protections.conf").write_text(PROTECTED)
    (cli.folder / "imageport.yaml").write_text("property_protections: {file: protections.conf}\n")
    return cli


def test_protected_properties_are_written_by_who_may(protected: CommandLine) -> None:
    image = created(protected, *ADA, "--property", "a=1")
    change = ("images", "set", image, *ADA)
    assert "property licence is protected: ada of project web (roles: member) may not create it" in (
        protected.inside(*change, "--property", "licence=x", code=2).err
    )
    protected.inside(*change, "--property", "licence=x", "--property", "hidden=h", "--role", "Admin")
    assert "may not update it" in protected.inside(*change, "--property", "licence=y", code=2).err
    assert "may not delete it" in protected.inside(*change, "--remove-property", "licence", code=2).err
    assert "may not create it" in protected.inside(*change, "--property", "unheard=of", code=2).err
    assert "may not create it" in protected.inside("images", "create", "--property", "licence=x", code=2).err
    assert (
        "may not create it"
        in protected.inside("run", "p.yaml", protected.image, "--property", "licence=x", "-q", code=2).err
    )
    protected.inside(*change, "--property", "a=2", "--name", "new")
    shown = protected.inside("images", "show", image, "--json", *ADA).json
    assert (shown["name"], shown["properties"]) == ("new", {"a": "2", "licence": "x"})


def test_a_property_that_may_not_be_read_is_as_if_it_were_not_there(protected: CommandLine) -> None:
    one = created(protected, *ADA, "--property", "hidden=treasure", "--role", "admin")
    other = created(protected, *ADA)
    for arguments in (["--remove-property", "hidden"], ["--property", "hidden=x"]):
        printed = [
            protected.inside("images", "set", image, *arguments, *ADA, code=2).err for image in (one, other)
        ]
        assert printed[0].replace(one, "ID") == printed[1].replace(other, "ID")
    written_once = ("images", "set", other, "--property", "once=hidden", *ADA)
    protected.inside(*written_once)
    assert "may not create it" in protected.inside(*written_once, code=2).err
    everything = [
        protected.inside("images", "show", one, *ADA).out,
        protected.inside("images", "show", one, "--json", *ADA).out,
        protected.inside("images", "list", "--json", *ADA).out,
        protected.inside("images", "set", one, "--name", "new", "--json", *ADA).out,
        protected.inside("run", "p.yaml", protected.image, "--image", one, "--json", *ADA).out,
    ]
    assert "treasure" not in "".join(everything)
    assert "treasure" in protected.inside("images", "show", one, *ADA, "--role", "admin").out


def test_what_a_step_sets_is_the_operators_word_and_users_do_not_change_it(protected: CommandLine) -> None:
    done = protected.inside("run", "p.yaml", protected.image, "--json", *ADA).lines[-1]
    assert done["image"]["properties"]["os_distro"] == "debian"
    printed = protected.inside(
        "images", "set", done["image"]["id"], "--property", "os_distro=x", *ADA, code=2
    ).err
    assert "property os_distro is protected" in printed


def test_a_protection_file_with_a_mistake_stops_every_command(cli: CommandLine, tmp_path: Path) -> None:
    (cli.folder / "protections.conf").write_text("[.*]\ncreate = @\nread = @\nupdate = @, !\n")
    (cli.folder / "imageport.yaml").write_text("property_protections: {file: protections.conf}\n")
    printed = cli.inside("images", "list", code=2).err.splitlines()
    assert printed == [
        f"{tmp_path}/protections.conf:1:1: [.*] lacks 'delete': write 'delete = !' for no caller",
        f"{tmp_path}/protections.conf:4:1: 'update' has both '@' (all callers) and '!' (none)",
    ]


def test_reports_of_refusals_name_their_class(cli: CommandLine) -> None:
    report = json.loads(
        cli.inside("run", "p.yaml", cli.image, "--json", *READER, code=2).out.splitlines()[-1]
    )
    assert report["error"]["code"] == "not-allowed"
    assert report["image"] is None
