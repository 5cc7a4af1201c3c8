from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.cli.command_line import CommandLine

from imageport.cli.app import app
from imageport.plugins.about import about
from imageport.plugins.registry import PluginRegistry

BROKEN = "import no_such_library\n"
SHOUT = '''
from pydantic import Field
from imageport import Image, Plugin, PluginConfig, hookimpl

class ShoutConfig(PluginConfig):
    """Options."""

    suffix: str = Field(description="What to put behind the name.")
    times: int = Field(default=1, ge=1, description="How often.")

class Shout(Plugin[ShoutConfig]):
    """Write the name in capitals."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        return image.evolve(name=(image.record.name or "").upper() + self.config.suffix * self.config.times)
'''


def _install(cli: CommandLine, distribution: str, plugin: str, code: str) -> None:
    """Put a package where the command finds it, as pip would."""
    packages = cli.folder / "packages"
    info = packages / f"{distribution}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[imageport.plugins]\n{plugin} = {distribution}_it:Shout\n")
    (packages / f"{distribution}_it.py").write_text(code)
    cli.environ["PYTHONPATH"] = str(packages)


# ------------------------------------------------------------------------------------------------- plan, validate


def test_a_plan_shows_steps_options_stores_staging_and_limits(cli: CommandLine) -> None:
    shown = cli("plan", "p.yaml", "disk.raw").out
    for expected in (
        "inject_image_metadata",
        "os_distro=debian",
        str(cli.folder / "two"),
        "staging: stream",
        "1.0 TiB",
    ):
        assert expected in shown
    plan = cli("plan", "p.yaml", "disk.raw", "--json").json
    assert plan["source"] == "disk.raw"
    assert [store["label"] for store in plan["stores"]] == ["one", "two"]
    assert plan["limits"]["image_size_cap"] == 1 << 40
    assert plan["scratch"]["fits"] is True
    assert set(plan["bottleneck"]["digests"]) == {"md5", "sha512"}
    assert cli.files("one") == []


def test_a_plan_shows_scratch_data_and_the_expected_bottleneck(cli: CommandLine) -> None:
    shown = cli.inside("plan", "p.yaml", "disk.raw").out
    assert "scratch data: none\nexpected bottleneck: the digests, " in shown
    rate = r"[\d.]+ [KMGT]iB/s"
    assert re.search(rf"\n  md5 +{rate}\n  sha512 +{rate}\n  together +{rate} on \d+ processor", shown)
    with (cli.folder / "p.yaml").open("a") as pipeline:
        pipeline.write("staging: file\n")
    shown = cli.inside("plan", "p.yaml", "disk.raw").out
    assert "\n  the source, 3.0 MiB\n  at most 3.0 MiB in all, and " in shown
    assert " are free: it fits\n" in shown
    assert (
        "\ndeadlines:\n  import:\n    in all: no deadline\n    download:\n      each try: 86400 s\n" in shown
    )
    assert "\n      minimum rate: 1.0 KiB/s\n" in shown
    assert "\n  the source\n" in cli.inside("plan", "p.yaml", "-").out


def test_validate_reports_every_mistake_of_every_file(cli: CommandLine) -> None:
    folder = cli.folder / "pipelines"
    folder.mkdir()
    shutil.copy(cli.folder / "p.yaml", folder / "good.yaml")
    (folder / "bad.yaml").write_text("name: bad\nsource: {use: web-downlod}\nstep: []\n")
    (folder / "imageport.yaml").write_text("limits: {}\n")
    done = cli("validate", "pipelines", "p.yaml", code=2)
    first, second, *rest = done.out.splitlines()
    assert first.startswith("pipelines/bad.yaml:2:10: source.use: unknown plugin 'web-downlod' (did you mean")
    assert second.startswith("pipelines/bad.yaml:3:1: step: unknown option (did you mean 'steps'?)")
    assert rest == ["pipelines/good.yaml: ok", "p.yaml: ok"]
    found = cli("validate", "pipelines", "--json", code=2).json
    assert [(file["ok"], len(file["problems"])) for file in found] == [(False, 2), (True, 0)]


def test_a_broken_pipeline_is_reported_line_by_line_by_every_command(cli: CommandLine) -> None:
    (cli.folder / "bad.yaml").write_text("name: bad\nsource: {use: glance-direct}\nsteps: [{use: nope}]\n")
    for command in ("run", "plan"):
        assert cli(command, "bad.yaml", code=2).err.startswith(
            "bad.yaml:3:10: steps.0.use: unknown plugin 'nope'"
        )


