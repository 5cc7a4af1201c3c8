from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine


def test_a_run_ends_with_what_was_imported_and_where_the_copies_are(cli: CommandLine) -> None:
    done = cli("run", "p.yaml", cli.image)
    content = cli.image.read_bytes()
    (image_id,) = cli.files("one")
    assert (cli.folder / "two" / image_id).read_bytes() == content
    assert done.out.startswith("imported disk.raw\n")
    for expected in (
        image_id,
        "format   raw",
        f"3.0 MiB ({len(content)} bytes)",
        hashlib.md5(content).hexdigest(),
        hashlib.sha512(content).hexdigest(),
        str(cli.folder / "one" / image_id),
        str(cli.folder / "two" / image_id),
        "slowest",
    ):
        assert expected in done.out
    assert "store two: published" in done.err


def test_json_is_events_with_the_report_once_and_last(cli: CommandLine) -> None:
    done = cli.inside("run", "p.yaml", cli.image, "--json", "--name", "mine", "--property", "a=b")
    *events, report = done.lines
    assert done.err == ""
    assert [event["type"] for event in events][:3] == ["image.create", "task.create", "task.processing"]
    assert events[-1]["type"] == "task.success"
    assert "report" not in {event["type"] for event in events}
    assert report["type"] == "report"
    assert set(report["waited_for"]) == {"md5", "sha512", "inspection", "one", "two"}
    assert {event["lane"] for event in events if event["type"] == "progress"} >= {"digests", "one", "two"}
    assert report["status"] == "success"
    assert report["image"]["name"] == "mine"
    assert report["image"]["properties"] | {"a": "b", "os_distro": "debian"} == report["image"]["properties"]
    assert {store["status"] for store in report["stores"].values()} == {"published"}
    assert report["error"] is None
    assert [step["plugin"] for step in report["plan"]["steps"]] == ["inject_image_metadata"]
    assert [(store["label"], store["plugin"]) for store in report["plan"]["stores"]] == [
        ("one", "file"),
        ("two", "file"),
    ]


def test_a_page_is_not_a_disk_unless_the_user_declares_it(cli: CommandLine) -> None:
    cli.image.write_bytes(b"<html>moved</html>\n" * 100)

    refused = cli("run", "p.yaml", cli.image, "-q", code=5)
    assert refused.err.startswith("error: the image is a web page\n  hint: give the url of the image itself")
    assert cli.files("one") == []
    cli("run", "p.yaml", cli.image, "-q", "--disk-format", "raw")
    assert len(cli.files("one")) == 1


def test_one_unsafe_image_is_one_error(cli: CommandLine) -> None:
    overlay = cli.folder / "overlay.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", cli.image, overlay], check=True
    )
    done = cli("run", "p.yaml", overlay, "-q", code=5)
    assert done.err.startswith("error: the image (qcow2) is not safe")


def test_quiet_shows_no_progress(cli: CommandLine) -> None:
    assert cli("run", "p.yaml", cli.image, "--quiet").err == ""


def test_a_failed_run_prints_cause_step_and_next_command(cli: CommandLine) -> None:
    done = cli("run", "p.yaml", "nowhere.raw", "-q", code=4)
    assert done.out == ""
    assert "Traceback" not in done.err
    error, where, hint, *rest = done.err.splitlines()
    assert error == "error: cannot read nowhere.raw: No such file or directory"
    assert where.startswith("  where: step 'glance-direct' (imageport ")
    assert hint.startswith("  hint: check the spelling")
    (retry,) = [line for line in rest if line.startswith("  retry: ")]
    (cli.folder / "nowhere.raw").write_bytes(b"there now".ljust(512, b"\0"))
    arguments = retry.removeprefix("  retry: imageport ").split()
    assert cli(*arguments).out.startswith("imported nowhere.raw")
    assert len(cli.inside("images", "list", "--json").json) == 1


def test_after_a_failure_with_staged_data_it_has_to_be_staged_again(cli: CommandLine) -> None:
    image = cli.inside("images", "create", "--container-format", "bare", "--json").json["id"]
    cli.inside("images", "stage", image, cli.image)
    done = cli("run", "p.yaml", "--image", image, "--disk-format", "vmdk", "-q", code=5)
    assert f"  retry: imageport images stage {image} FILE; imageport run p.yaml --image {image}" in done.err


def test_a_failed_run_with_json_still_ends_with_the_report(cli: CommandLine) -> None:
    report = cli("run", "p.yaml", "nowhere.raw", "--json", code=4).lines[-1]
    assert report["status"] == "failure"
    assert report["error"]["code"] == "source-unavailable"
    assert report["error"]["step"] == "glance-direct"


