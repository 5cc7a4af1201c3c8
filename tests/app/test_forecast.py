"""``imageport plan`` shows scratch data and speed for real pipelines and files."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imageport import Context, Image, NoConfig, Plugin, hookimpl
from imageport.app.forecast import forecast
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site import Site
from imageport.errors import StepCrashed
from imageport.importing.plan import Plan, make_plan
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry

GIB = 1 << 30
CONVERTED = "[{use: image_decompression}, {use: image_conversion, with: {output_format: vmdk}}]"

Make = Callable[..., Plan]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.model_validate({"staging": {"directory": tmp_path / "not there yet" / "staging"}})


@pytest.fixture
def plan(tmp_path: Path, site: Site) -> Make:
    def make(
        source: str | Path | None, steps: str = "[]", *, method: str = "glance-direct", more: str = ""
    ) -> Plan:
        stores = [
            f"{{use: file, id: {name}, with: {{directory: {tmp_path / name}}}}}" for name in ("one", "two")
        ]
        file = tmp_path / "p.yaml"
        file.write_text(
            f"name: p\nsource: {{use: {method}}}\nsteps: {steps}\nstores: [{', '.join(stores)}]\n{more}\n"
        )
        uri = None if source is None else str(source)
        return make_plan(load_pipeline(file, site=site, registry=PluginRegistry.installed(), source_uri=uri))

    return make


@pytest.fixture
def qcow2(tmp_path: Path) -> Path:
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(3 * GIB)], check=True)
    return path


def _needs(described: dict[str, Any]) -> list[tuple[str | None, str, int | None, bool]]:
    return [
        (need["step"], need["what"], need["size"], need["certain"]) for need in described["scratch"]["needs"]
    ]


def _taken(path: Path) -> int:
    return min(path.stat().st_size, path.stat().st_blocks * 512)


def test_a_pipeline_that_streams_needs_no_scratch_data(plan: Make, site: Site, qcow2: Path) -> None:
    scratch = forecast(plan(qcow2, "[{use: no_op}]"), site)["scratch"]
    assert (scratch["needs"], scratch["at_most"], scratch["fits"]) == ([], 0, True)
    assert scratch["free"] > 0
    assert not site.staging.directory.exists()


def test_the_size_of_a_local_image_and_of_the_disk_in_it_are_known(
    plan: Make, site: Site, qcow2: Path
) -> None:
    described = forecast(plan(qcow2, CONVERTED), site)
    assert _needs(described) == [
        ("image_conversion", "the source", _taken(qcow2), False),
        ("image_conversion", "the virtual size of its disk", 3 * GIB, False),
    ]
    assert described["scratch"]["at_most"] == _taken(qcow2) + 3 * GIB


def test_what_is_in_an_archive_is_not_known(plan: Make, site: Site, qcow2: Path) -> None:
    packed = qcow2.with_suffix(".xz")
    packed.write_bytes(lzma.compress(qcow2.read_bytes()))
    described = forecast(plan(packed, CONVERTED), site)
    assert _needs(described) == [
        ("image_decompression", "the source", _taken(packed), False),
        ("image_conversion", "the result of image_decompression", None, False),
        ("image_conversion", "the virtual size of its disk", None, False),
    ]
    assert (described["scratch"]["at_most"], described["scratch"]["fits"]) == (None, None)


def test_a_remote_source_is_reported_in_its_own_terms(plan: Make, site: Site) -> None:
    remote = plan("https://example.org/x", "[{use: no_op}, {use: image_conversion}]", method="web-download")
    assert _needs(forecast(remote, site)) == [("image_conversion", "the source", None, False)]


def test_an_image_that_every_step_lets_pass_needs_no_scratch_data(
    plan: Make, site: Site, tmp_path: Path
) -> None:
    iso = tmp_path / "disk.iso"
    iso.write_bytes(bytes(32 << 10) + b"\x01CD001\x01" + bytes(64 << 10))
    assert _needs(forecast(plan(iso, CONVERTED), site)) == []


def test_what_is_in_staging_already_is_not_written_again(plan: Make, site: Site, qcow2: Path) -> None:
    staged = forecast(plan(qcow2, CONVERTED, more="staging: file"), site)
    assert _needs(staged) == [
        (None, "the source", _taken(qcow2), True),
        ("image_conversion", "the virtual size of its disk", 3 * GIB, False),
    ]


def test_a_pipeline_that_only_streams_writes_nothing(plan: Make, site: Site, qcow2: Path) -> None:
    assert _needs(forecast(plan(qcow2, CONVERTED, more="staging: stream"), site)) == []


def test_more_than_fits_is_reported(plan: Make, site: Site, tmp_path: Path) -> None:
    huge = tmp_path / "huge.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", huge, "1024T"], check=True
    )
    assert forecast(plan(huge, CONVERTED), site)["scratch"]["fits"] is False


@pytest.mark.parametrize(
    ("limit", "more", "certain"), [(1, "", True), (0, "all_stores_must_succeed: false", False)]
)
def test_stores_that_come_later_need_the_image_in_a_file(
    plan: Make, site: Site, qcow2: Path, limit: int, more: str, certain: bool
) -> None:
    site = site.model_copy(update={"limits": site.limits.model_copy(update={"max_parallel_stores": limit})})
    described = forecast(plan(qcow2, more=more), site)
    assert _needs(described) == [(None, "the source, for stores that come later", _taken(qcow2), certain)]


def test_a_source_that_is_not_there_is_no_matter_of_the_forecast(
    plan: Make, site: Site, tmp_path: Path
) -> None:
    for missing in (None, "-", tmp_path / "missing", tmp_path, "x" * 5000):
        assert forecast(plan(missing, more="staging: file"), site)["scratch"]["at_most"] is None


class _Encrypts(Plugin[NoConfig]):
    """Write another file, whatever comes."""

    reads = "file"
    writes = "file"

    def leaves_unchanged(self, head: bytes) -> bool:
        """Fail on images that begin with a zero."""
        return 1 // head[0] > 1

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        """Do nothing yet."""
        return image


def test_steps_of_others_are_described_by_their_facts(plan: Make, site: Site, qcow2: Path) -> None:
    bound = BoundStep.bind("encrypts", "acme 1.0", _Encrypts(NoConfig()))
    described = forecast(replace(plan(qcow2), steps=(bound,)), site)
    assert _needs(described) == [
        ("encrypts", "the source", _taken(qcow2), True),
        ("encrypts", "the result of encrypts", None, True),
    ]


def test_a_step_that_fails_when_it_is_asked_is_named(plan: Make, site: Site, tmp_path: Path) -> None:
    image = tmp_path / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    bound = BoundStep.bind("encrypts", "acme 1.0", _Encrypts(NoConfig()))
    with pytest.raises(StepCrashed, match="ZeroDivisionError in leaves_unchanged") as raised:
        forecast(replace(plan(image), steps=(bound,)), site)
    assert raised.value.where() == "step 'encrypts' (acme 1.0)"


def test_the_digests_of_the_site_are_measured(plan: Make, site: Site, qcow2: Path) -> None:
    bottleneck = forecast(plan(qcow2), site)["bottleneck"]
    assert list(bottleneck["digests"]) == ["md5", "sha512"]
    assert 1 << 20 < bottleneck["rate"] <= min(bottleneck["digests"].values())
    only = site.model_copy(update={"digests": ["sha256"]})
    assert list(forecast(plan(qcow2), only)["bottleneck"]["digests"]) == ["sha256"]
