"""The pages about the YAML files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from imageport.configuration.entries import Pipeline, SourceEntry, StepEntry
from imageport.configuration.site import Site
from imageport.plugins.about import options_of
from reference_pages.writing import markdown, prose, required, table


def pipeline_page() -> Iterator[str]:
    """Describe the pipeline file."""
    yield "# The pipeline file"
    yield prose(Pipeline)
    yield model_table(Pipeline)
    yield "## source"
    yield prose(SourceEntry)
    yield model_table(SourceEntry)
    yield "## Entries of steps, stores and observers"
    yield prose(StepEntry)
    yield model_table(StepEntry)
    yield "Paths in a pipeline are relative to the folder where the command is started."
    yield "## Variables"
    yield table(
        ("written", "stands for"),
        [
            ("`{source.uri}`", "the address of the image"),
            ("`{source.dir}`", "the address up to the last slash"),
            ("`{source.name}`", "what follows the last slash"),
            ("`{var.NAME}`", "`--set NAME=VALUE`, or the value under `vars`"),
            ("`{env.NAME}`", "an environment variable; a secret, hidden in all output"),
            ("`{file.PATH}`", "the content of a text file; a secret, hidden in all output"),
            ("`{{` and `}}`", "the braces themselves"),
        ],
    )
    yield "`imageport schema` prints this as JSON Schema, with the options of every installed plugin, for editors."


def site_page() -> Iterator[str]:
    """Describe the site file."""
    yield "# The site file"
    yield (
        "The settings that all pipelines of one machine share. None is needed. The first of these counts: "
        "`--config FILE`, the environment variable `IMAGEPORT_CONFIG`, `imageport.yaml` in the current folder, "
        "`~/.config/imageport/imageport.yaml`, `/etc/imageport/imageport.yaml`."
    )
    yield (
        "Without a file, catalog, staging and a file store called `default` are kept in `~/.local/share/imageport`. "
        "Paths in the file are relative to its folder. `{env.NAME}` and `{file.PATH}` may be used in it."
    )
    yield model_table(Site)
    for name, field in Site.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not StepEntry:
                yield f"## {name}"
                yield model_table(kind)
    yield "Stores and observers are written as [in a pipeline](pipeline-file.md)."


def model_table(model: type[BaseModel]) -> str:
    """Return a table of the fields of *model*."""
    options = options_of(model)
    for option in options:
        field = model.model_fields.get(option["name"])
        # A default that is made anew each time does not show in a schema; that of a list is shown.
        if field is not None and isinstance(made := field.get_default(call_default_factory=True), list):
            option["default"] = made or None
    return options_table(options, model.__name__)


def options_table(options: Iterable[Mapping[str, Any]], owner: str) -> str:
    """Return a table of options as ``about`` gives them."""
    rows = []
    for option in options:
        default = "required" if option["required"] else f"`{yaml_value(option['default'])}`"
        text = required(option["description"], f"{owner}: option {option['name']} has no description")
        rows.append(
            (
                f"`{option['name']}`",
                option["type"].replace("|", "or"),
                default.replace("``", ""),
                markdown(text),
            )
        )
    return table(("option", "type", "default", "meaning"), rows)


def yaml_value(value: Any) -> str:
    """Return a default as it would be written in YAML; nothing for one that means "none"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(yaml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {yaml_value(item)}' for key, item in value.items())}}}"
    return str(value)
