"""The tables of the catalog. A change of them needs a step in ``migrations/steps`` and its number in ``REVISIONS``.

Types are named as in SQLite; ``Database.types`` has the others. Constraints have the names that PostgreSQL gives by
itself, so that a later step can change one.
"""

from __future__ import annotations

#: All revisions, oldest first; each is a file in ``migrations/steps``.
REVISIONS = ("0001", "0002", "0003", "0004")

#: One row: the revision of the tables, and the Imageport that made or upgraded them. Alembic names ``version_num``.
#: No step may change this table: every Imageport has to be able to read it.
VERSION_TABLE = "imageport_version"
VERSION = f"""
CREATE TABLE {VERSION_TABLE} (
    version_num VARCHAR(32) NOT NULL,
    release TEXT NOT NULL,
    CONSTRAINT imageport_version_pkey PRIMARY KEY (version_num)
)"""

#: PostgreSQL refuses long values in an index.
VALUE_START_LENGTH = 64
VALUE_START = f"substr(value, 1, {VALUE_START_LENGTH})"

#: ``fence`` counts the locks taken on the image, see ``lease``; the rest are fields of ``ImageRecord``. Lists are
#: read in the order of the indexes, of all images or of those with one value.
IMAGES = f"""
CREATE TABLE images (
    id VARCHAR(64) NOT NULL,
    name TEXT,
    status VARCHAR(16) NOT NULL,
    disk_format TEXT,
    container_format TEXT,
    size BIGINT,
    virtual_size BIGINT,
    checksum TEXT,
    os_hash_algo TEXT,
    os_hash_value TEXT,
    owner TEXT,
    visibility TEXT NOT NULL,
    protected BOOLEAN NOT NULL,
    min_disk BIGINT NOT NULL,
    min_ram BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    CONSTRAINT images_pkey PRIMARY KEY (id)
);
CREATE INDEX ix_images_name ON images (name);
CREATE INDEX ix_images_created_at ON images (created_at, id);
CREATE INDEX ix_images_owner ON images (owner, created_at, id);
CREATE INDEX ix_images_status ON images (status, created_at, id);
CREATE INDEX ix_images_visibility ON images (visibility, created_at, id);

CREATE TABLE image_tags (
    image_id VARCHAR(64) NOT NULL,
    tag VARCHAR(255) NOT NULL,
    CONSTRAINT image_tags_pkey PRIMARY KEY (image_id, tag),
    CONSTRAINT image_tags_image_id_fkey FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE
);
CREATE INDEX ix_image_tags_tag ON image_tags (tag, image_id);

CREATE TABLE image_properties (
    image_id VARCHAR(64) NOT NULL,
    name VARCHAR(255) NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT image_properties_pkey PRIMARY KEY (image_id, name),
    CONSTRAINT image_properties_image_id_fkey FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE
);
CREATE INDEX ix_image_properties_value ON image_properties (name, {VALUE_START})"""

#: An index of all rows would mislead SQLite, which takes the few hidden rows for as many as the visible ones.
HIDDEN = "status <> 'active'"

#: No foreign key: a pending row is the only trace of bytes in a store and must outlive its image.
#: ``remover`` is the process that removes the bytes, see ``locations``.
LOCATIONS = f"""
CREATE TABLE image_locations (
    number INTEGER NOT NULL,
    image_id VARCHAR(64) NOT NULL,
    store VARCHAR(255) NOT NULL,
    url TEXT NOT NULL,
    metadata JSON NOT NULL,
    status VARCHAR(16) NOT NULL,
    task_id VARCHAR(64),
    remover TEXT,
    removal_expires_at DATETIME,
    CONSTRAINT image_locations_pkey PRIMARY KEY (number),
    CONSTRAINT image_locations_image_id_store_url_key UNIQUE (image_id, store, url)
);
CREATE INDEX ix_image_locations_task_id ON image_locations (task_id);
CREATE INDEX ix_image_locations_hidden ON image_locations (status) WHERE {HIDDEN}"""

#: In ``touched`` of a task, the process from which it was taken over, if that is not known to be gone.
WRITER = "writer"

#: ``cause`` is why the task failed: code, step, store and hint.
#: ``reserved`` are the bytes that all copies of the image take in stores once the import has ended well.
#: ``snapshot`` is the image as it was; a roll back takes from it the fields in ``touched``: all that the import set.
TASKS = """
CREATE TABLE tasks (
    id VARCHAR(64) NOT NULL,
    image_id VARCHAR(64) NOT NULL,
    type VARCHAR(16) NOT NULL,
    status VARCHAR(16) NOT NULL,
    message TEXT NOT NULL,
    cause JSON,
    owner TEXT NOT NULL,
    input JSON NOT NULL,
    result JSON,
    progress JSON NOT NULL,
    holder TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    fence BIGINT NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    snapshot JSON NOT NULL,
    touched JSON NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    expires_at DATETIME,
    lease_expires_at DATETIME NOT NULL,
    reserved BIGINT,
    CONSTRAINT tasks_pkey PRIMARY KEY (id)
);
CREATE INDEX ix_tasks_image_id ON tasks (image_id);
CREATE INDEX ix_tasks_expires_at ON tasks (expires_at);
CREATE INDEX ix_tasks_created_at ON tasks (created_at, id);
CREATE INDEX ix_tasks_owner ON tasks (owner, created_at, id);
CREATE INDEX ix_tasks_status ON tasks (status, created_at, id)"""

ALL = (VERSION, IMAGES, LOCATIONS, TASKS)
