"""The step that sets properties on every image that users import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from imageport import Context, Image, Plugin, PluginConfig, hookimpl
from imageport.values import RESERVED_PREFIX


def _as_text(value: Any) -> Any:
    """Return a YAML number as it is written in the file, and a truth value in lower case: properties are text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


PropertyValue = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | int | float | bool)]


class InjectImageMetadataConfig(PluginConfig):
    """Options of ``inject_image_metadata``."""

    inject: Mapping[str, PropertyValue] = Field(
        default_factory=dict, description="Properties to set; they replace those of the user."
    )
    ignore_user_roles: tuple[str, ...] = Field(
        default=("admin",), description="Callers with one of these roles import without the properties."
    )


class InjectImageMetadata(Plugin[InjectImageMetadataConfig]):
    """Set properties on the image, unless the caller has one of the roles that are exempt.

    The operator's word counts: a property that users may not change is set all the same. Names that begin
    with ``os_glance`` belong to Imageport; they are left out with a warning.
    """

    writes = "nothing"
    stability = "stable"

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None:
        """Return the image with the properties."""
        exempt = {role.casefold() for role in self.config.ignore_user_roles}
        if exempt & {role.casefold() for role in ctx.caller.roles}:
            return None
        for name in self.config.inject:
            if _is_reserved(name):
                ctx.log.warning(
                    "property %s is not injected: names with %s are reserved", name, RESERVED_PREFIX
                )
        properties = {name: value for name, value in self.config.inject.items() if not _is_reserved(name)}
        return image.evolve(properties={**image.record.properties, **properties}) if properties else None


def _is_reserved(name: str) -> bool:
    return name.startswith(RESERVED_PREFIX)
