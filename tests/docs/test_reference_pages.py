from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from imageport.plugins.registry import PluginRegistry

REPOSITORY = Path(__file__).parents[2]
EXAMPLES: dict[str, str] = YAML(typ="safe").load(REPOSITORY / "docs/reference/plugins/examples.yaml")
REST: dict[str, Any] = {"name": "example", "source": {"use": "web-download"}}


def test_the_pages_match_the_code() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_plugin_has_an_example() -> None:
    built_in = {
        plugin.name
        for plugin in PluginRegistry.installed()
        if plugin.value.startswith(("imageport_builtin", "imageport_glance"))
    }
    assert EXAMPLES.keys() == built_in


def test_the_examples_are_valid(tmp_path: Path) -> None:
    for name, example in EXAMPLES.items():
        pipeline = REST | YAML(typ="safe").load(example)
        if name == "http":
            pipeline["stores"].append({"use": "file", "with": {"directory": "./images"}})
        (tmp_path / f"{name}.yaml").write_text(json.dumps(pipeline))
    (tmp_path / "signers").mkdir()
    command = [sys.executable, "-m", "imageport", "validate", str(tmp_path)]
    environment = os.environ | {"OS_APPLICATION_CREDENTIAL_SECRET": "in the example of glance-download"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_uses_its_plugin(name: str) -> None:
    assert f"use: {name}\n" in EXAMPLES[name]
