"""The site file: what all pipelines of one machine share. None is needed."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from imageport.access.policy import Policy
from imageport.access.protection import PropertyProtections, Protections
from imageport.access.quotas import Quotas
from imageport.configuration import defaults
from imageport.configuration.entries import StepEntry
from imageport.configuration.folders import config_home, data_home
from imageport.configuration.optionerrors import add_unreported, model_problems
from imageport.configuration.paths import expanded, path_of, resolve_paths
from imageport.configuration.templating import Variables, expand_tree, literal
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid, Problem, UsageError
from imageport.http.network import NetworkRules
from imageport.limits import Limits
from imageport.redaction import redact_problems
from imageport.text import did_you_mean, map_texts

log = logging.getLogger("imageport")

CONFIG_VARIABLE = "IMAGEPORT_CONFIG"
FILE_NAME = "imageport.yaml"
SYSTEM_FILE = Path("/etc/imageport") / FILE_NAME

_SQLITE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)(.+)", re.DOTALL)


class StagingRules(BaseModel):
    """``staging:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path = Field(
        default_factory=lambda: _default_staging(os.environ),
        description="Folder for work files, of this catalog alone and apart from those of stores; a path, or "
        "file:///absolute/path.",
    )


class Site(BaseModel):
    """What all pipelines of one machine share; every field has a default that works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: str = Field(
        default_factory=lambda: _default_catalog(os.environ),
        description="Database of images and tasks: sqlite:////absolute/path.db or postgresql+psycopg://...",
    )
    staging: StagingRules = Field(default_factory=StagingRules, description="The scratch area.")
    enabled_methods: list[str] | None = Field(
        default=None, description="Import methods that may be used; without a list, every installed one."
    )
    local_paths: list[Path] | None = Field(
        default=None,
        description="Folders from which images may be imported by path; links that lead out of them are refused. "
        "Without a list, the files that the caller may read; for callers of a service, none.",
    )
    network: NetworkRules = Field(default_factory=NetworkRules, description="Rules for network connections.")
    digests: list[str] = Field(
        default_factory=lambda: ["md5", "sha512"],
        min_length=1,
        description="Digests of the stored bytes, as hashlib names them. "
        "md5 becomes checksum, the last one os_hash_value.",
    )
    limits: Limits = Field(default_factory=Limits, description="Caps on everything that grows.")
    stores: list[StepEntry] = Field(
        default_factory=list, description="Stores that pipelines name by id; without any, one file store."
    )
    default_store: str | None = Field(
        default=None,
        description="Store of pipelines that name none; a single store is the default by itself.",
    )
    observers: list[StepEntry] = Field(
        default_factory=list,
        description="Observers, which receive the events of every import on this machine.",
    )
    policy: Policy = Field(
        default_factory=Policy,
        description="Access rules. A rule is made of '@' (all callers), '!' (none), 'role:NAME', 'owner' (the image "
        "belongs to the caller's project, or to the user without one) and 'visibility:public' (or community, shared, "
        "private), joined by 'and' and 'or'; 'and' binds tighter.",
    )
    property_protections: PropertyProtections | None = Field(
        default=None, description="Properties that only some may write or read; without it, all are free."
    )
    quotas: Quotas = Field(
        default_factory=Quotas,
        description="How much each owner (a project, or a user without one) may have; without a value, no limit.",
    )
    disabled_plugins: list[str] = Field(
        default_factory=list, description="Installed plugins to treat as not installed."
    )
    trust: Literal["signed"] | None = Field(
        default=None,
        description="signed: every pipeline is as if it had 'trust: signed', but for those that copy images which are "
        "here already.",
    )
    require_image_format_match: bool = Field(
        default=True, description="Refuse images whose bytes are not of the disk_format that was declared."
    )
    gpt_safety_checks_nonfatal: list[Literal["mbr"]] = Field(
        default_factory=list,
        description="Checks of partition tables that only warn: mbr, for disks whose boot record has odd flags or "
        "entries. It holds for every step and for the disks inside other formats.",
    )

    _file: YamlFile = PrivateAttr()
    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _secrets: frozenset[str] = PrivateAttr(default=frozenset())
    _protections: Protections = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _has_store(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        stores = data.get("stores", [])
        if stores == []:
            stores = [_default_store(os.environ)]
        only = stores[0] if isinstance(stores, list) and len(stores) == 1 else None
        return {"default_store": _id_of(only), **data, "stores": stores}

    @field_validator("digests")
    @classmethod
    def _are_digests(cls, names: list[str]) -> list[str]:
        known = sorted(hashlib.algorithms_available)
        for name in names:
            if name not in known or hashlib.new(name, usedforsecurity=False).digest_size == 0:
                raise ValueError(
                    f"'{name}' is not a digest of fixed length in hashlib{did_you_mean(name, known)}"
                )
        if len(set(names)) < len(names):
            raise ValueError("a digest is listed twice")
        return names

    def model_post_init(self, _: Any) -> None:
        """Let entries of a site without file be found where those of a file are."""
        self._file = YamlFile("built-in site", map_texts(self.model_dump(by_alias=True), literal), {})
        self._protections = Protections(self.property_protections)

    @property
    def file(self) -> YamlFile:
        """The file this came from."""
        return self._file

    @property
    def secrets(self) -> frozenset[str]:
        """Values that came from the environment or from files, to be kept out of messages."""
        return self._secrets

    @property
    def protections(self) -> Protections:
        """The rules of the file that ``property_protections`` names."""
        return self._protections

    @property
    def folder(self) -> Path:
        """The folder to which relative paths in the site file belong."""
        return self._folder

    def store_ids(self) -> list[str]:
        """Return the ids of the shared stores, in the order of the file."""
        return [store.id or store.use for store in self.stores]

    def allows_method(self, name: str) -> bool:
        """Return whether the import method called *name* may be used here."""
        return self.enabled_methods is None or name in self.enabled_methods


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
        given["catalog"] = _default_catalog(environ)
    if "staging" not in given:
        given["staging"] = {"directory": _default_staging(environ)}
    if given.get("stores", []) == []:
        given["stores"] = [_default_store(environ)]
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
    """Find ids that are not unique, whatever else is wrong with the file."""
    stores, ids = tree["stores"], []
    for index, store in enumerate(stores if isinstance(stores, list) else []):
        name = _id_of(store)
        if name in ids:
            yield file.problem(("stores", index), f"there is already a store '{name}': choose another id")
        ids.append(name)
    default = tree.get("default_store")
    if isinstance(default, str) and default not in ids:
        known = [name for name in dict.fromkeys(ids) if name]
        near = did_you_mean(default, known) or f" (there are: {', '.join(known)})"
        yield file.problem(("default_store",), f"no store has the id '{default}'{near}")


def _id_of(store: Any) -> str | None:
    """Return the id of a store entry that may be anything."""
    if isinstance(store, StepEntry):
        return store.id or store.use
    name = store.get("id") or store.get("use") if isinstance(store, dict) else None
    return name if isinstance(name, str) else None


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


def _default_catalog(environ: Mapping[str, str]) -> str:
    return f"sqlite:///{data_home(environ) / 'catalog.db'}"


def _default_staging(environ: Mapping[str, str]) -> Path:
    return data_home(environ) / "staging"


def _default_store(environ: Mapping[str, str]) -> dict[str, Any]:
    return {"use": defaults.STORE, "id": "default", "with": {"directory": str(data_home(environ) / "images")}}


def _anchored_catalog(url: str, folder: Path) -> str:
    found = _SQLITE_FILE.fullmatch(url)
    return f"{found[1]}{folder / expanded(found[2])}" if found else url
