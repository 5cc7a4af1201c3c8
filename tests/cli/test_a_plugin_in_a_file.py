"""``--plugin FILE`` runs a plugin that is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from tests.cli.command_line import CommandLine

from imageport.app import Imageport
from imageport.errors import PluginBroken, UsageError

STEP = """
    from __future__ import annotations

    from pydantic import Field

    from imageport import Image, Plugin, PluginConfig, hookimpl


    class _Base(Plugin[PluginConfig]):
        '''Not a plugin of the file.'''


    class MyConfig(PluginConfig):
        '''Options.'''

        words: list[Word] = Field(default=["hello"], description="What to greet with.")


    Word = str


    class Greet(Plugin[MyConfig]):
        '''Greet.'''

        @hookimpl
        def transform(self, image: Image) -> Image:
            print("noise")
            return image.with_properties(greeting=" ".join(self.config.words))
"""

PIPELINE = {
    "name": "greet",
    "source": {"use": "glance-direct"},
    "steps": [{"use": "my_step", "with": {"words": ["good", "morning"]}}],
    "stores": [{"use": "file", "id": "one", "with": {"directory": "one"}}],
}


@pytest.fixture
def here(cli: CommandLine) -> CommandLine:
    """A folder with a plugin in a file, and a pipeline that uses it."""
    (cli.folder / "my_step.py").write_text(dedent(STEP))
    (cli.folder / "greet.yaml").write_text(json.dumps(PIPELINE))
    return cli


def test_a_step_in_a_file_takes_part_in_an_import(here: CommandLine) -> None:
    report = here("run", "greet.yaml", here.image, "--plugin", "./my_step.py", "--json").lines[-1]
    assert report["image"]["properties"]["greeting"] == "good morning"
    [step] = report["plan"]["steps"]
    assert (step["plugin"], step["distribution"]) == ("my_step", "file my_step.py")
    assert not (here.folder / "__pycache__").exists()


def test_plan_and_validate_know_it_too(here: CommandLine) -> None:
    assert "my_step  (file my_step.py)" in here.inside("plan", "greet.yaml", "--plugin", "my_step.py").out
    assert here.inside("validate", "greet.yaml", "--plugin", "my_step.py").out == "greet.yaml: ok\n"
    assert "unknown plugin 'my_step'" in here.inside("validate", "greet.yaml", code=2).out
    pipeline = {**PIPELINE, "steps": [{"use": "my_step", "with": {"words": 3}}]}
    (here.folder / "wrong.yaml").write_text(json.dumps(pipeline))
    found = here.inside("validate", "wrong.yaml", "--plugin", "my_step.py", code=2)
    assert "steps.0.with.words: must be a list" in found.out


def test_several_files_are_several_plugins(here: CommandLine) -> None:
    (here.folder / "again.py").write_text(dedent(STEP))
    steps = [{"use": "my_step"}, {"use": "again", "with": {"words": ["bye"]}}]
    (here.folder / "both.yaml").write_text(json.dumps({**PIPELINE, "steps": steps}))
    files = ("--plugin", "my_step.py", "--plugin", "again.py")
    report = here.inside("run", "both.yaml", here.image, *files, "--json").lines[-1]
    assert report["image"]["properties"]["greeting"] == "bye"


def test_a_crash_names_the_file(here: CommandLine) -> None:
    (here.folder / "my_step.py").write_text(dedent(STEP).replace('print("noise")', "1 / 0"))
    failed = here.inside("run", "greet.yaml", here.image, "--plugin", "my_step.py", "--quiet", code=1)
    assert "error: ZeroDivisionError in transform: division by zero" in failed.err
    assert "where: step 'my_step' (file my_step.py)" in failed.err
    assert here.files("one") == []


STORE = """
    from imageport import Image
    from imageport.stores import FolderStore, FolderStoreConfig

    class Shelf(FolderStore[FolderStoreConfig]):
        '''A shelf.'''

        def file_name(self, image: Image) -> str:
            return image.record.id
"""


@pytest.mark.parametrize(
    ("source", "reason", "hint"),
    [
        ("", "has no class that derives from imageport.Plugin", "write 'class Mine(Plugin[NoConfig])'"),
        ("from imageport import Plugin", "has no class that derives", "write 'class Mine"),
        (
            STEP + "\n    class Other(Greet):\n        '''Greet more.'''\n",
            "has several plugins: Greet, Other",
            "'_'",
        ),
        (
            "def broken(:",
            "cannot be imported: SyntaxError: invalid syntax (plugin.py, line 1)",
            "correct the file",
        ),
        ("raise SystemExit(0)", "cannot be imported: SystemExit: 0", "correct the file"),
        (
            STEP.replace("transform", "transfrom"),
            "has an unknown hook 'transfrom' (did you mean",
            "correct the file",
        ),
        (STORE, "is a store, whose copies are read and deleted later", "imageport plugins new"),
    ],
)
def test_a_file_with_a_mistake_is_refused(tmp_path: Path, source: str, reason: str, hint: str) -> None:
    path = tmp_path / "plugin.py"
    path.write_text(dedent(source))
    with Imageport() as imageport, pytest.raises(PluginBroken) as caught:
        imageport.add_plugin_file(path)
    assert caught.value.message.startswith(f"plugin 'plugin' of file {path} {reason}")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py", "the file of a plugin {} is missing"),
        ("folder.py", "the file of a plugin {} is a folder"),
        ("step.txt", "{} cannot be the file of a plugin"),
        ("-rf.py", "{} cannot be the file of a plugin"),
        (".py", "{} cannot be the file of a plugin"),
    ],
)
def test_a_path_to_anything_else_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.py").mkdir()
    with Imageport() as imageport, pytest.raises(UsageError) as caught:
        imageport.add_plugin_file(tmp_path / name)
    assert caught.value.message.startswith(message.format(tmp_path / name))


def test_a_name_that_is_taken_is_refused(here: CommandLine) -> None:
    (here.folder / "checksum.py").write_text(dedent(STEP))
    refused = here.inside("plan", "greet.yaml", "--plugin", "checksum.py", code=2)
    assert "plugin 'checksum' of file checksum.py has the name of one of imageport" in refused.err
    files = ("--plugin", "my_step.py", "--plugin", str(here.folder / "my_step.py"))
    assert "has the name of one of file my_step.py" in here.inside("plan", "greet.yaml", *files, code=2).err


def test_a_mistake_is_in_the_report_in_json(here: CommandLine) -> None:
    report = here.inside("run", "greet.yaml", here.image, "--plugin", "absent.py", "--json", code=2).lines[-1]
    assert report["error"]["message"] == "the file of a plugin absent.py is missing"
