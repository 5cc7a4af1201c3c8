"""A hostile package: each of its plugins breaks one promise, and one verdict names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.plugins.conftest import PACKAGES, desk, villain

if TYPE_CHECKING:
    from tests.plugins.conftest import Desk

__all__ = ["desk", "villain"]

#: The plugin, the clause that it breaks, and the reason.
SINS = {
    "forges-events": ("progress is that of the image", "sent events that are not its progress: check"),
    "never-announces": ("a copy is announced before", "the store never calls ctx.announce"),
    "leaks-a-secret": ("no secret is in errors", "a secret option is in an error, a location or a log"),
    "eats-memory": ("memory does not grow", "while it wrote 400 MiB"),
    "leaves-a-copy": ("a discarded copy leaves nothing", "this is left in the store: images/."),
    "writes-outside": ("an image passes", "scratch files are beside the work folder"),
    "exits-in-transform": ("an image passes", "SystemExit"),
    "interrupts-in-transform": ("an image passes", "KeyboardInterrupt"),
    "dies-in-transform": ("an image passes", "the plugin ended the process"),
    "passes-the-network-by": (
        "a network that the site refuses",
        "succeeded where SourceRejected is expected",
    ),
    "loads-much": ("the import of the module does no work", "sqlalchemy ("),
    "breaks-others": ("the import of the module does no work", "PluginRegistry.names"),
    "exits-at-import": ("", "cannot be imported: SystemExit: 0"),
    "interrupts-at-import": ("", "KeyboardInterrupt"),
    "hangs-in-validate-source": ("a source is accepted", "validate_source did not return within 1 s"),
    "hangs-in-setup": ("the size of a copy is right", "store_write did not return within 1 s"),
    "hangs-in-stage": ("the image is read whole", "stage did not return within 1 s"),
    "hangs-in-transform": ("an image passes", "transform did not return within 1 s"),
    "hangs-in-its-stream": ("an image passes", "its stream did not return within 1 s"),
    "hangs-in-store-write": ("the size of a copy is right", "store_write did not return within 1 s"),
    "hangs-in-publish": ("the size of a copy is right", "publish did not return within 1 s"),
    "hangs-in-discard": ("a discarded copy leaves nothing", "discard did not return within 1 s"),
    "hangs-in-store-read": ("the size of a copy is right", "store_read did not return within 1 s"),
    "hangs-in-store-delete": ("a copy that is gone", "store_delete did not return within 1 s"),
    "hangs-in-store-stat": ("the store reports what", "store_stat did not return within 1 s"),
    "hangs-in-store-list": ("the store lists", "store_list did not return within 1 s"),
    "hangs-in-on-progress": ("events come in any number", "on_progress did not return within 1 s"),
    "hangs-in-diagnose": ("findings are given", "diagnose did not return within 1 s"),
}


@pytest.fixture
def beset(desk: Callable[..., Desk], villain: Path) -> Desk:
    """A folder where the hostile package is installed."""
    return desk(villain)


@pytest.mark.parametrize("sin", SINS)
def test_a_sin_is_named_by_a_verdict(beset: Desk, sin: str) -> None:
    only, reason = SINS[sin]
    (beset.folder / "options.yaml").write_text("directory: images\n" if _is_store(sin) else "{}\n")
    patience = "1" if "hangs" in sin else "30"
    arguments = ("--options", "options.yaml", "--patience", patience, "--only", only, "--json")
    done = beset.imageport("plugins", "certify", sin, *arguments)
    assert done.exit_code == 1, done.stderr
    found = [clause["reason"] for clause in done.json["clauses"] if clause["verdict"] == "failed"]
    assert [given for given in found if reason in given], found
    assert "Traceback" not in done.stderr


def _is_store(sin: str) -> bool:
    return sin in {"forges-events", "never-announces", "leaks-a-secret", "eats-memory", "leaves-a-copy"} or (
        "store" in sin
        or sin in {"hangs-in-setup", "hangs-in-publish", "hangs-in-discard", "hangs-in-diagnose"}
    )


def test_every_plugin_of_the_package_is_here() -> None:
    text = (PACKAGES / "acme_villain/pyproject.toml").read_text().partition('"imageport.plugins"]\n')[2]
    plugins = {line.partition(" = ")[0] for line in text.splitlines() if " = " in line}
    assert plugins - {"hangs-at-import"} == {*SINS}


def test_an_unrelated_pipeline_is_not_disturbed(beset: Desk) -> None:
    pipeline = beset.pipeline("no_op")
    assert beset.imageport("validate", pipeline).stdout == f"{pipeline}: ok\n"
    report = beset.run(pipeline)
    assert report["status"] == "success"
    assert "acme" not in json.dumps(report)
    assert beset.imageport("gc").exit_code == 0


@pytest.mark.parametrize("sin", ["exits-in-transform", "writes-outside"])
def test_an_import_with_such_a_step_fails_alone_and_the_next_one_succeeds(beset: Desk, sin: str) -> None:
    report = beset.run(beset.pipeline(sin))
    assert report["status"] == ("failure" if sin == "exits-in-transform" else "success")
    if sin == "exits-in-transform":
        assert report["error"]["step"] == "exits-in-transform"
        assert "acme-villain 6.6" in json.dumps(report["error"])
        assert beset.files() == []
    assert beset.run(beset.pipeline("no_op"))["status"] == "success"
