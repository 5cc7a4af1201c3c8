"""Options of the store ``openstack``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

from imageport import PluginConfig
from pydantic import Field, SecretStr, model_validator

_USER = ("username", "password", "project_name")
_APPLICATION = ("application_credential_id", "application_credential_secret")


class OpenStackOptions(PluginConfig):
    """Where the cloud is, how to sign in, and how an image is made there."""

    cloud: str | None = Field(
        default=None, description="Name in a clouds.yaml, which then has the credentials."
    )
    clouds_file: Path | None = Field(
        default=None, description="That clouds.yaml, if it is in none of the usual places."
    )
    auth_url: str | None = Field(default=None, description="Keystone, for instance https://host:5000/v3.")
    username: str | None = Field(
        default=None, description="User to sign in as, with password and project_name."
    )
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    project_name: str | None = Field(
        default=None, description="Project to sign in to, which owns the images."
    )
    user_domain_name: str = Field(default="Default", description="Domain of the user.")
    project_domain_name: str = Field(default="Default", description="Domain of the project.")
    application_credential_id: str | None = Field(
        default=None, description="Application credential to sign in with, instead of a user."
    )
    application_credential_secret: SecretStr | None = Field(default=None, description="Its secret.")
    region_name: str | None = Field(
        default=None, description="Region of the Glance; needed where there are several."
    )
    interface: Literal["public", "internal", "admin"] | None = Field(
        default=None, description="Endpoint of the Glance; public unless clouds.yaml has another."
    )

    visibility: Literal["private", "shared", "community", "public"] | None = Field(
        default=None, description="Visibility of published images; that of the image unless given."
    )
    hidden: bool = Field(
        default=False, description="Keep published images out of the default list (os_hidden)."
    )
    properties: Mapping[str, str] = Field(
        default_factory=dict, description="Properties beside those of the image."
    )
    method: Literal["upload", "web-download"] = Field(
        default="upload",
        description="web-download: after all checks Glance itself fetches the image from its source, and what it has "
        "fetched is compared.",
    )
    stores: tuple[str, ...] = Field(
        default=(), description="Stores of that Glance; its default unless given."
    )
    all_stores: bool = Field(default=False, description="Use all stores of that Glance.")

    @model_validator(mode="after")
    def _are_complete(self) -> Self:
        ways = [
            names for names in (("cloud",), _USER, _APPLICATION) if any(getattr(self, name) for name in names)
        ]
        if len(ways) != 1:
            raise ValueError("give cloud, or a user, or an application credential: one of the three")
        if not all(getattr(self, name) for name in ways[0]):
            raise ValueError(f"{', '.join(ways[0][:-1])} and {ways[0][-1]} belong together")
        if self.cloud and self.auth_url:
            raise ValueError("cloud and auth_url exclude each other: clouds.yaml has the address")
        if not self.cloud and not self.auth_url:
            raise ValueError("signing in needs auth_url")
        if self.clouds_file and not self.cloud:
            raise ValueError("clouds_file needs cloud, a name in that file")
        if self.stores and self.all_stores:
            raise ValueError("stores and all_stores exclude each other")
        return self

    @property
    def address(self) -> str:
        """The beginning of the urls of all images: the name of the cloud or the host of Keystone, and the region."""
        place = self.cloud or urlsplit(self.auth_url or "").hostname or ""
        return f"openstack://{quote(place)}/{quote(self.region_name or 'default')}/"

    @property
    def imports(self) -> bool:
        """Whether Glance brings the bytes to its stores by an import, rather than during the upload."""
        return self.method == "web-download" or self.all_stores or len(self.stores) > 1

    @property
    def upload_to(self) -> Literal["file", "stage"]:
        """The place of the upload: the data of the image, or the staging area, from which it is imported."""
        return "stage" if self.imports else "file"

    @property
    def store(self) -> str | None:
        """The one store of an upload."""
        return self.stores[0] if self.stores and not self.imports else None

    @property
    def targets(self) -> dict[str, Any]:
        """The stores of an import, as Glance names them."""
        stores: dict[str, Any] = {"stores": list(self.stores)} if self.stores else {}
        return {"all_stores": True} if self.all_stores else stores
