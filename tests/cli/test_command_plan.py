"""``imageport plan`` shows which stores can take the image, what they need, and the scratch data to the byte."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine
from tests.noise import noise
from tests.plugin_folder import PluginFolder

STORES = """
    from pathlib import Path

    from imageport import Location, NoConfig, Plugin, PluginConfig, hookimpl
    from imageport.values import Finding, StagedCopy, StoreCapabilities


    class Base(Plugin[NoConfig]):
        '''Keep nothing.'''

        @hookimpl
        def store_write(self, image, ctx):
            location = Location(url=f"acme:{ctx.step}/{image.record.id}")
            ctx.announce(location)
            ctx.spool(image.data)
            files = [file.stat().st_blocks * 512 for file in ctx.work_folder.iterdir()]
            Path(f"{ctx.step}.measured").write_text(str(sum(files)))
            return StagedCopy(location, image.data.size, lambda: None, lambda: None)

        @hookimpl
        def store_delete(self, location): ...


    class Seeking(Base):
        capabilities = StoreCapabilities(wants_file=True)


    class Volumes(Base):
        capabilities = StoreCapabilities(formats=frozenset({"raw", "iso"}), largest=16 << 20, alignment=512)


    class Sized(Base):
        capabilities = StoreCapabilities(needs_size=True)


    class Broken(Base):
        @hookimpl
        def diagnose(self, ctx):
            print("this does not belong to the answer")
            yield Finding("warning", "the key is old", "change it soon")
            yield Finding("error", "the bucket is missing", "create it")


    class Full(Base):
        @hookimpl
        def diagnose(self):
            yield Finding("ok", "reachable", free=1000)
