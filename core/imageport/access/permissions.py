"""Limit the catalog to the records and actions that one caller is permitted."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from imageport.access.policy import allows, scope_of
from imageport.access.protection import Operation
from imageport.access.visibility import NOTHING, admits
from imageport.errors import NotAllowed, OverQuota, UsageError
from imageport.text import did_you_mean
from imageport.values import MAX_NAME, MAX_VALUE, RESERVED_PREFIX, Caller, ImageRecord

if TYPE_CHECKING:
    from imageport.catalog import Catalog, TaskRow
    from imageport.configuration.site import Site

#: Fields of an image that follow from its data, or that never change.
READ_ONLY = frozenset(
    {
        "checksum", "created_at", "deleted", "deleted_at", "direct_url", "file", "id", "location", "locations",
        "os_hash_algo", "os_hash_value", "owner", "schema", "self", "size", "status", "updated_at", "virtual_size",
    }
)  # fmt: skip

#: Fields that have a separate option; a property of this name would only mislead.
FIELDS = frozenset(
    {
        "container_format", "disk_format", "min_disk", "min_ram", "name", "protected", "tags", "visibility",
    }
)  # fmt: skip

#: Reserved properties that name the machine of a task. Users do not see them.
HIDDEN = frozenset({"os_glance_stage_host", "os_glance_stage_directory", "os_glance_hash_op_host"})

_NO_PROPERTIES: Mapping[str, str] = MappingProxyType({})

ImageRule = Literal[
    "add_image",
    "communitize_image",
    "copy_image",
    "delete_image",
    "delete_image_location",
    "download_image",
    "modify_image",
    "publicize_image",
]


class Access:
    """The catalog of *site* as *caller* may use it.

    Images that a caller may not see are reported as missing, with the same message, so that their existence stays
    secret.
    """

    def __init__(self, site: Site, catalog: Catalog, caller: Caller) -> None:
        self.site = site
        self.catalog = catalog
        self.caller = caller
        self._seen = scope_of(site.policy.get_image, caller)
        self._tasks = scope_of(site.policy.get_tasks, caller)

    # ------------------------------------------------------------------------------------------------- images

    def sees(self, record: ImageRecord) -> bool:
        """Return whether the caller may know of the image."""
        return admits(self._seen, record)

    def find_image(self, name_or_id: str) -> ImageRecord:
        """Return the image that the caller names, complete. Raises ``UsageError`` when there is none to be seen."""
        return self.catalog.find_image(name_or_id, scope=self._seen)

    def list_images(
        self, *, properties: Mapping[str, str] = _NO_PROPERTIES, **filters: Any
    ) -> list[ImageRecord]:
        """Return the images that the caller sees, as the caller sees them, newest first.

        *filters* are those of ``Catalog.list_images``. A property that the caller may not read is as if it were not
        there.
        """
        readable = [
            NOTHING if name in HIDDEN else self.site.protections.scope("read", name, self.caller)
            for name in properties
        ]
        found = self.catalog.list_images(properties=properties, scopes=[self._seen, *readable], **filters)
        return [self.shown(record) for record in found]

    def shown(self, record: ImageRecord) -> ImageRecord:
        """Return *record* without the properties that the caller may not read."""
        readable = {
            name: value
            for name, value in record.properties.items()
            if name not in HIDDEN and self.site.protections.allow("read", name, self.caller, record)
        }
        return record.evolve(properties=readable)

    def require(self, rule: ImageRule, record: ImageRecord) -> None:
        """Raise ``NotAllowed`` unless the policy lets the caller do this with an image that the caller sees."""
        self._require(rule, record)

    # --------------------------------------------------------------------------------------- fields of images

    def require_fields(self, record: ImageRecord, fields: Mapping[str, Any]) -> None:
        """Raise ``NotAllowed`` unless the caller may set these fields of *record*, ``UsageError`` for unknown ones."""
        for name in fields:
            if name in READ_ONLY:
                raise NotAllowed(
                    f"{name} of an image is read-only", hint="imports set it; it cannot be set by hand"
                )
            if name not in FIELDS:
                raise UsageError(
                    f"'{name}' is not a field of an image{did_you_mean(name, FIELDS)}",
                    hint=f"these can be set: {', '.join(sorted(FIELDS))}",
                )
        visibility = fields.get("visibility")
        if visibility == record.visibility:
            return
        if visibility == "public":
            self._require("publicize_image", record)
        elif visibility == "community":
            self._require("communitize_image", record)

    def require_properties(self, record: ImageRecord, properties: Mapping[str, str | None]) -> None:
        """Make sure that the caller may set these properties of *record*; None removes one.

        Raises ``NotAllowed``, and ``UsageError`` for names that no property can have and for one to remove that is
        not there, or not to be seen; ``OverQuota`` for too many.
        """
        for name, value in properties.items():
            _require_name(name)
            readable = self.shown(record).properties
            if value is None and name not in readable:
                raise UsageError(
                    f"image {record.id} has no property '{name}'",
                    hint=f"it has: {', '.join(readable) or 'none'}",
                )
            if value is None:
                self._require_property("delete", name, record)
                continue
            if len(value) > MAX_VALUE:
                raise UsageError(
                    f"the value of property {name} has {len(value)} characters",
                    hint=f"give at most {MAX_VALUE} characters",
                )
            # As far as callers know, a property that is hidden from them is not there yet: they create it.
            if name not in readable:
                self._require_property("create", name, record)
            if name in record.properties:
                self._require_property(
                    "update", name, record, reported_as=None if name in readable else "create"
                )
        left = {name for name in {**record.properties, **properties} if properties.get(name, "") is not None}
        count = sum(not name.startswith(RESERVED_PREFIX) for name in left)
        limit = self.site.limits.image_properties
        if count > limit and len(left) > len(record.properties):
            raise OverQuota(
                f"an image may have {limit} properties, this one would have {count}",
                hint="set fewer, or raise limits.image_properties in the site file",
            )

    def _require_property(
        self, operation: Operation, name: str, record: ImageRecord, *, reported_as: Operation | None = None
    ) -> None:
        if not self.site.protections.allow(operation, name, self.caller, record):
            raise NotAllowed(
                f"property {name} is protected: {self._who()} may not {reported_as or operation} it",
                hint="name a role with --role, or see property_protections in the site file",
            )

    # -------------------------------------------------------------------------------------------------- tasks

    def list_tasks(self, **filters: Any) -> list[TaskRow]:
        """Return the imports that the caller sees, newest first; *filters* are those of ``Catalog.list_tasks``."""
        return self.catalog.list_tasks(sees_image=self._seen, sees_task=self._tasks, **filters)

    def find_task(self, prefix: str) -> TaskRow:
        """Return the one import, of those the caller sees, whose id begins so. Raises ``UsageError``."""
        return self.catalog.find_task(prefix, sees_image=self._seen, sees_task=self._tasks)

    def require_cancelling(self, task: TaskRow) -> None:
        """Raise ``NotAllowed`` unless the policy lets the caller stop the import."""
        self._require("modify_task", _started_by(task))

    # ------------------------------------------------------------------------------------------------ refusals

    def _require(self, rule: ImageRule | Literal["modify_task"], record: ImageRecord) -> None:
        text = getattr(self.site.policy, rule)
        if not allows(text, self.caller, record):
            raise NotAllowed(
                f"policy {rule} ({text}) does not allow this to {self._who()}",
                hint=f"name a role with --role, or change policy.{rule} in the site file",
            )

    def _who(self) -> str:
        caller = self.caller
        name = f"{caller.user} of project {caller.project}" if caller.project else caller.user
        return f"{name} (roles: {', '.join(sorted(caller.roles)) or 'none'})"


def _started_by(task: TaskRow) -> ImageRecord:
    """Return the record for a rule about *task*: an image of the user who started it."""
    return ImageRecord(id=task.image_id, visibility="private", owner=task.owner)


def _require_name(name: str) -> None:
    """Raise unless a user may name a property so."""
    if name.startswith(RESERVED_PREFIX):
        raise NotAllowed(
            f"property {name} is reserved",
            hint=f"names that begin with {RESERVED_PREFIX} are reserved for Imageport",
        )
    if name in READ_ONLY:
        raise NotAllowed(f"{name} of an image is read-only", hint="choose another name for the property")
    if name in FIELDS:
        raise UsageError(
            f"{name} is a field of the image, not a property",
            hint="use the option for it of 'imageport images set', or choose another name",
        )
    if len(name) > MAX_NAME:
        raise UsageError(
            f"property '{name[:40]}...' has a name of {len(name)} characters",
            hint=f"give at most {MAX_NAME} characters",
        )
