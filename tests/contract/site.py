"""A site as the contract describes it: stores s1 (default), s2 and s3, a read-only http store w, and a web server.

::

    def test_022_a_download_becomes_active(site: Site) -> None:
        image = site.create(disk_format="raw")
        done = site.run(site.server.publish("/disk", BODY), image=image, stores=["s1", "s2"])
        assert done.code == 0
        assert done.image["status"] == "active"          # the record afterwards, as 'images show' prints it
        assert site.stored() == {"s1": {image: BODY}, "s2": {image: BODY}}

        site.trouble("s2", "middle")                     # see packages/troubled for what can break
        site.configure(limits={"image_size_cap": "1 MiB"})
        running = site.start(url, stores=["s1", "s3"])   # a separate process
        running.until("image.prepare")
        done = running.finish()
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imageport.testing.command import Finished, RunImageport
from imageport.testing.forked import Forked
from imageport.testing.http_server import HttpServer

#: Where pip would have put the store that gets into trouble.
PACKAGE = Path(__file__).with_name("packages") / "troubled"

WRITABLE = ("s1", "s2", "s3")


def step(use: str, **options: Any) -> dict[str, Any]:
    """Return an entry of a pipeline."""
    return {"use": use, "with": options} if options else {"use": use}


@dataclass(frozen=True)
class Outcome:
    """The output of an import, and the records in the catalog afterwards."""

    code: int
    events: list[dict[str, Any]]
    report: dict[str, Any]
    image: dict[str, Any]
    task: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        """The error of the report; that there is none fails the test."""
        found = self.report["error"]
        assert isinstance(found, dict), "the import did not fail"
        return found

    @property
    def lists(self) -> tuple[str | None, str | None]:
        """The stores that are being imported to, and those that failed, as the record has them."""
        properties = self.image["properties"]
        return properties.get("os_glance_importing_to_stores"), properties.get("os_glance_failed_import")

    @property
    def checks(self) -> list[tuple[str, str]]:
        """The checks of the source in the report, with their verdicts."""
        return [(check["name"], check["verdict"]) for check in self.report["source"]["checks"]]


@dataclass(frozen=True)
class Running:
    """An import in a separate process."""

    site: Site
    process: Forked
    lines: list[dict[str, Any]] = field(default_factory=list)

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Wait for an event of this *kind* with these *fields*, and return it."""
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            self.lines.append(event)
            if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                return event
        raise AssertionError(f"the import ended without {kind} {fields}: {self.lines[-1:]}")

    def kill(self) -> None:
        """End the process as a crash does, unless it has ended."""
        self.process.kill()
        self.process.finish()

    def finish(self) -> Outcome:
        """Wait for the end, and return what came of it."""
        done = self.process.finish()
        lines = [*self.lines, *map(json.loads, done.stdout.splitlines())]
        return self.site.outcome(done.exit_code, lines, done.stderr)


