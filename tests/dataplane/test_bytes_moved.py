"""Bytes are counted where they cross into the kernel: each is read once and written once per store, zeros never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.bench.file_server import serving
from tests.bench.flows import (
    CONVERTED,
    COPIED,
    FROM_FILE,
    IMAGEPORT,
    STAGED,
    UNPACKED,
    WEB_1,
    WEB_3,
    Flow,
    begin_flow,
    copies,
)
from tests.bench.inputs import MIB, Inputs
from tests.dataplane.traced import Moved, trace

from imageport.testing.command import sha512

#: Bytes of the disk, and of them those that are not zero.
SIZE, DATA = 16 * MIB, 8 * MIB
#: Bytes beside those of the image: heads of HTTP, looks at the beginning of a file, tables of qcow2, which are followed
#: before QEMU follows them.
ASIDE = MIB


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    inputs = Inputs.of_size(tmp_path_factory.mktemp("inputs"), SIZE)
    inputs.make()
    return inputs


@pytest.fixture(scope="module")
def url(inputs: Inputs) -> Iterator[str]:
    with serving(inputs.folder) as url:
        yield url


@dataclass(frozen=True)
class Done:
    """What *moved* in an import in *folder*, and the stores that it wrote."""

    folder: Path
    moved: Moved
    stores: list[Path]


Run = Callable[[Flow], Done]


@pytest.fixture
def run(inputs: Inputs, url: str, tmp_path: Path) -> Run:
    """Return a function that runs a flow below strace, and checks what is in its stores."""

    def run_traced(flow: Flow) -> Done:
        folder, traces = tmp_path / "site", tmp_path / "traces"
        folder.mkdir()
        traces.mkdir()
        arguments, environment = begin_flow(flow, inputs, url, folder)
        moved = trace([IMAGEPORT, *arguments], folder, environment, traces)
        stores = [folder / store for store in flow.targets]
        for store in stores:
            [copy] = copies(store)
            assert sha512(copy) == sha512(inputs.raw)
        return Done(folder, moved, stores)

    return run_traced


@pytest.mark.parametrize("flow", [WEB_1, WEB_3, UNPACKED], ids=lambda flow: flow.title)
def test_a_download_is_received_once_and_written_once_to_each_store(
    flow: Flow, inputs: Inputs, run: Run
) -> None:
    done = run(flow)
    sent = inputs.gzip.stat().st_size if flow is UNPACKED else SIZE
    assert sent <= done.moved.read_from("TCP:") <= sent + ASIDE
    _written_once_and_never_read(done)
    assert _through(done, "staging") == (0, 0)


def test_a_download_that_is_converted_is_on_disk_once_before_it_is_in_the_stores(
    inputs: Inputs, run: Run
) -> None:
    done = run(CONVERTED)
    size = inputs.qcow2.stat().st_size
    assert size <= done.moved.read_from("TCP:") <= size + ASIDE
    read, written = _through(done, "staging")
    assert DATA <= read <= size + ASIDE
    assert written <= size
    _written_once_and_never_read(done)


def test_a_file_of_the_user_is_read_once(inputs: Inputs, run: Run) -> None:
    done = run(FROM_FILE)
    assert SIZE <= done.moved.read_from(inputs.raw) <= SIZE + ASIDE
    assert done.moved.written_to(inputs.folder) == 0
    _written_once_and_never_read(done)
    assert _through(done, "staging") == (0, 0)


def test_staged_data_is_read_once_and_not_written_again(run: Run) -> None:
    done = run(STAGED)
    [store] = done.stores
    # The store moves the file to its own folder, while it is read or afterwards.
    places = (done.folder / "staging", store)
    assert DATA <= sum(map(done.moved.read_from, places)) <= DATA + ASIDE
    assert sum(map(done.moved.written_to, places)) == 0
    assert list((done.folder / "staging").rglob("*.raw")) == []


def test_a_copy_is_read_once_and_written_once_to_each_further_store(run: Run) -> None:
    done = run(COPIED)
    assert DATA <= done.moved.read_from(done.folder / "store0") <= DATA + ASIDE
    assert done.moved.written_to(done.folder / "store0") == 0
    _written_once_and_never_read(done)
    assert _through(done, "staging") == (0, 0)


def _written_once_and_never_read(done: Done) -> None:
    for store in done.stores:
        assert (done.moved.read_from(store), done.moved.written_to(store)) == (0, DATA)


def _through(done: Done, name: str) -> tuple[int, int]:
    return done.moved.read_from(done.folder / name), done.moved.written_to(done.folder / name)
