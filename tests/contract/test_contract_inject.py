from __future__ import annotations

import pytest
from tests.contract.site import Outcome, Site, step

BODY = b"disk\0" * 1000

PROTECTIONS = """\
[^p1$]
create = admin
read = @
update = admin
delete = admin

[.*]
create = @
read = @
update = @
delete = @
"""


def plain_properties(done: Outcome) -> dict[str, str]:
    """Return the properties of the image but for Imageport's own."""
    found: dict[str, str] = done.image["properties"]
    return {name: value for name, value in found.items() if not name.startswith("os_glance")}


def test_074_properties_are_injected_unless_the_role_is_exempt(site: Site) -> None:
    """A member imports, with p1 and p2 to inject: both are set, over the p1 of the user. An admin, whose role is
    ignored: nothing is set. With nothing to inject: nothing is saved."""
    inject = step("inject_image_metadata", inject={"p1": "v1", "p2": "v2"})
    for steps, role, expected in (
        ([inject], "member", {"p1": "v1", "p2": "v2", "own": "kept"}),
        ([inject], "admin", {"p1": "mine", "own": "kept"}),
        (["inject_image_metadata"], "member", {"p1": "mine", "own": "kept"}),
    ):
        image = site.create("--property", "p1=mine", "--property", "own=kept")
        done = site.run(BODY, "--role", role, image=image, steps=steps)
        assert done.code == 0, done.report["error"]
        assert plain_properties(done) == expected


def test_075_reserved_names_are_dropped_and_values_kept_whole(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """A key os_glance_x among those to inject is dropped with a warning, and the import is fine. A value with
    colons is kept whole."""
    inject = step("inject_image_metadata", inject={"os_glance_x": "1", "url": "https://a:b@c:1/d"})
    done = site.run(BODY, image=site.create(), steps=[inject])
    assert done.code == 0, done.report["error"]
    assert plain_properties(done) == {"url": "https://a:b@c:1/d"}
    assert "os_glance_x" not in done.image["properties"]
    assert "property os_glance_x is not injected" in caplog.text


def test_076_the_operator_injects_what_users_may_not_set(site: Site) -> None:
    """A property that only admins create and update, and a caller who is a member: it is injected and the import
    succeeds, but the member can neither set nor change it."""
    (site.folder / "protections.conf").write_text(PROTECTIONS)
    site.configure(property_protections={"file": "protections.conf"})
    image = site.create("--property", "own=kept")
    assert "is protected" in site.imageport("images", "set", image, "--property", "p1=x", code=2).stderr
    done = site.run(BODY, image=image, steps=[step("inject_image_metadata", inject={"p1": "v1"})])
    assert done.image["status"] == "active"
    assert plain_properties(done) == {"p1": "v1", "own": "kept"}
    for change in (("--property", "p1=x"), ("--remove-property", "p1")):
        assert "is protected" in site.imageport("images", "set", image, *change, code=2).stderr
    assert site.show(image)["properties"]["p1"] == "v1"


def test_077_roles_are_compared_without_case_and_a_failure_takes_values_back(site: Site) -> None:
    """The role Admin in the option exempts a caller who is admin. When the import fails after the values were
    injected, the properties are what the user set."""
    exempting = step("inject_image_metadata", inject={"p1": "v1"}, ignore_user_roles=["Admin"])
    done = site.run(BODY, "--role", "admin", image=site.create(), steps=[exempting])
    assert plain_properties(done) == {}
    site.imageport("images", "delete", "--yes", done.image["id"])
    site.trouble("s1", "end")
    done = site.run(BODY, image=site.create("--property", "p1=mine"), steps=[exempting])
    site.assert_rolled_back(done, failed="s1")
    assert plain_properties(done) == {"p1": "mine"}
