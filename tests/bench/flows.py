"""Imports through the command, each in a separate folder with a new catalog and empty stores."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.inputs import Inputs
from tests.bench.measuring import BenchFailed, Cost, measure

IMAGEPORT = Path(sys.executable).with_name("imageport")
DEFAULT_DIGESTS = ("md5", "sha512")

#: Where the image is, on disk and on the web.
Source = Callable[[Inputs, str], str]


def downloaded(image: str) -> Source:
    """Return the url of the input called *image*."""
    return lambda inputs, url: f"{url}/{getattr(inputs, image).name}"


def local(image: str) -> Source:
    """Return the path of the input called *image*."""
    return lambda inputs, url: str(getattr(inputs, image))


@dataclass(frozen=True)
class Flow:
    """One import: *method* and *steps* bring the image from *source* into so many *stores*.

    Without *source* the raw disk is *staged*, or stored in another store and copied, before the clock starts.
    With *at_once*, as many commands run at the same time, each with a separate catalog and stores.
    """

    title: str
    method: str
    source: Source | None = None
    steps: Sequence[str] = ()
    stores: int = 1
    disk_format: str = "raw"
    staged: bool = False
    digests: Sequence[str] = DEFAULT_DIGESTS
    at_once: int = 1

    @property
    def targets(self) -> list[str]:
        """The stores that are written while the clock runs."""
        return [f"store{number}" for number in range(1, self.stores + 1)]


WEB_1 = Flow("web-download raw to 1 store", "web-download", downloaded("raw"))
WEB_3 = Flow("web-download raw to 3 stores", "web-download", downloaded("raw"), stores=3)
CONVERTED = Flow(
    "web-download qcow2, converted to raw, to 3 stores",
    "web-download", downloaded("qcow2"), ("image_conversion",), stores=3, disk_format="qcow2",
)  # fmt: skip
UNPACKED = Flow(
    "web-download raw.gz, unpacked, to 1 store",
    "web-download", downloaded("gzip"), ("image_decompression",),
)  # fmt: skip
COPIED = Flow("copy-image to 2 more stores", "copy-image", stores=2)
STAGED = Flow("glance-direct, staged before, to 1 store", "glance-direct", staged=True)
FROM_FILE = Flow("glance-direct from a user's file to 1 store", "glance-direct", local("raw"))
WEB_1_SHA512 = Flow(
    "web-download raw to 1 store, sha512 only", "web-download", downloaded("raw"), digests=("sha512",)
)
WEB_3_SHA512 = Flow(
    "web-download raw to 3 stores, sha512 only",
    "web-download", downloaded("raw"), stores=3, digests=("sha512",),
)  # fmt: skip
PROCESSORS = len(os.sched_getaffinity(0))
WEB_BUSY = Flow(
    "web-download raw to 1 store, one for each processor at once",
    "web-download", downloaded("raw"), at_once=PROCESSORS,
)  # fmt: skip
WEB_BUSY_SHA512 = Flow(
    "web-download raw to 1 store, one for each processor at once, sha512 only",
    "web-download", downloaded("raw"), digests=("sha512",), at_once=PROCESSORS,
)  # fmt: skip
WEB_8 = Flow("web-download raw to 8 stores", "web-download", downloaded("raw"), stores=8)
HUGE_1 = Flow("glance-direct from a sparse file to 1 store", "glance-direct", local("huge"))
HUGE_8 = Flow("glance-direct from a sparse file to 8 stores", "glance-direct", local("huge"), stores=8)

#: The flows of the table.
FLOWS = (
    WEB_1, WEB_3, CONVERTED, UNPACKED, COPIED, STAGED, FROM_FILE, WEB_1_SHA512, WEB_3_SHA512, WEB_BUSY, WEB_BUSY_SHA512,
)  # fmt: skip


def run_flow(flow: Flow, inputs: Inputs, url: str, folder: Path) -> Cost:
    """Return what *flow* costs in an empty *folder*; *url* serves the *inputs*. Raises ``BenchFailed``."""
    folders = [folder / str(number) for number in range(flow.at_once)] if flow.at_once > 1 else [folder]
    begun = []
    for each in folders:
        each.mkdir(exist_ok=True)
        begun.append(begin_flow(flow, inputs, url, each))

    def run(number: int) -> Cost:
        arguments, environment = begun[number]
        return measure([IMAGEPORT, *arguments], folders[number], environment=environment)

    with ThreadPoolExecutor(len(folders)) as threads:
        costs = list(threads.map(run, range(len(folders))))
    for each in folders:
        for store in flow.targets:
            if not copies(each / store):
                raise BenchFailed(f"{flow.title}: nothing is in {store}")
    return Cost.together(costs)


def begin_flow(flow: Flow, inputs: Inputs, url: str, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
    """Do what comes before the import; return the arguments of the command that imports, and its environment."""
    environment = prepare(folder, flow)
    _before(flow, inputs, folder, environment)
    if flow.source is not None:
        source = [flow.source(inputs, url), "--name", "disk", "--disk-format", flow.disk_format]
    else:
        source = ["--image", "disk", "--role", "admin"]
    targets = [word for store in flow.targets for word in ("--store", store)]
    return ["run", "flow.yaml", *source, *targets, "--quiet"], environment


def prepare(folder: Path, flow: Flow) -> Mapping[str, str]:
    """Write the site and the pipeline of *flow* to *folder*; return the environment for the command."""
    site = {
        "catalog": "sqlite:///catalog.db",
        "staging": {"directory": "staging"},
        "network": {"allow_networks": ["127.0.0.0/8"]},
        "digests": list(flow.digests),
        "stores": [
            {"use": "file", "id": store, "with": {"directory": store}} for store in ["store0", *flow.targets]
        ],
        "default_store": "store0",
    }
    pipeline = {
        "name": "flow",
        "source": {"use": flow.method},
        "steps": [{"use": step} for step in flow.steps],
    }
    (folder / "imageport.yaml").write_text(json.dumps(site))
    (folder / "flow.yaml").write_text(json.dumps(pipeline))
    (folder / "direct.yaml").write_text(json.dumps({"name": "direct", "source": {"use": "glance-direct"}}))
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}


def _before(flow: Flow, inputs: Inputs, folder: Path, environment: Mapping[str, str]) -> None:
    """Do what has to be done before the import that is measured."""
    commands: list[list[str | Path]] = []
    if flow.staged:
        formats = ["--disk-format", "raw", "--container-format", "bare"]
        commands.append(["images", "create", "--name", "disk", *formats])
        commands.append(["images", "stage", "disk", inputs.raw])
    elif flow.source is None:
        commands.append(
            ["run", "direct.yaml", inputs.raw, "--name", "disk", "--disk-format", "raw", "--quiet"]
        )
    for command in commands:
        measure([IMAGEPORT, *command], folder, environment=environment)


def copies(store: Path) -> list[Path]:
    """Return the published images in a file store."""
    return [path for path in store.glob("*") if path.is_file() and not path.name.startswith(".")]
