"""The options of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from imageport import PluginConfig
from pydantic import Field

#: A name that both ``rbd`` and a url take as it is.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.-]*$")]

Feature = Literal[
    "layering", "striping", "exclusive-lock", "object-map", "fast-diff", "deep-flatten", "journaling"
]


class RbdOptions(PluginConfig):
    """Options of ``rbd``."""

    pool: Name = Field(description="Pool that receives the images; it must be there.")
    conf: Path = Field(
        default=Path("/etc/ceph/ceph.conf"),
        description="Configuration of the Ceph client, with its monitors.",
    )
    user: Name = Field(default="admin", description="Name of the Ceph user, without 'client.'.")
    keyring: Path | None = Field(
        default=None, description="File with the key of the user; else the one that the configuration names."
    )
    object_size: Literal[1, 2, 4, 8, 16, 32] = Field(
        default=4, description="MiB of the objects that an image is cut into."
    )
    features: frozenset[Feature] | None = Field(
        default=None,
        description="Features of new images; else those of the configuration. Clones need layering.",
    )
    data_pool: Name | None = Field(
        default=None, description="Pool for the data, such as an erasure-coded one; else the same pool."
    )
    formats: frozenset[str] = Field(
        default=frozenset({"raw", "iso"}),
        description="Disk formats that the store takes. Machines can start from clones of raw images only.",
    )
    in_flight: int = Field(
        default=8, ge=1, le=64, description="Writes and reads at the same time, of up to 4 MiB."
    )
    driver: Literal["auto", "bindings", "command"] = Field(
        default="auto",
        description="How to use Ceph: by its bindings for Python, by the command rbd, or by what is there.",
    )