@dataclass
class Site:
    """A working folder with a site file, a catalog, staging, stores and a web server; and the real command in it."""

    command: RunImageport
    server: HttpServer
    settings: dict[str, Any] = field(default_factory=dict)
    stores: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.settings = {
            "catalog": "sqlite:///catalog.db",
            "staging": {"directory": "staging"},
            "network": {"allow_networks": ["127.0.0.0/8"]},
            "default_store": "s1",
            "observers": [step("notifications", path="notifications.jsonl")],
        }
        self.stores = {name: step("file", directory=name) for name in WRITABLE} | {"w": step("http")}
        self.configure()

    @property
    def folder(self) -> Path:
        """The folder that relative paths belong to."""
        return self.command.folder

    # ------------------------------------------------------------------------------------------ the site file

    def configure(self, **settings: Any) -> None:
        """Write the site file again, with these *settings* replaced; None removes one."""
        self.settings = {
            name: value for name, value in {**self.settings, **settings}.items() if value is not None
        }
        stores = [{**entry, "id": name} for name, entry in self.stores.items()]
        (self.folder / "imageport.yaml").write_text(json.dumps({**self.settings, "stores": stores}))

    def trouble(self, store: str, *faults: str, waits: bool = False) -> None:
        """Make *store* fail at the points in *faults*, or not at all; with *waits* it takes no data before ``let_go``.

        Copies remember how they were written, so for those it is ``repair`` that ends the trouble.
        """
        repaired = self.folder / f"{store}.repaired"
        repaired.unlink(missing_ok=True)
        options: dict[str, Any] = {
            "directory": store,
            "faults": list(faults),
            "repaired": str(repaired),
            "journal": str(self.folder / "journal"),
        }
        if waits:
            options["wait_for"] = str(self.folder / f"{store}.go")
        self.stores[store] = step("troubled", **options)
        self.configure()

    def repair(self, store: str) -> None:
        """End the trouble of a store, also for the copies that it has."""
        (self.folder / f"{store}.repaired").touch()

    def let_go(self, store: str) -> None:
        """Let a store that waits go on."""
        (self.folder / f"{store}.go").touch()

    def journal(self) -> list[str]:
        """Return when stores in trouble began and ended writing: ``begin s1``, ``end s1``."""
        path = self.folder / "journal"
        return path.read_text().splitlines() if path.exists() else []

    def program(self, name: str, script: str) -> None:
        """Let a shell script take the place of a program; ``$real`` in it is that program."""
        real = shutil.which(name, path=self.path)
        folder = self.folder / "programs"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
        (folder / name).chmod(0o755)
        self.path = f"{folder}{os.pathsep}{self.path}"

    def without_programs(self) -> None:
        """Let no program be found."""
        self.path = str(self.folder / "no-programs")

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return self.command.environment["PATH"]

    @path.setter
    def path(self, folders: str) -> None:
        self.command = replace(self.command, environment={**self.command.environment, "PATH": folders})

    # --------------------------------------------------------------------------------------------- the command

    def imageport(self, *arguments: str | Path, code: int | None = 0) -> Finished:
        """Run the command; its exit code has to be *code*, unless that is None."""
        done = self.command.inside(*arguments)
        assert code in (None, done.exit_code), done.stderr + done.stdout
        return done

    def create(
        self, *options: str, disk_format: str | None = "raw", container_format: str | None = "bare"
    ) -> str:
        """Make a record and return its id."""
        formats = _options(disk_format=disk_format, container_format=container_format)
        return str(self.imageport("images", "create", *formats, *options, "--json").json["id"])

    def stage(self, image: str, content: bytes | Path, *options: str, code: int = 0) -> Finished:
        """Put *content* in staging."""
        return self.imageport("images", "stage", image, self.file(content), *options, code=code)

    def show(self, image: str) -> dict[str, Any]:
        """Return the record of *image*."""
        found: dict[str, Any] = self.imageport("images", "show", image, "--json").json
        return found

    def tasks(self, image: str) -> list[dict[str, Any]]:
        """Return the tasks of *image*, the newest first."""
        found: list[dict[str, Any]] = self.imageport("tasks", "list", "--image", image, "--json").json
        return found

    def run(self, source: str | Path | bytes | None = None, *options: str, **how: Any) -> Outcome:
        """Import; see ``arguments`` for *how*. Without a *source* it is what is staged."""
        done = self.imageport(*self.arguments(source, *options, **how), code=None)
        return self.outcome(
            done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr
        )

    def start(self, source: str | Path | bytes | None = None, *options: str, **how: Any) -> Running:
        """Import in a separate process."""
        process = Forked(self.arguments(source, *options, **how), self.folder, self.command.environment)
        process.stdin.close()
        self.running.append(Running(self, process))
        return self.running[-1]

    def close(self) -> None:
        """Kill what still runs."""
        for running in self.running:
            if running.process.returncode is None:
                running.kill()

    def arguments(
        self,
        source: str | Path | bytes | None,
        *options: str,
        method: str | Mapping[str, Any] | None = None,
        steps: Sequence[str | Mapping[str, Any]] = (),
        image: str | None = None,
        stores: Sequence[str] = (),
        all_stores: bool = False,
        must: bool = True,
        disk_format: str | None = None,
        container_format: str | None = None,
    ) -> list[str]:
        """Write the pipeline of an import and return the arguments of ``imageport`` that run it.

        A url is downloaded, a path or bytes are taken as a file, None is what was staged.
        """
        uri = source if isinstance(source, str) else str(self.file(source)) if source is not None else None
        usual = "web-download" if isinstance(source, str) else "glance-direct"
        pipeline = {
            "name": "contract",
            "source": _entry(method or usual),
            "steps": list(map(_entry, steps)),
            "all_stores_must_succeed": must,
        }
        name = f"pipeline-{len(list(self.folder.glob('pipeline-*')))}.yaml"
        (self.folder / name).write_text(json.dumps(pipeline))
        chosen = [argument for store in stores for argument in ("--store", store)]
        given = _options(image=image, disk_format=disk_format, container_format=container_format)
        everywhere = ["--all-stores"] if all_stores else []
        return ["run", name, *([uri] if uri else []), *given, *chosen, *everywhere, "--json", *options]

    def outcome(self, code: int, lines: list[dict[str, Any]], stderr: str) -> Outcome:
        """Return what came of an import that printed these *lines*."""
        assert lines, stderr
        *events, report = lines
        assert report["type"] == "report", stderr
        image, task = report["image"], report["task_id"]
        return Outcome(
            code,
            events,
            report,
            image=self._kept("images", image["id"]) if image else {},
            task=self._kept("tasks", task) if task else {},
        )

    def _kept(self, what: str, name: str) -> dict[str, Any]:
        """Return the record of an image or a task in the catalog, an empty one when there is none."""
        done = self.imageport(what, "show", name, "--json", code=None)
        return dict(done.json) if done.exit_code == 0 else {}

    # ------------------------------------------------------------------------------------------- what is there

    def file(self, content: bytes | Path) -> Path:
        """Return *content* as a file of the caller."""
        if isinstance(content, Path):
            return content
        path = self.folder / f"content-{len(list(self.folder.glob('content-*')))}"
        path.write_bytes(content)
        return path

    def stored(self) -> dict[str, dict[str, bytes]]:
        """Return every file in the stores that have any, hidden ones included."""
        found = {name: _files(self.folder / name) for name in WRITABLE}
        return {name: files for name, files in found.items() if files}

    def staged(self) -> list[str]:
        """Return what is in staging, but for empty folders."""
        return sorted(_files(self.folder / "staging"))

    def notifications(self, name: str = "notifications.jsonl") -> list[dict[str, Any]]:
        """Return what the observers were notified of in the file *name*, in order."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def location(self, store: str, image: str) -> str:
        """Return the url of a copy in a file store."""
        return f"file://{quote(str(self.folder / store / image))}"

    # ----------------------------------------------------------------------------------- what has to be so

    def assert_rolled_back(self, done: Outcome, failed: str = "") -> None:
        """Make sure that a failed import left a queued image that can be imported again, and nothing else.

        *failed* is the list of stores that failed.
        """
        image = done.image
        fields = ("status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "locations")
        assert {name: image[name] for name in fields} == {
            **dict.fromkeys(fields), "status": "queued", "locations": [],
        }  # fmt: skip
        assert "os_glance_import_task" not in image["properties"]
        assert done.lists == ("", failed)
        assert done.task["status"] == "failure"
        assert done.error["message"] in done.task["message"]
        assert self.stored() == {}
        assert self.staged() == []

    def assert_refused(self, done: Outcome, *, code: str) -> None:
        """Make sure that an import was refused with the error *code* before it began."""
        assert done.error["code"] == code, done.error
        assert done.error["hint"]
        assert done.task == {}
        assert self.stored() == {}


def _entry(entry: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return step(entry) if isinstance(entry, str) else entry


def _options(**values: str | None) -> list[str]:
    return [
        argument
        for name, value in values.items()
        if value is not None
        for argument in (f"--{name.replace('_', '-')}", value)
    ]


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(Path(parent, name).relative_to(folder)): Path(parent, name).read_bytes()
        for parent, _, names in os.walk(folder)
        for name in names
    }
