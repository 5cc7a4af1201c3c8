"""Find the site file, read it, and resolve its variables and paths."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imageport.access.protection import PropertyProtections
from imageport.configuration.defaults import default_catalog, default_staging, default_store_entry, url_path
from imageport.configuration.folders import config_home
from imageport.configuration.optionerrors import add_unreported, model_problems
from imageport.configuration.paths import expanded, path_of, resolve_paths
from imageport.configuration.site import Site, StagingRules, id_of
from imageport.configuration.templating import Variables, expand_tree, literal
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid, Problem, UsageError
from imageport.http.network import NetworkRules
from imageport.redaction import redact_problems
from imageport.text import did_you_mean, map_texts

CONFIG_VARIABLE = "IMAGEPORT_CONFIG"
FILE_NAME = "imageport.yaml"
SYSTEM_FILE = Path("/etc/imageport") / FILE_NAME
log = logging.getLogger("imageport")

_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)(.+)", re.DOTALL)


def load_site(explicit: str | None, *, environ: Mapping[str, str], cwd: Path) -> Site:
    """Read the site file and return it, or the defaults when there is none.

    The first of these counts: *explicit* (``--config``), ``IMAGEPORT_CONFIG``, ``imageport.yaml`` in *cwd*,
    in the user's configuration folder, in ``/etc/imageport``. Raises ``PipelineInvalid`` with every mistake, and
    ``UsageError`` when a default lies below the home folder and the user has none.
    """
    name = explicit or environ.get(CONFIG_VARIABLE) or _first_found(environ, cwd)
    if name is None:
        return Site.model_validate(_with_defaults({}, environ))
    return _site_of(YamlFile.load(cwd / name, name=name), cwd, environ)


def _with_defaults(tree: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return *tree* with defaults for the places that it lacks. A key without a value counts as missing."""
    given = {key: value for key, value in tree.items() if value is not None}
    if "catalog" not in given:
        given["catalog"] = default_catalog(environ)
    if "staging" not in given:
        given["staging"] = {"directory": default_staging(environ)}
    if given.get("stores", []) == []:
        given["stores"] = [default_store_entry(environ)]
    return given


def _site_of(file: YamlFile, cwd: Path, environ: Mapping[str, str]) -> Site:
    folder = (cwd / file.path).parent
    problems: list[Problem] = []
    variables = Variables(None, {}, {}, environ, folder, scopes=("env", "file"))
    tree = _with_defaults(expand_tree(file, file.data, variables, problems), environ)
    add_unreported(problems, _store_problems(file, tree))
    _anchor_local_paths(file, tree, folder, problems)
    _take_staging_for_path(file, tree, problems)
    try:
        for key, model in (("staging", StagingRules), ("network", NetworkRules)):
            tree[key] = resolve_paths(tree.get(key, {}), model, folder)
        if "property_protections" in tree:
            tree["property_protections"] = resolve_paths(
                tree["property_protections"], PropertyProtections, folder
            )
        site = Site.model_validate(tree)
        site = site.model_copy(
            update={
                "catalog": _anchored_catalog(site.catalog, folder),
            }
        )
    except ValidationError as error:
        add_unreported(problems, model_problems(file, error, Site))
    except PipelineInvalid as error:
        problems += error.problems
    except ValueError as error:
        problems.append(file.problem((), str(error)))
    if problems:
        raise PipelineInvalid(sorted(redact_problems(problems, variables.secrets)))
    site._file = YamlFile(
        file.path,
        {**file.data, "stores": file.data.get("stores") or map_texts(tree["stores"], literal)},
        file.positions,
    )
    site._folder = folder
    site.network._site_file = file.path
    site._secrets = frozenset(variables.secrets)
    return site


def _anchor_local_paths(file: YamlFile, tree: dict[str, Any], folder: Path, problems: list[Problem]) -> None:
    paths = tree.get("local_paths")
    if not isinstance(paths, list):
        return
    for index, path in enumerate(paths):
        if isinstance(path, str):
            try:
                paths[index] = folder / expanded(path)
            except ValueError as error:
                problems.append(file.problem(("local_paths", index), str(error)))


def _take_staging_for_path(file: YamlFile, tree: dict[str, Any], problems: list[Problem]) -> None:
    rules = tree["staging"]
    directory = rules.get("directory") if isinstance(rules, dict) else None
    if isinstance(directory, str):
        try:
            tree["staging"] = {**rules, "directory": path_of(directory)}
        except ValueError as error:
            problems.append(file.problem(("staging", "directory"), str(error)))


def _store_problems(file: YamlFile, tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Find ids that are not unique, also in a file with other mistakes."""
    stores, ids = tree["stores"], []
    for index, store in enumerate(stores if isinstance(stores, list) else []):
        name = id_of(store)
        if name in ids:
            yield file.problem(("stores", index), f"there is already a store '{name}': choose another id")
        ids.append(name)
    default = tree.get("default_store")
    if isinstance(default, str) and default not in ids:
        known = [name for name in dict.fromkeys(ids) if name]
        near = did_you_mean(default, known) or f" (there are: {', '.join(known)})"
        yield file.problem(("default_store",), f"no store has the id '{default}'{near}")


def _first_found(environ: Mapping[str, str], cwd: Path) -> str | None:
    candidates = [FILE_NAME, str(SYSTEM_FILE)]
    # A user without a home folder has no site file in it.
    with suppress(UsageError):
        candidates.insert(1, str(config_home(environ) / FILE_NAME))
    return next((name for name in candidates if _exists(cwd / name)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        # HOME may be that of another user, for instance after su without "-".
        log.warning("site file %s is not used: %s", path, error.strerror)
        return False


def _anchored_catalog(url: str, folder: Path) -> str:
    found = _SQLITE_FILE.fullmatch(url)
    if found is None:
        return url
    first, slash, rest = found[2].partition("/")
    home = url_path(expanded(first, shown=found[2])) if first.startswith("~") else first
    return f"{found[1]}{Path(url_path(folder)) / (home + slash + rest)}"
