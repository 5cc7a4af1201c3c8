"""Pydantic models of the pipeline file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    field_validator,
    model_validator,
)

from imageport.values import RESERVED_PREFIX

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

# A key with nothing behind it, ``steps:``, means the same as none at all.
_Options = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
_OrNothing = BeforeValidator(lambda value: [] if value is None else value)


class StepEntry(BaseModel):
    """One configured plugin: its name, its label and its options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: str = Field(description="Name of an installed plugin.")
    id: str | None = Field(
        default=None, description="Name of this entry in messages and reports; of a store, its id."
    )
    with_: _Options = Field(default_factory=dict, alias="with", description="Options of the plugin.")

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, entry: Any) -> Any:
        if isinstance(entry, str):
            raise ValueError(f"must be a mapping: write 'use: {entry}'")  # noqa: TRY004 - pydantic wants ValueError
        return entry

    @field_validator("id")
    @classmethod
    def _is_label(cls, label: str | None) -> str | None:
        if label is not None and not _ID.fullmatch(label):
            raise ValueError(
                "must start with a letter or digit; then letters, digits, '_', '.', '-', at most 64"
            )
        if label is not None and label.startswith(RESERVED_PREFIX):
            raise ValueError(f"must not start with {RESERVED_PREFIX}")
        return label


class SourceEntry(StepEntry):
    """Where the image comes from: an import method and an address."""

    uri: str | None = Field(
        default=None, description="Address of the image, when the command line gives none: a url or a path."
    )


StoreEntry = Annotated[
    Annotated[StepEntry, Tag("entry")] | Annotated[str, Tag("id")],
    Discriminator(lambda value: "id" if isinstance(value, str) else "entry"),
]


class Pipeline(BaseModel):
    """How an image is imported: source, steps from top to bottom, stores side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = Field(min_length=1, description="Name of the pipeline.")
    description: str | None = Field(default=None, description="Purpose of the pipeline.")
    vars: Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else value)] = Field(
        default_factory=dict, description="Variables {var.NAME} and their values unless --set gives others."
    )
    source: SourceEntry = Field(description="The import method.")
    steps: Annotated[list[StepEntry], _OrNothing] = Field(
        default_factory=list, description="Steps, which run from top to bottom."
    )
    stores: list[StoreEntry] = Field(
        default_factory=list,
        description="Stores, written in parallel: entries, or ids of stores of the site file. "
        "Left out, it is the default store.",
    )
    observers: Annotated[list[StepEntry], _OrNothing] = Field(
        default_factory=list, description="Observers, which receive the events of the import."
    )
    all_stores_must_succeed: StrictBool = Field(
        default=True, description="Whether one failing store fails the import."
    )
    staging: Literal["auto", "file", "stream"] = Field(
        default="auto",
        description="Whether the data passes through as a stream or is put into a file first; "
        "auto makes a file only when a step needs one.",
    )

    trust: Literal["signed"] | None = Field(
        default=None,
        description="signed: nothing is published unless a trusted signer vouches for the image, by a signed checksum "
        "list or a signature of its bytes.",
    )

    @field_validator("stores", mode="before")
    @classmethod
    def _names_a_store(cls, stores: Any) -> Any:
        # An empty list may have been meant to name some; the default store would then be the wrong one.
        if stores is None or stores == []:
            raise ValueError("names no store: name one, or leave it out for the default store")
        return stores
