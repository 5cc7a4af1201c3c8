"""Packages state the contract that they were written for, and the host compares before it imports them."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.plugins.installing import REPOSITORY, pip_install

import imageport
from imageport.cli.commands import InstalledCommand
from imageport.contract import contract_text, misfit
from imageport.deprecation import DEPRECATIONS, Deprecation
from imageport.errors import PluginBroken
from imageport.plugins.registry import PluginRegistry
from imageport.stores import Store

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder
    from tests.plugins.conftest import Desk

MAJOR, MINOR = imageport.CONTRACT
HERE = contract_text(imageport.CONTRACT)

#: A module that must not be imported.
TRAP = {"acme_new": "raise SystemExit('imported')"}


@pytest.mark.parametrize(
    ("stated", "host"),
    [
        ((), (3, 2)),
        (("3.2",), (3, 2)),
        (("3.0",), (3, 2)),
        (("2.9", "3.1"), (3, 2)),
        (("3.1", "4.0"), (3, 2)),
    ],
)
def test_a_package_fits_a_host_of_the_same_first_number_that_is_not_older(
    stated: tuple[str, ...], host: tuple[int, int]
) -> None:
    assert misfit(stated, "acme 1.0", host) is None


@pytest.mark.parametrize(
    ("stated", "reason", "hint"),
    [
        (("3.3",), "is written for contract 3.3, and this imageport has contract 3.2", "update imageport"),
        (("4.0",), "is written for contract 4.0, and this imageport has contract 3.2", "update imageport"),
        (
            ("2.9",),
            "is written for contract 2.9, and this imageport has contract 3.2",
            "update acme, or use an older imageport",
        ),
        (
            ("4.0", "2.10", "2.9"),
            "is written for contract 2.9 or 2.10 or 4.0, and this imageport has contract 3.2",
            "update acme, or use an older imageport",
        ),
        (
            ("three",),
            "states a contract that is not like '1.0': 'three'",
            "report it to the authors of acme 1.0",
        ),
        (
            ("03.1",),
            "states a contract that is not like '1.0': '03.1'",
            "report it to the authors of acme 1.0",
        ),
    ],
)
def test_a_package_for_another_host_is_refused_with_both_numbers(
    stated: tuple[str, ...], reason: str, hint: str
) -> None:
    assert misfit(stated, "acme 1.0", (3, 2)) == (reason, hint)


@pytest.mark.parametrize(
    ("contract", "hint"),
    [
        (f"{MAJOR}.{MINOR + 1}", "update imageport"),
        (f"{MAJOR + 1}.0", "update imageport"),
        (f"{MAJOR - 1}.7", "update acme-new, or use an older imageport"),
    ],
)
def test_a_plugin_for_another_host_is_refused_before_its_import(
    plugin_folder: PluginFolder, contract: str, hint: str
) -> None:
    plugin_folder.install("acme-new", {"new": "acme_new:New"}, TRAP, contract=contract)
    with pytest.raises(PluginBroken) as caught:
        PluginRegistry.installed().find("new").load()
    assert caught.value.message == (
        f"plugin 'new' of acme-new 1.0 is written for contract {contract}, and this imageport has contract {HERE}"
    )
    assert caught.value.hint == hint
    assert "acme_new" not in sys.modules


def test_a_command_for_another_host_is_refused_before_its_import() -> None:
    command = InstalledCommand("new", "acme-new 1.0", "acme_new:new", (), (f"{MAJOR}.{MINOR + 1}",))
    with pytest.raises(
        PluginBroken, match=rf"command 'new' of acme-new 1.0 is written for contract {MAJOR}\."
    ):
        command.load()


def test_list_run_and_doctor_report_both_numbers_in_one_line(
    desk: Callable[..., Desk], plugin_folder: PluginFolder
) -> None:
    plugin_folder.install("acme-new", {"new": "acme_new:New"}, TRAP, contract=f"{MAJOR}.{MINOR + 1}")
    here = desk(plugin_folder.folder)
    expected = (
        f"plugin 'new' of acme-new 1.0 is written for contract {MAJOR}.{MINOR + 1}, "
        f"and this imageport has contract {HERE}"
    )
    rows = {row["name"]: row for row in here.imageport("plugins", "list", "--json").json}
    assert (rows["new"]["status"], rows["new"]["summary"]) == ("broken", expected)
    (here.folder / "disk.raw").write_bytes(bytes(512))
    refused = here.imageport("run", here.pipeline("new"), "disk.raw")
    assert refused.exit_code == 2
    assert expected in refused.stderr
    findings = {row["subject"]: row for row in json.loads(here.imageport("doctor", "--json").stdout)}
    assert findings["plugin new"]["message"] == expected
    assert findings["plugin new"]["hint"] == "update imageport"
    # Pipelines that do not use it are not concerned.
    assert here.run(here.pipeline())["status"] == "success"


def test_a_plugin_of_this_contract_states_it_and_is_loaded(plugin_folder: PluginFolder) -> None:
    module = "from imageport import NoConfig, Plugin\nclass New(Plugin[NoConfig]):\n    '''New.'''\n"
    plugin_folder.install("acme-new", {"new": "acme_new:New"}, {"acme_new": module}, contract=HERE)
    assert PluginRegistry.installed().find("new").load().summary() == "New."


# ------------------------------------------------------------------------------------------- what is deprecated


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of plugins for the first contract, which had no number, as it was built then."""
    folder = tmp_path_factory.mktemp("older") / "site"
    pip_install(folder, Path(__file__).with_name("files") / "acme_older-1.0-py3-none-any.whl")
    return folder


