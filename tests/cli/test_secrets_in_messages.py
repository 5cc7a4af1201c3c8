"""Secrets from the environment or from files are in no log line and in no error of any command."""

from __future__ import annotations

import pytest
from tests.cli.command_line import CommandLine

SITE = """
network: {allow_networks: [127.0.0.0/8]}
observers: [{use: notifications, with: {url: "{env.WEBHOOK}"}}]
"""


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["as usual", "with --debug"])
@pytest.mark.parametrize("command", [["images", "create"], ["run", "p.yaml", "disk.raw"]], ids=" ".join)
def test_warnings_about_a_webhook_do_not_show_its_address(
    cli: CommandLine, command: list[str], debug: list[str]
) -> None:
    (cli.folder / "imageport.yaml").write_text(SITE)
    cli.environ["WEBHOOK"] = "http://127.0.0.1:1/services/correct-horse"
    done = cli(*debug, *command)
    assert "observer 'notifications' (imageport 0.1.0) failed" in done.err
    assert "*** could not be reached" in done.err
    assert "horse" not in done.out + done.err


@pytest.mark.parametrize("debug", [[], ["--debug"]], ids=["as usual", "with --debug"])
def test_errors_do_not_show_the_catalog(cli: CommandLine, debug: list[str]) -> None:
    (cli.folder / "imageport.yaml").write_text('catalog: "sqlite:///{env.FOLDER}/catalog.db"\n')
    cli.environ["FOLDER"] = "disk.raw/correct-horse"
    done = cli(*debug, "images", "list", code=2)
    assert "***" in done.err
    assert "horse" not in done.out + done.err