def test_a_mistake_in_the_site_file_is_reported_by_position(cli: CommandLine) -> None:
    (cli.folder / "site.yaml").write_text("limit: {}\n")
    done = cli("--config", "site.yaml", "images", "list", code=2)
    assert done.err == "site.yaml:1:1: limit: unknown option (did you mean 'limits'?)\n"


def test_schemas_are_json(cli: CommandLine) -> None:
    assert "steps" in cli.inside("schema").json["properties"]
    assert "limits" in cli.inside("schema", "--site").json["properties"]


# ---------------------------------------------------------------------------------------------------------- stores


def test_stores_of_the_site_and_of_a_pipeline(cli: CommandLine) -> None:
    (site,) = cli.inside("stores", "list", "--json").json
    assert (site["id"], site["plugin"], site["default"], site["read_only"]) == (
        "default",
        "file",
        True,
        False,
    )
    stores = cli.inside("stores", "list", "--pipeline", "p.yaml", "--json").json
    assert [store["id"] for store in stores] == ["one", "two"]
    assert str(cli.folder / "two") in cli.inside("stores", "show", "two", "--pipeline", "p.yaml").out
    assert "did you mean 'two'?" in cli.inside("stores", "show", "tow", "--pipeline", "p.yaml", code=2).err


# --------------------------------------------------------------------------------------------------------- plugins


def test_a_broken_plugin_is_listed_with_its_reason_and_disturbs_nothing(cli: CommandLine) -> None:
    _install(cli, "acme", "shout", SHOUT)
    _install(cli, "other", "broken", BROKEN)
    listed = {plugin["name"]: plugin for plugin in cli("plugins", "list", "--json").json}
    expected = {
        "name": "shout", "distribution": "acme 1.0", "status": "ok", "hooks": ["transform"],
        "roles": ["step"], "summary": "Write the name in capitals.",
    }  # fmt: skip
    assert listed["shout"].items() >= expected.items()
    assert listed["broken"]["status"] == "broken"
    assert "No module named 'no_such_library'" in listed["broken"]["summary"]
    assert listed["broken"]["distribution"] == "other 1.0"
    text = (
        (cli.folder / "p.yaml").read_text().replace("steps:", "steps:\n  - {use: shout, with: {suffix: '!'}}")
    )
    (cli.folder / "p.yaml").write_text(text)
    assert cli("run", "p.yaml", cli.image, "--json").lines[-1]["image"]["name"] == "DISK.RAW!"


def test_conflicting_and_disabled_plugins_are_listed_as_such(cli: CommandLine) -> None:
    _install(cli, "acme", "shout", SHOUT)
    _install(cli, "rival", "shout", SHOUT)
    cli.environ["IMAGEPORT_DISABLED_PLUGINS"] = "http"
    listed = {plugin["name"]: plugin["status"] for plugin in cli("plugins", "list", "--json").json}
    assert (listed["shout"], listed["http"], listed["file"]) == ("conflict", "disabled", "ok")


def test_a_plugin_is_shown_with_its_options_and_an_example(cli: CommandLine) -> None:
    _install(cli, "acme", "shout", SHOUT)
    shown = cli("plugins", "show", "shout").out
    assert shown.startswith("shout: Write the name in capitals.\n")
    assert 'steps:\n  - use: shout\n    with: {suffix: "..."}' in shown
    described = cli("plugins", "show", "shout", "--json").json
    assert described["options"] == [
        {"name": "suffix", "type": "string", "required": True, "default": None,
         "description": "What to put behind the name."},
        {"name": "times", "type": "integer", "required": False, "default": 1, "description": "How often."},
    ]  # fmt: skip


@pytest.mark.parametrize("name", PluginRegistry.installed().names())
def test_the_example_of_a_plugin_is_valid_where_it_stands(cli: CommandLine, name: str) -> None:
    example = about(PluginRegistry.installed().find(name))["example"]
    source = "" if example.startswith("source:") else "source: {use: glance-direct}\n"
    beside = (
        "  - {use: file, id: beside, with: {directory: beside}}\n" if example.startswith("stores:") else ""
    )
    given = cli.folder / "given"
    given.mkdir()
    example = example.replace("/path/to/it", str(given))
    (cli.folder / "example.yaml").write_text(f"name: example\n{source}{example}\n{beside}")
    # one of several options is needed, and the operator chooses it
    chooses = name in {"checksum", "notifications", "glance-download"}
    done = cli.inside("validate", "example.yaml", code=2 if chooses else 0)
    assert done.out == "example.yaml: ok\n" or re.search(r": (source|(steps|observers).0).with: ", done.out)