def test_a_script_whose_variable_is_not_set_makes_no_other_image(cli: CommandLine) -> None:
    for command in (["run", "p.yaml", cli.image, "-q"], ["tasks", "list"]):
        assert "error: no image ''" in cli(*command, "--image", "", code=2).err


def test_a_refusal_before_anything_starts_is_a_report_as_well(cli: CommandLine) -> None:
    report = cli("run", "p.yaml", cli.image, "--image", "unknown", "--json", code=2).lines[-1]
    assert report["error"]["code"] == "usage"
    assert report["task_id"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["broken.yaml", "disk.raw"], "pipeline-invalid", 2),
        (["missing.yaml", "disk.raw"], "pipeline-invalid", 1),
        (["p.yaml", "disk.raw", "--store", "one", "--all-stores"], "usage", None),
        (["p.yaml", "disk.raw", "--property", "novalue"], "usage", None),
    ],
)
def test_what_cannot_be_planned_is_a_report_as_well(
    cli: CommandLine, arguments: list[str], code: str, line: int | None
) -> None:
    (cli.folder / "broken.yaml").write_text("name: broken\nsource: {use: nope}\nstores: [{use: file}]\n")
    (report,) = cli.inside("run", *arguments, "--json", code=2).lines
    assert (report["type"], report["status"]) == ("report", "failure")
    assert report["error"]["code"] == code
    assert [problem["line"] for problem in report["error"]["problems"]][:1] == (
        [] if line is None else [line]
    )


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_a_report_that_cannot_be_written_does_not_change_the_outcome(cli: CommandLine, option: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            cli.command("run", "p.yaml", cli.image, option),
            cwd=cli.folder, env=cli.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    (image_id,) = cli.files("one")
    assert done.returncode == 0
    last = done.stderr.splitlines()[-1]
    assert (
        last
        == f"error: image {image_id} is active, but the report cannot be written: No space left on device"
    )


def test_a_reader_that_goes_away_does_not_change_the_outcome(cli: CommandLine) -> None:
    process = subprocess.Popen(
        cli.command("run", "p.yaml", cli.image, "--json"),
        cwd=cli.folder, env=cli.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert b"is active, but the report cannot be written: Broken pipe" in process.stderr.read()
    assert process.wait(timeout=30) == 0
    process.stderr.close()


def test_standard_input_can_be_the_source(cli: CommandLine) -> None:
    cli("run", "p.yaml", "-", "-q", "--name", "piped", data=bytes(range(256)) * 2)
    (image_id,) = cli.files("one")
    assert (cli.folder / "one" / image_id).read_bytes() == bytes(range(256)) * 2


def test_a_store_can_be_chosen(cli: CommandLine) -> None:
    cli("run", "p.yaml", cli.image, "-q", "--store", "two")
    assert (len(cli.files("one")), len(cli.files("two"))) == (0, 1)


def _site_with_third_store(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text(
        "stores:\n  - {use: file, id: three, with: {directory: three}}\n"
        "  - {use: file, id: one, with: {directory: site-one}}\ndefault_store: three\n"
    )


def test_a_store_of_the_site_that_the_pipeline_does_not_name_can_be_chosen(cli: CommandLine) -> None:
    _site_with_third_store(cli)
    cli("run", "p.yaml", cli.image, "-q", "--store", "three")
    assert [len(cli.files(name)) for name in ("one", "two", "three")] == [0, 0, 1]


def test_all_stores_are_those_of_the_pipeline_and_the_site(cli: CommandLine) -> None:
    _site_with_third_store(cli)
    cli("run", "p.yaml", cli.image, "-q", "--all-stores")
    assert [len(cli.files(name)) for name in ("one", "two", "three", "site-one")] == [1, 1, 1, 0]


def test_without_either_the_stores_of_the_pipeline_are_written(cli: CommandLine) -> None:
    _site_with_third_store(cli)
    cli("run", "p.yaml", cli.image, "-q")
    assert [len(cli.files(name)) for name in ("one", "two", "three")] == [1, 1, 0]


def test_an_unknown_store_is_refused_with_a_suggestion(cli: CommandLine) -> None:
    printed = cli.inside("run", "p.yaml", cli.image, "--store", "tow", code=2).err
    assert "no store 'tow' (did you mean 'two'?)" in printed
    assert "the pipeline has one, two; 'imageport stores list' shows those of the site file" in printed


def test_store_and_all_stores_exclude_each_other(cli: CommandLine) -> None:
    cli.inside("run", "p.yaml", cli.image, "--store", "one", "--all-stores", code=2)


def test_allow_failure_overrides_the_pipeline(cli: CommandLine) -> None:
    (cli.folder / "two").write_text("a file where the store wants a folder")
    assert "error:" in cli("run", "p.yaml", cli.image, "-q", code=6).err
    assert cli.files("one") == []
    done = cli.inside("run", "p.yaml", cli.image, "--json", "--allow-failure")
    stores = done.lines[-1]["stores"]
    assert (stores["one"]["status"], stores["two"]["status"]) == ("published", "failed")


def test_roles_decide_what_is_injected(cli: CommandLine) -> None:
    report = cli.inside("run", "p.yaml", cli.image, "--json", "--role", "admin").lines[-1]
    assert "os_distro" not in report["image"]["properties"]


def test_a_user_can_be_named(cli: CommandLine) -> None:
    report = cli.inside("run", "p.yaml", cli.image, "--json", "--user", "alice").lines[-1]
    assert report["image"]["owner"] == "alice"


def test_variables_are_set_on_the_command_line(cli: CommandLine) -> None:
    text = (cli.folder / "p.yaml").read_text().replace("debian}", '"{var.distro}"}')
    (cli.folder / "p.yaml").write_text(text + "vars: {distro: none}\n")
    report = cli.inside("run", "p.yaml", cli.image, "--json", "--set", "distro=fedora").lines[-1]
    assert report["image"]["properties"]["os_distro"] == "fedora"


def test_a_property_without_a_value_is_a_usage_error(cli: CommandLine) -> None:
    assert (
        "--property must be NAME=VALUE, not x"
        in cli("run", "p.yaml", cli.image, "--property", "x", code=2).err
    )


def test_secrets_of_the_environment_appear_nowhere(cli: CommandLine) -> None:
    cli.environ["TOKEN"] = "hunter2-hunter2"
    text = (cli.folder / "p.yaml").read_text()
    text = text.replace("{use: glance-direct}", '{use: glance-direct, uri: "missing-{env.TOKEN}.raw"}')
    (cli.folder / "p.yaml").write_text(text + "observers: [{use: jsonl, with: {path: events.jsonl}}]\n")
    first, second = cli("run", "p.yaml", code=4), cli("run", "p.yaml", "--json", code=4)
    tasks = cli.inside("tasks", "list", "--json")
    everything = first.out + first.err + second.out + second.err + tasks.out
    everything += (cli.folder / "events.jsonl").read_text() + cli.inside("plan", "p.yaml").out
    assert "missing-***.raw" in everything
    assert "hunter2" not in everything


def test_control_characters_of_a_name_never_reach_the_terminal(cli: CommandLine) -> None:
    name = "evil\x1b]0;owned\x07\u202e[bold red]x[/]"
    done = cli("run", "p.yaml", cli.image, "--name", name)
    listed, shown = cli("images", "list"), cli("images", "show", "--json", cli.files("one")[0])
    for text in (done.out, done.err, listed.out, shown.out):
        assert not any(char in text for char in "\x1b\x07\u202e")
    assert "evil\\x1b]0;owned\\x07\\u202e[bold red]x[/]" in listed.out
    assert shown.json["name"] == name


def test_an_interrupted_run_leaves_nothing_and_returns_130(cli: CommandLine) -> None:
    process = subprocess.Popen(
        cli.command("run", "p.yaml", "-", "--json"),
        cwd=cli.folder, env=cli.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    while b"step.end" not in process.stdout.readline():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    # The end of the input would end the command too.
    process.wait(timeout=30)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert b'"code": "cancelled"' in out
    assert b"Traceback" not in err
    assert [cli.files(name) for name in ("one", "two", ".local/share/imageport/staging")] == [[], [], []]


def test_a_reader_that_goes_away_causes_no_noise(cli: CommandLine) -> None:
    process = subprocess.Popen(
        cli.command("schema"),
        cwd=cli.folder,
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.wait(timeout=30)
    process.stderr.close()


def test_a_defect_is_one_line_and_debug_shows_where(cli: CommandLine) -> None:
    # No code expects a deleted working folder; it stands here for any unexpected error.
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    quiet, loud = (
        subprocess.run(
            ["sh", "-c", script, "sh", *cli.command(*options, "plan", "p.yaml")],
            cwd=cli.folder, env=cli.environment, capture_output=True, text=True, check=False,
        )
        for options in ([], ["--debug"])
    )  # fmt: skip
    assert quiet.returncode == loud.returncode == 1
    assert quiet.stderr.startswith("internal error: FileNotFoundError: ")
    assert "--debug" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