"""
NAMES = ("seeking", "volumes", "sized", "broken", "full")
PAGE = Path(__file__).parents[2] / "docs/reference/plan.md"
WHOLE = noise(1 << 20)


@pytest.fixture
def site(cli: CommandLine, plugin_folder: PluginFolder) -> Iterator[CommandLine]:
    plugin_folder.install(
        "acme", {name: f"acme_stores:{name.title()}" for name in NAMES}, {"acme_stores": STORES}
    )
    with cli.image.open("wb") as disk:
        disk.write(WHOLE)
        disk.truncate(4 << 20)
    yield cli


def pipeline(cli: CommandLine, *stores: str, steps: str = "[]", more: str = "") -> str:
    entries = [
        {"use": "file", "id": "plain", "with": {"directory": "plain"}} if name == "plain" else {"use": name}
        for name in stores
    ]
    text = f"name: p\nsource: {{use: glance-direct}}\nsteps: {steps}\nstores: {json.dumps(entries)}\n{more}\n"
    (cli.folder / "p.yaml").write_text(text)
    return "p.yaml"


def qcow2(folder: Path) -> str:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "disk.qcow2", "8M"], check=True)
    return "disk.qcow2"


def store(plan: dict[str, Any], label: str) -> dict[str, Any]:
    return next(store for store in plan["stores"] if store["label"] == label)


def test_capabilities_and_findings_of_each_store_are_shown(site: CommandLine) -> None:
    name = pipeline(site, "volumes", "seeking", "sized", "plain")
    shown = site.inside("plan", name, "disk.raw").out
    assert "      takes the formats iso, raw\n" in shown
    assert "      takes sizes that are a multiple of 512 bytes\n      takes at most 16.0 MiB\n" in shown
    assert "      takes the image from a file\n" in shown
    assert "      takes images whose size is known\n" in shown
    assert "REFUSED" not in shown
    plan = site.inside("plan", name, "disk.raw", "--json").json
    assert store(plan, "volumes")["capabilities"]["formats"] == ["iso", "raw"]
    assert store(plan, "volumes")["findings"] == []
    assert [finding["severity"] for finding in store(plan, "plain")["findings"]] == ["ok"]
    assert plan["refusal"] is None


def test_capabilities_are_shown_with_the_plugin_and_the_store(site: CommandLine) -> None:
    for shown in (
        site.inside("plugins", "show", "volumes").out,
        site.inside("stores", "show", "volumes", "--pipeline", pipeline(site, "volumes")).out,
    ):
        assert "capabilities  takes the formats iso, raw\n" in shown
        assert "takes at most 16.0 MiB\n" in shown
    assert site.inside("plugins", "show", "seeking", "--json").json["capabilities"]["wants_file"] is True
    assert site.inside("plugins", "show", "checksum", "--json").json["capabilities"] is None


def test_a_store_that_is_not_ready_is_shown_and_decides_the_exit_code(site: CommandLine) -> None:
    name = pipeline(site, "broken", "plain")
    done = site.inside("plan", name, "disk.raw", code=6)
    assert "      warning: the key is old; change it soon\n" in done.out
    assert "      error: the bucket is missing; create it\n" in done.out
    assert "THE IMPORT WOULD BE REFUSED: store 'broken': the bucket is missing; create it\n" in done.out
    assert "does not belong" not in done.out
    plan = site.inside("plan", name, "disk.raw", "--json", code=6).json
    assert plan["refusal"] == {
        "exit_code": 6, "store": "broken", "message": "the bucket is missing", "hint": "create it",
    }  # fmt: skip
    # And so it is.
    assert "the bucket is missing" in site.inside("run", name, "disk.raw", code=6).err


def test_a_store_that_may_fail_does_not_decide_the_exit_code(site: CommandLine) -> None:
    name = pipeline(site, "broken", "plain", more="all_stores_must_succeed: false")
    plan = site.inside("plan", name, "disk.raw", "--json").json
    assert plan["refusal"] is None
    assert store(plan, "broken")["refused"] == {"message": "the bucket is missing", "hint": "create it"}
    assert store(plan, "plain")["refused"] is None


def test_what_is_known_of_a_local_file_is_compared_with_what_stores_take(site: CommandLine) -> None:
    shown = site.inside("plan", pipeline(site, "volumes", "plain"), qcow2(site.folder), code=6).out
    assert "REFUSES THE IMAGE: the store accepts iso or raw, and the image is qcow2; add a step" in shown
    for output, code in (("raw", 0), ("vmdk", 6)):
        steps = f"[{{use: image_conversion, with: {{output_format: {output}}}}}]"
        site.inside("plan", pipeline(site, "volumes", steps=steps), "disk.qcow2", code=code)
    # What the conversion makes is known without the source.
    assert "iso or vmdk" not in site.inside("plan", pipeline(site, "volumes", steps=steps)).out
    with site.image.open("r+b") as disk:
        disk.truncate(17 << 20)
    assert "at most 16.0 MiB" in site.inside("plan", pipeline(site, "volumes"), "disk.raw", code=6).out
    with site.image.open("r+b") as disk:
        disk.truncate((4 << 20) + 1)
    assert "a multiple of 512 bytes" in site.inside("plan", pipeline(site, "volumes"), "disk.raw", code=6).out
    assert "room for 1000 B" in site.inside("plan", pipeline(site, "full"), "disk.raw", code=6).out


@pytest.mark.parametrize("more", ["", "staging: file", "all_stores_must_succeed: false"])
@pytest.mark.parametrize("at_once", [0, 1])
@pytest.mark.parametrize("stores", [("seeking", "plain"), ("seeking", "sized", "plain")])
def test_the_forecast_is_what_is_written(
    site: CommandLine, stores: tuple[str, ...], at_once: int, more: str
) -> None:
    (site.folder / "imageport.yaml").write_text(f"limits: {{max_parallel_stores: {at_once}}}\n")
    site.environ["IMAGEPORT_CONFIG"] = str(site.folder / "imageport.yaml")
    name = pipeline(site, *stores, more=more)
    scratch = site.inside("plan", name, "disk.raw", "--json").json["scratch"]
    assert all(need["certain"] for need in scratch["needs"])
    site.inside("run", name, "disk.raw", "--quiet")
    measured = {int(file.read_text()) for file in site.folder.glob("*.measured")}
    assert measured == {scratch["at_most"]} == {len(WHOLE)}


def _keys(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return the keys of all objects in *value*, each with the place of its object."""
    if isinstance(value, list):
        for item in value:
            yield from _keys(item, f"{path}[]")
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield path, key
            # The keys of these are names: of options, digests and limits.
            if key not in ("options", "digests", "limits", "deadlines"):
                yield from _keys(inner, f"{path}.{key}".lstrip("."))


def _described() -> Iterator[tuple[str, str]]:
    """Return the keys on the page of the reference, each with the place of its object."""
    place = ""
    for line in PAGE.read_text().splitlines():
        if match := re.match(r"## (?:`(.*)`|Keys)$", line):
            place = match[1] or ""
        elif match := re.match(r"\| `(\w+)` \|", line):
            yield place, match[1]


def test_every_key_is_described_and_every_description_is_of_a_key(site: CommandLine) -> None:
    steps = "[{use: image_conversion}]"
    more = "observers: [{use: log}]"
    plans = [
        site.any_end(
            "plan", pipeline(site, "broken", "volumes", steps=steps, more=more), source, "--json"
        ).json
        for source in (qcow2(site.folder), "disk.raw")
    ]
    found = {pair for plan in plans for pair in _keys(plan)}
    assert found == set(_described())