# ---------------------------------------------------------------------------------------------------- tasks and gc


def _running(cli: CommandLine) -> subprocess.Popen[bytes]:
    """Start an import that waits for its data, and wait until it has a work folder."""
    process = subprocess.Popen(
        cli.command("run", "p.yaml", "-", "--json"),
        cwd=cli.folder, env=cli.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    while b"step.end" not in process.stdout.readline():
        assert process.poll() is None
    return process


def test_a_task_is_shown_while_it_runs_and_cancelled_within_seconds(cli: CommandLine) -> None:
    process = _running(cli)
    (task,) = cli.inside("tasks", "list", "--status", "processing", "--json").json
    assert task["input"]["source"] == "-"
    assert "asked to stop" in cli("tasks", "cancel", task["id"][:8]).out
    assert "cancelling" in cli.inside("tasks", "list").out
    assert process.stdin is not None
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            process.stdin.write(bytes(1 << 16))
            process.stdin.flush()
        except BrokenPipeError:
            break
        time.sleep(0.1)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "cancelled"
    shown = cli.inside("tasks", "show", task["id"], "--json").json
    assert shown["status"] == "failure"
    assert "was cancelled" in shown["message"]
    assert "failure already" in cli("tasks", "cancel", task["id"], code=7).err


def test_a_task_is_one_line_of_a_terminal_however_long_its_message(cli: CommandLine) -> None:
    cli.inside("run", "p.yaml", "nowhere" * 20, "-q", code=4)
    listed = _on_a_terminal(cli, "tasks", "list")
    (task,) = cli.inside("tasks", "list", "--json").json
    _, line = listed
    assert line.startswith(f"{task['id'][:8]} ")
    assert f" {task['image_id'][:8]} " in line
    assert line.endswith("…")
    assert len(line) <= 80
    assert cli.inside("tasks", "show", line.split()[0], "--json").json == task | {"resumable_bytes": 0}


def _on_a_terminal(cli: CommandLine, *arguments: str) -> list[str]:
    """Run a command on a terminal of 80 columns and return its lines."""
    ours, theirs = pty.openpty()
    cli.environ |= {"COLUMNS": "80", "TERM": "dumb"}
    process = subprocess.Popen(
        cli.command(*arguments), cwd=cli.folder, env=cli.environment, stdout=theirs, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0
    return shown.decode().splitlines()


def test_tasks_of_one_image(cli: CommandLine) -> None:
    first, _ = cli.imported(), cli.imported()
    assert [task["image_id"] for task in cli.inside("tasks", "list", "--image", first, "--json").json] == [
        first
    ]
    assert "is too short" in cli.inside("tasks", "show", "ab", code=2).err


def test_gc_rolls_back_an_import_that_was_killed(cli: CommandLine) -> None:
    process = _running(cli)
    assert cli("gc").out == "nothing to clean up\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    staging = ".local/share/imageport/staging"
    (left,) = cli.files(staging)
    looked = cli("gc", "--dry-run").out
    assert "would roll back the dead import" in looked
    assert cli.files(staging) == [left]
    assert "rolled back the dead import" in cli("gc").out
    assert [cli.files(name) for name in ("one", "two", staging)] == [[], [], []]
    (image,) = cli("images", "list", "--json").json
    assert image["status"] == "queued"
    assert cli("gc", "--json").json == {"dry_run": False, "findings": [], "bytes_freed": 0}


def test_gc_removes_from_staging_only_what_belongs_to_no_image_in_work(cli: CommandLine) -> None:
    live = cli.inside("images", "create", "--name", "live", "--json").json["id"]
    cli("images", "stage", "live", cli.image)
    staging = cli.folder / ".local/share/imageport/staging"
    dead = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    (staging / f"{dead}.old-task").mkdir()
    (staging / f"{dead}.old-task" / "work.raw").write_bytes(b"x" * 8192)
    for name in ("foo", dead, f"{dead}.qcow2", f"{live}.qcow2"):
        (staging / name).write_bytes(b"x" * 4096)
    three_days_ago = time.time() - 3 * 86400 - 60
    os.utime(staging / dead, (three_days_ago, three_days_ago))
    assert f"would remove {staging / dead} (4.0 KiB, 3 days old)\n" in cli("gc", "--dry-run").out
    done = cli("gc", "--json").json
    assert {Path(finding["name"]).name for finding in done["findings"]} == {
        dead,
        f"{dead}.qcow2",
        f"{dead}.old-task",
    }
    assert done["bytes_freed"] >= 16384
    assert cli.files(".local/share/imageport/staging") == sorted(["foo", live, f"{live}.qcow2"])


def test_what_cannot_be_removed_does_not_keep_gc_from_the_rest(cli: CommandLine) -> None:
    stuck, loose = (
        cli.folder / ".local/share/imageport/staging" / f"{number}b4e28ba-2fa1-11d2-883f-0016d3cca427.task"
        for number in (1, 2)
    )
    for folder in (stuck, loose):
        folder.mkdir(parents=True)
        (folder / "work.raw").write_bytes(b"x")
    stuck.chmod(0o500)
    # Without its capabilities, root obeys permissions as well.
    unable = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*unable, *cli.command("gc")], cwd=cli.folder, env=cli.environment, check=False, capture_output=True
    )
    stuck.chmod(0o700)
    assert done.returncode == 6
    assert f"left behind: {stuck}: [Errno 13] Permission denied" in done.stdout.decode()
    assert f"removed {loose}" in done.stdout.decode()
    assert stuck.exists()
    assert not loose.exists()