def test_an_older_package_works(desk: Callable[..., Desk], older: Path) -> None:
    here = desk(older)
    (here.folder / "imageport.yaml").write_text(
        json.dumps({"observers": [{"use": "older_tally", "with": {"path": "tally.txt"}}]})
    )
    store = {"use": "older_archive", "id": "packed", "with": {"directory": "./packed"}}
    report = here.run(here.pipeline("older_stamp", stores=[store]))
    assert report["status"] == "success"
    assert report["image"]["properties"]["imported_by"]
    assert len(list((here.folder / "packed").iterdir())) == 1
    assert "image.activate" in (here.folder / "tally.txt").read_text()
    image = report["image"]["id"]
    assert here.imageport("images", "export", image, "back.raw").exit_code == 0
    assert (here.folder / "back.raw").read_bytes() == (here.folder / "disk.raw").read_bytes()
    assert "tally.txt can be written" in here.imageport("doctor").stdout
    assert here.imageport("images", "delete", image, "--yes").exit_code == 0
    assert list((here.folder / "packed").iterdir()) == []


def test_an_older_store_leaves_nothing_when_the_import_fails(desk: Callable[..., Desk], older: Path) -> None:
    here = desk(older)
    store = {"use": "older_archive", "id": "packed", "with": {"directory": "./packed"}}
    other = {"use": "file", "id": "blocked", "with": {"directory": "./disk.raw"}}
    report = here.run(here.pipeline(stores=[store, other]))
    assert report["status"] == "failure"
    assert list((here.folder / "packed").glob("*")) == []


def test_the_author_of_an_older_store_is_warned() -> None:
    with pytest.warns(DeprecationWarning) as caught:
        declare_older_store()
    texts = [str(warning.message) for warning in caught]
    assert [text.partition(" uses ")[2] for text in texts] == [
        "Store.close(copy), deprecated since imageport 0.1 and removed in 0.3: name the method 'finish'",
        "Store.failures, deprecated since imageport 0.1 and removed in 0.3: "
        "list the errors in 'errors', each with its remedy, or \"\" for none",
    ]
    assert {warning.filename for warning in caught} == {__file__}


def declare_older_store() -> type[Store[Any, Any]]:
    class Older(Store[Any, Any]):
        """A store with the names of the first contract."""

        failures = (OSError, EOFError)

        def close(self, copy: object) -> None:  # type: ignore[override]
            """End the copy."""

    return Older


def release(version: str) -> tuple[int, int]:
    """Return the first two numbers of *version*."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


@pytest.mark.parametrize("record", DEPRECATIONS, ids=lambda record: record.name)
def test_what_is_deprecated_goes_in_the_release_that_was_announced(record: Deprecation) -> None:
    here = release(importlib.metadata.version("imageport"))
    assert here < release(record.removed_in), (
        f"{record.name} was to be removed in {record.removed_in}: remove it now"
    )
    assert release(record.since) <= here
    assert release(record.removed_in) >= (release(record.since)[0], release(record.since)[1] + 2)


@pytest.mark.parametrize("record", DEPRECATIONS, ids=lambda record: record.name)
def test_the_page_about_compatibility_lists_what_is_deprecated(record: Deprecation) -> None:
    page = (REPOSITORY / "docs/explanation/compatibility.md").read_text()
    assert f"| `{record.name}` | {record.since} | {record.removed_in} | {record.instead} |" in page


def test_the_packages_of_this_repository_state_a_contract_that_fits() -> None:
    for file in [
        *REPOSITORY.glob("contrib/*/pyproject.toml"),
        *REPOSITORY.glob("docs/tutorial/*/pyproject.toml"),
    ]:
        stated = tomllib.loads(file.read_text())["project"]["entry-points"].get("imageport.contract", {})
        assert stated, file
        assert misfit(tuple(stated), file.parent.name) is None, file
