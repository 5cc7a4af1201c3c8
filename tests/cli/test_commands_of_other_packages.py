"""Commands that other packages bring: found by their entry points, whatever their code does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.command_line import CommandLine

from imageport.plugins import descriptions

COUNT = """
    import typer

    from imageport import UsageError

    def count(ctx: typer.Context, to: int) -> None:
        '''Count to a number.'''
        if to > 9:
            raise UsageError("that is too much", hint="count to 9")
        if to == 0:
            raise LookupError("acme was here")
        typer.echo(" ".join(map(str, range(1, to + 1))))
"""

GROUP = """
    import typer

    app = typer.Typer(help="Group of Acme.")

    @app.command("one")
    def one() -> None:
        "The only one."
        print("one of acme")
"""


@dataclass
class Packages:
    """Distributions on the module path, written there as an installer does."""

    folder: Path

    def install(self, name: str, commands: dict[str, str], code: str, *, version: str = "1.0") -> None:
        """Install the distribution *name*, whose module has *code*; *commands* are objects of it by name."""
        module = name.replace("-", "_")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: forged\n"
        )
        lines = [f"{command} = {module}:{found}" for command, found in commands.items()]
        (info / "entry_points.txt").write_text("\n".join(["[imageport.commands]", *lines, ""]))
        (self.folder / f"{module}.py").write_text(dedent(code))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Packages(folder)
    for name in set(sys.modules) - before:
        if name.startswith("acme_"):
            del sys.modules[name]


def help_lines(cli: CommandLine) -> dict[str, str]:
    """Return what ``imageport --help`` prints about each command, unwrapped."""
    found: dict[str, str] = {}
    name = ""
    for line in cli.inside("--help").out.partition("Commands:\n")[2].splitlines():
        if line.startswith("  ") and line[2] != " ":
            name, _, text = line.strip().partition(" ")
            found[name] = text.strip()
        else:
            found[name] += f" {line.strip()}"
    return found


def test_a_function_and_a_group_become_commands(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"count": "count"}, COUNT)
    packages.install("acme-group", {"group": "app"}, GROUP)
    assert cli.inside("count", "3").out == "1 2 3\n"
    assert cli.inside("group", "one").out == "one of acme\n"
    lines = help_lines(cli)
    assert lines["count"] == "Count to a number."
    assert lines["group"] == "Group of Acme."
    assert list(lines) == sorted(lines)
    assert "Count to a number." in cli.inside("count", "-h").out


def test_errors_of_imageport_end_it_as_every_command(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"count": "count"}, COUNT)
    assert cli.inside("count", "10", code=2).err == "error: that is too much\n  hint: count to 9\n"


def test_other_errors_are_reported_with_its_distribution(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"count": "count"}, COUNT)
    assert cli.inside("count", "0", code=1).err == (
        "internal error in command 'count' of acme-count 1.0: LookupError: acme was here "
        "(--debug shows where it happened)\n"
    )


BROKEN = {
    "raise LookupError('acme was here')": "LookupError: acme was here",
    "import acme_not_there": "ModuleNotFoundError: No module named 'acme_not_there'",
    "raise SystemExit(0)": "SystemExit: 0",
    "def broken(:": "SyntaxError",
    "other = 1": "AttributeError: module 'acme_broken' has no attribute 'broken'",
    "broken = 7": "is neither a function nor a typer.Typer but int",
    "class broken: ...": "is neither a function nor a typer.Typer but type",
    "def broken(size: 'Missing') -> None: ...": "cannot be built: NameError",
}


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_command_is_named_with_its_distribution(
    cli: CommandLine, packages: Packages, code: str
) -> None:
    packages.install("acme-broken", {"broken": "broken"}, code, version="6.6")
    lines = help_lines(cli)
    assert lines["broken"].startswith("(broken, of acme-broken 6.6) command 'broken' of acme-broken 6.6 ")
    assert BROKEN[code] in lines["broken"]
    assert lines["run"] == "Import an image through a pipeline into one or more stores."
    for arguments in ((), ("--any", "thing"), ("--help",)):
        done = cli.inside("broken", *arguments, code=2)
        assert done.err.startswith("error: command 'broken' of acme-broken 6.6 ")
        assert BROKEN[code] in done.err
        assert done.err.endswith("  hint: update or uninstall acme-broken\n")
    assert cli.inside("validate", "p.yaml").out == "p.yaml: ok\n"


def test_a_command_that_ends_the_process_does_not_end_the_help(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-exit", {"leave": "leave"}, "import os\nos._exit(3)")
    packages.install("acme-count", {"count": "count"}, COUNT)
    lines = help_lines(cli)
    assert lines["leave"].endswith("cannot be imported: it ended the process with exit code 3")
    assert lines["count"] == "Count to a number."


def test_a_command_whose_import_never_ends_is_named(
    cli: CommandLine, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "PATIENCE", 3)
    packages.install("acme-sleep", {"sleep": "sleep"}, "import threading\nthreading.Event().wait()")
    assert help_lines(cli)["sleep"].endswith("cannot be imported: it takes longer than 3 s")


def test_the_summary_of_a_command_cannot_take_over_the_terminal(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-red", {"red": "red"}, "def red() -> None:\n    '''Go \\x1b[31mred.'''")
    assert help_lines(cli)["red"] == "Go \\x1b[31mred."


@pytest.mark.parametrize(("first", "second"), [("acme-one", "acme-two"), ("acme-two", "acme-one")])
def test_two_packages_with_one_command_are_refused(
    cli: CommandLine, packages: Packages, first: str, second: str
) -> None:
    packages.install(first, {"count": "count"}, COUNT)
    packages.install(second, {"count": "count"}, COUNT)
    err = cli.inside("count", "3", code=2).err
    assert "error: command 'count' is supplied by acme-" in err
    assert "acme-one 1.0" in err
    assert "acme-two 1.0" in err
    assert err.endswith("  hint: uninstall all but one of them\n")


def test_a_package_cannot_shadow_a_command(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"validate": "count"}, COUNT)
    err = cli.inside("validate", "p.yaml", code=2).err
    assert "error: command 'validate' is supplied by acme-count 1.0 and imageport" in err
    assert help_lines(cli)["validate"].startswith("(broken, of acme-count 1.0, imageport")
    assert json.loads(cli.inside("stores", "list", "--json").out)


@pytest.mark.parametrize("name", ["--help", "a b", "../x", "x" * 65])
def test_a_name_that_no_command_can_have_is_refused(cli: CommandLine, packages: Packages, name: str) -> None:
    packages.install("acme-count", {name: "count"}, COUNT)
    assert "has no proper name" in " ".join(cli.inside("--help").out.split())


def test_no_other_package_is_imported_for_the_help_or_another_command(
    cli: CommandLine, packages: Packages
) -> None:
    packages.install("acme-count", {"count": "count"}, COUNT)
    code = "import sys; sys.argv[0] = 'imageport'; from imageport.cli.app import main\n"
    code += "try: main()\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    environment = {**cli.environment, "PYTHONPATH": str(packages.folder)}
    for argument in ("--help", "--help", "schema"):
        done = subprocess.run(
            [sys.executable, "-c", code, argument],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        )
        unwanted = {"acme_count"} if argument == "schema" else {"acme_count", "pydantic"}
        assert not unwanted & set(done.stderr.split())
    assert (Path(environment["HOME"]) / ".cache/imageport/commands.json").is_file()


def test_metadata_that_cannot_be_read_hides_no_command(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"count": "count"}, COUNT)
    for number, content in enumerate((b"\xff\xfe[imageport.commands]", b"[imageport.commands]\nno value\n")):
        info = packages.folder / f"acme_bad_{number}-1.0.dist-info"
        info.mkdir()
        (info / "entry_points.txt").write_bytes(content)
    endless = packages.folder / "acme_endless-1.0.dist-info"
    endless.mkdir()
    os.truncate(os.open(endless / "entry_points.txt", os.O_CREAT | os.O_WRONLY), 1 << 40)
    assert cli.inside("count", "2").out == "1 2\n"


def test_commands_in_an_archive_on_the_module_path_are_found(
    cli: CommandLine, packages: Packages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packages.install("acme-zipped", {"zipped": "count"}, COUNT, version="2.0")
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in packages.folder.rglob("*"):
            if path.is_file():
                file.write(path, path.relative_to(packages.folder))
                path.unlink()
    monkeypatch.syspath_prepend(archive)
    assert cli.inside("zipped", "2").out == "1 2\n"
    assert cli.inside("zipped", "0", code=1).err.startswith(
        "internal error in command 'zipped' of acme-zipped 2.0:"
    )


def test_a_command_of_a_package_stands_in_a_group_of_another(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"plugins.count": "count", "pluginz.count": "count"}, COUNT)
    assert cli.inside("plugins", "count", "3").out == "1 2 3\n"
    assert "Count to a number." in cli.inside("plugins", "--help").out
    assert cli.inside("pluginz.count", "2").out == "1 2\n"
    assert "plugins.count" not in help_lines(cli)


def test_a_command_of_a_package_does_not_replace_one_of_a_group(cli: CommandLine, packages: Packages) -> None:
    packages.install("acme-count", {"plugins.list": "count"}, COUNT)
    assert "NAME" in cli.inside("plugins", "list").out
