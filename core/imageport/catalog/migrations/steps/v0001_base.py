"""The catalog of Imageport 0.1.0, which had no revision yet. Catalogs of this shape begin here."""

revision = "0001"
down_revision = None

#: The tables and columns by which such a catalog is recognised.
COLUMNS = {
    "images": {
        "id", "name", "status", "disk_format", "container_format", "size", "virtual_size", "checksum", "os_hash_algo",
        "os_hash_value", "owner", "visibility", "protected", "min_disk", "min_ram", "tags", "fence", "created_at",
        "updated_at",
    },
    "image_properties": {"image_id", "name", "value"},
    "image_locations": {
        "number", "image_id", "store", "url", "metadata", "status", "task_id", "remover", "removal_expires_at",
    },
    "tasks": {
        "id", "image_id", "type", "status", "message", "cause", "owner", "input", "result", "progress", "holder",
        "attempt", "fence", "cancel_requested", "snapshot", "touched", "created_at", "updated_at", "expires_at",
        "lease_expires_at",
    },
}  # fmt: skip


def upgrade() -> None:
    """Do nothing: this is where upgrades begin."""