# ---------------------------------------------------------------------------------------------------------- doctor


def test_the_doctor_finds_a_sound_installation(cli: CommandLine) -> None:
    subjects = {found["subject"]: found for found in cli("doctor", "--json").json}
    assert all(found["ok"] for found in subjects.values())
    assert {
        "python",
        "site file",
        "plugins",
        "program qemu-img",
        "staging",
        "store default",
        "catalog",
    } <= set(subjects)
    assert "ok     python" in cli("doctor").out


def test_the_doctor_names_what_is_wrong(cli: CommandLine) -> None:
    _install(cli, "other", "broken", BROKEN)
    for name in ("blocked", "taken"):
        (cli.folder / name).write_text("a file")
    (cli.folder / "imageport.yaml").write_text(
        "catalog: sqlite:///blocked/catalog.db\nstaging: {directory: blocked/staging}\n"
        "stores: [{use: file, id: s, with: {directory: taken}}]\n"
    )
    wrong = {found["subject"] for found in cli("doctor", "--json", code=1).json if not found["ok"]}
    assert wrong == {"plugin broken", "staging", "store s", "catalog"}


def test_the_doctor_reports_orphan_files(cli: CommandLine) -> None:
    process = _running(cli)
    process.kill()
    process.communicate()
    printed = cli("doctor", code=1).out
    assert "left by dead imports: 1, with" in printed
    assert "run 'imageport gc'" in printed


def test_the_doctor_reads_a_site_file_that_is_wrong(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("limit: {}\n")
    assert "imageport.yaml:1:1: limit: unknown option" in cli("doctor", code=1).out


# ---------------------------------------------------------------------------------------------- the command itself


def test_the_version_is_reported(cli: CommandLine) -> None:
    assert cli("--version").out.startswith("imageport ")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["run"], ["run", "p.yaml", "--nonsense"], ["images", "show"]]
)
def test_wrong_usage_exits_with_2_and_without_a_traceback(cli: CommandLine, arguments: list[str]) -> None:
    done = cli(*arguments, code=2)
    assert "Usage: imageport" in done.err
    assert "Traceback" not in done.err


def test_a_completion_script_is_generated(cli: CommandLine) -> None:
    cli.environ["_IMAGEPORT_COMPLETE"] = "source_bash"
    assert "complete" in cli().out


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


def test_every_command_and_every_option_has_a_help_text() -> None:
    found = dict(_commands(typer.main.get_command(app)))
    assert {("run",), ("images", "export"), ("tasks", "cancel"), ("plugins", "show"), ("gc",)} <= set(found)
    for path, command in found.items():
        assert command.help, path
        for parameter in command.params:
            assert parameter.help, (path, parameter.name)
            assert parameter.help.endswith((".", ")")) or parameter.name in {
                "install_completion",
                "show_completion",
            }


def test_help_is_plain_text(cli: CommandLine) -> None:
    shown = cli("run", "--help").out
    assert "--must-succeed / --allow-failure" in shown
    assert "\x1b" not in shown
