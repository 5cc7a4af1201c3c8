"""The site file: the settings that all pipelines of one machine share. None is needed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from imageport.access.policy import Policy
from imageport.access.protection import PropertyProtections, Protections
from imageport.access.quotas import Quotas
from imageport.configuration.defaults import default_catalog, default_staging, default_store_entry
from imageport.configuration.entries import StepEntry
from imageport.configuration.templating import literal
from imageport.configuration.yamlfile import YamlFile
from imageport.http.network import NetworkRules
from imageport.limits import Limits
from imageport.text import did_you_mean, map_texts


class StagingRules(BaseModel):
    """``staging:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: Path = Field(
        default_factory=lambda: default_staging(os.environ),
        description="Folder for work files, of this catalog alone and apart from those of stores; a path, or "
        "file:///absolute/path.",
    )


class PluginRules(BaseModel):
    """Settings for finding plugins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: str | None = Field(
        None,
        description="Index of plugins for 'imageport plugins search': an absolute path, or an http or https url. "
        "Default: the one that comes with Imageport.",
        max_length=2000,
        pattern="^(/|https?://)",
    )


class Site(BaseModel):
    """The settings that all pipelines of one machine share; every field has a default that works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    catalog: str = Field(
        default_factory=lambda: default_catalog(os.environ),
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
    plugins: PluginRules = Field(default_factory=PluginRules, description="Where plugins are found.")
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
            stores = [default_store_entry(os.environ)]
        only = stores[0] if isinstance(stores, list) and len(stores) == 1 else None
        return {"default_store": id_of(only), **data, "stores": stores}

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


def id_of(store: Any) -> str | None:
    """Return the id of a store entry that may be anything."""
    if isinstance(store, StepEntry):
        return store.id or store.use
    name = store.get("id") or store.get("use") if isinstance(store, dict) else None
    return name if isinstance(name, str) else None
