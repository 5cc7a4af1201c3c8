from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imageport import Caller, Image, ImageData, ImageRecord
from imageport.testing.contexts import make_context, unused
from imageport_builtin.inject_image_metadata import InjectImageMetadata, InjectImageMetadataConfig

Inject = Callable[..., Image | None]


@pytest.fixture
def inject(tmp_path: Path) -> Inject:
    """Run the step on an image with the property p1, for a caller with some roles."""

    def run(*roles: str, **options: Any) -> Image | None:
        ctx = make_context(
            tmp_path, step="inject", caller=Caller(user="alice", roles=frozenset(roles)), emit=unused
        )
        record = ImageRecord(id="image-1", properties={"p1": "of the user", "p3": "kept"})
        image = Image(record, ImageData.from_chunks(unused))
        return InjectImageMetadata(InjectImageMetadataConfig(**options)).transform(image, ctx)

    return run


def properties(image: Image | None) -> dict[str, str]:
    assert image is not None
    return dict(image.record.properties)


def test_a_member_gets_the_properties_over_his_own(inject: Inject) -> None:
    image = inject("member", inject={"p1": "v1", "p2": "v2"})

    assert properties(image) == {"p1": "v1", "p2": "v2", "p3": "kept"}


def test_a_caller_without_roles_gets_the_properties(inject: Inject) -> None:
    assert properties(inject(inject={"p2": "v2"}))["p2"] == "v2"


@pytest.mark.parametrize("caller_role", ["admin", "Admin", "ADMIN"])
def test_an_admin_gets_nothing(caller_role: str, inject: Inject) -> None:
    assert inject("member", caller_role, inject={"p1": "v1"}) is None


@pytest.mark.parametrize("option", ["Service", "service"])
def test_other_roles_can_be_exempt_whatever_their_case(option: str, inject: Inject) -> None:
    assert inject("SERVICE", inject={"p1": "v1"}, ignore_user_roles=[option]) is None
    assert inject("admin", inject={"p1": "v1"}, ignore_user_roles=[option]) is not None


def test_with_no_role_exempt_an_admin_gets_the_properties(inject: Inject) -> None:
    assert inject("admin", inject={"p1": "v1"}, ignore_user_roles=[]) is not None


def test_nothing_to_inject_changes_nothing(inject: Inject) -> None:
    assert inject("member") is None


def test_reserved_names_are_left_out_with_a_warning(inject: Inject, caplog: pytest.LogCaptureFixture) -> None:
    image = inject("member", inject={"os_glance_x": "1", "os_glancefoo": "1", "p2": "v2"})

    assert properties(image) == {"p1": "of the user", "p2": "v2", "p3": "kept"}
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "os_glance_x" in caplog.text


def test_only_reserved_names_change_nothing(inject: Inject) -> None:
    assert inject("member", inject={"os_glance_x": "1"}) is None


def test_values_are_kept_whole_as_text(inject: Inject) -> None:
    image = inject("member", inject={"a": "x:y, z", "b": 4, "c": True, "self": ""})

    found = properties(image)
    assert {name: found[name] for name in "abc"} == {"a": "x:y, z", "b": "4", "c": "true"}
    assert found["self"] == ""


def test_numbers_and_truth_values_become_text() -> None:
    config = InjectImageMetadataConfig(inject={"a": 24.5, "b": 7, "c": True})
    assert config.inject == {"a": "24.5", "b": "7", "c": "true"}


@pytest.mark.parametrize("value", [None, ["a"], {"a": "b"}])
def test_values_that_are_not_text_are_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="valid string"):
        InjectImageMetadataConfig(inject={"p1": value})
