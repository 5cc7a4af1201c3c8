"""An index of plugins that can be installed: a JSON or YAML file, on this machine or behind a url."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from imageport.app.housekeeping import maintenance_context
from imageport.configuration.site import Site
from imageport.errors import UsageError
from imageport.text import printable

#: Bytes of the largest index that is read.
MAX_SIZE = 1 << 20

_Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_Line = Annotated[str, StringConstraints(min_length=1, max_length=300)]


class IndexedPlugin(BaseModel):
    """A plugin of an index: its name in pipelines, and the package that supplies it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: _Word
    package: _Word
    summary: _Line
    roles: Annotated[list[_Word], Field(max_length=10)]
    stability: Literal["experimental", "stable", "deprecated"] = "experimental"
    licence: _Word | None = None
    homepage: _Line | None = None


class _Index(BaseModel):
    """The whole file. Keys that are not known are left out, so that later versions may have more."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1]
    plugins: Annotated[list[IndexedPlugin], Field(max_length=5000)]


def search(site: Site, word: str, bundled: Path) -> list[dict[str, Any]]:
    """Return the plugins of the index of *site*, else of *bundled*, that have *word* in a text, sorted by name.

    Raises ``UsageError`` for an index that cannot be read, and the errors of the network for one behind a url.
    """
    place: str | Path = bundled if site.plugins.index is None else site.plugins.index
    found = _read(_content(site, place), str(place))
    wanted = word.casefold()
    return [
        plugin.model_dump()
        for plugin in sorted(found.plugins, key=lambda plugin: (plugin.name, plugin.package))
        if wanted in " ".join((plugin.name, plugin.package, plugin.summary, *plugin.roles)).casefold()
    ]


def _content(site: Site, place: str | Path) -> bytes:
    content = b""
    if isinstance(place, str) and place.startswith(("http://", "https://")):
        with maintenance_context(site) as ctx, ctx.http.get(place) as response:
            for chunk in response.chunks():
                content += chunk
                if len(content) > MAX_SIZE:
                    break
    else:
        try:
            with Path(place).open("rb") as file:
                content = file.read(MAX_SIZE + 1)
        except OSError as error:
            raise UsageError(
                f"the index of plugins {place} cannot be read: {error.strerror}",
                hint="correct plugins.index in the site file",
            ) from error
    if len(content) > MAX_SIZE:
        raise UsageError(
            f"the index of plugins {place} has more than {MAX_SIZE} bytes",
            hint="correct plugins.index in the site file",
        )
    return content


def _read(content: bytes, place: str) -> _Index:
    try:
        return _Index.model_validate(YAML(typ="safe", pure=True).load(content.decode()))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        reason = f"{where}: {first['msg']}"
    except (UnicodeDecodeError, YAMLError, RecursionError, ValueError) as error:
        reason = f"it is neither JSON nor YAML ({type(error).__name__})"
    raise UsageError(
        f"the index of plugins {place} cannot be used: {printable(reason)[:300]}",
        hint="its form is described in the reference, under the directory of plugins",
    )
