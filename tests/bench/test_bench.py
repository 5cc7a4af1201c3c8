"""The harness of ``make bench``, with images of a few MiB: it measures what it says, and every import is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.file_server import serving
from tests.bench.flows import FLOWS, Flow, copies, run_flow
from tests.bench.inputs import MIB, Inputs
from tests.bench.yardsticks import YARDSTICKS, run_yardstick
from tests.command import sha512


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    inputs = Inputs.of_size(tmp_path_factory.mktemp("inputs"), 4 * MIB)
    inputs.make()
    return inputs


@pytest.fixture(scope="module")
def url(inputs: Inputs) -> Iterator[str]:
    with serving(inputs.folder) as url:
        yield url


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.title)
def test_every_flow_brings_the_disk_to_every_store(
    flow: Flow, inputs: Inputs, url: str, tmp_path: Path
) -> None:
    assert run_flow(flow, inputs, url, tmp_path).seconds > 0
    for store in flow.targets:
        [copy] = copies(tmp_path / store)
        assert sha512(copy) == sha512(inputs.raw)


@pytest.mark.parametrize("name", YARDSTICKS)
def test_every_yardstick_handles_the_whole_disk(name: str, inputs: Inputs, url: str, tmp_path: Path) -> None:
    run_yardstick(name, inputs, url, tmp_path)
    for copy in tmp_path.iterdir():
        assert sha512(copy) == sha512(inputs.raw)
