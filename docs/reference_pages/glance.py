"""The page for operators of Glance."""

from __future__ import annotations

from collections.abc import Iterator

from imageport_glance.from_glance.options import OPTIONS, Option
from reference_pages.writing import table

_WORDS = (
    ("image, record", "image: a record in the catalog, and its copies"),
    ("backend, store", "store"),
    ("location", "copy; `images show` lists them"),
    ("import method", "the `source` of a pipeline, by the same name"),
    ("import plugin", "a step of a pipeline, by the same name"),
    ("staging area", "staging; its folder is `staging.directory`"),
    ("task", "task; `tasks list`, `tasks show`, `tasks cancel`"),
    ("`os_glance_import_task`, the lock", "the same property; behind it a lease that ends by itself"),
    ("project, tenant", "`--project`; the owner of an image is a project, or a user without one"),
)

_CALLS = (
    ("`POST /v2/images`", "`imageport images create`, or nothing: `run` makes the record"),
    ("`GET /v2/images`, `GET /v2/images/ID`", "`imageport images list`, `imageport images show IMAGE`"),
    ("`PATCH /v2/images/ID`", "`imageport images set IMAGE`"),
    ("`DELETE /v2/images/ID`", "`imageport images delete IMAGE`"),
    ("`DELETE /v2/stores/STORE/ID`", "`imageport images delete IMAGE --store STORE`"),
    ("`PUT /v2/images/ID/stage`", "`imageport images stage IMAGE FILE`"),
    ("header `x-openstack-image-size`", "`--size` of `images stage`"),
    (
        "`POST /v2/images/ID/import`",
        "`imageport run PIPELINE [SOURCE] --image IMAGE`, which waits for the end",
    ),
    ("`GET /v2/images/ID/file`", "`imageport images export IMAGE FILE`"),
    ("`GET /v2/images/ID/tasks`", "`imageport tasks list --image IMAGE`"),
    ("`GET /v2/info/import`", "`enabled_methods` in the site file; `imageport plugins list`"),
    ("`GET /v2/info/stores`", "`imageport stores list`"),
    ("a token of Keystone", "`--user`, `--project`, `--role`"),
)

_FIELDS = (
    ("`method.name`", "`use` under `source` of the pipeline"),
    ("`method.uri`", "the argument `SOURCE`, or `uri` under `source`"),
    ("`method.glance_image_id`", "the argument `SOURCE` of a pipeline with `glance-download`"),
    (
        "`method.glance_region`, `method.glance_service_interface`",
        "options of `glance-download`, by the same names",
    ),
    ("`stores`", "`--store ID`, once for each; without it the stores of the pipeline, or the default store"),
    ("`all_stores`", "`--all-stores`"),
    ("`all_stores_must_succeed`", "`--must-succeed` or `--allow-failure`, or the same key of the pipeline"),
    ("header `X-Image-Meta-Store`", "`--store ID`"),
)

_DIFFERENT = """\
* The image is read once and written to all stores at the same time. Nothing is visible before every check has passed.
* A failed import leaves nothing behind: no bytes, no lock, no changed formats. The image is `queued`, or `active` when
  it was copied, and the task has the cause, the step and the store.
* Whatever cannot work is refused before anything moves: an unknown plugin, steps in the wrong order, a store that does
  not exist or cannot be written.
* Private addresses, also behind names and redirects, are refused unless `network.allow_networks` has them.
* Downloads resume, and have timeouts; `image_size_cap` holds on the wire, while unpacking and for what is converted.
* xz, bzip2, zstd, 7z and tar are unpacked too, and several layers of them.
* A published checksum can be checked: the step `checksum`.
* `image_conversion` reads vhd and hybrid iso images, and restores the format when the import fails later.
* Properties are injected with the rights of the operator: property protections hold for users only.
* A property protection never covers the names that are reserved, and no other name escapes it.
* `copy-image` fails when no store got a copy."""

_MISSING = """\
* An HTTP service: everything is done by the command, on the machine with the stores.
* Stores in Ceph (rbd), S3, Swift, Cinder and VMware. A [plugin](../tutorial/first-plugin.md) can bring one.
* Images of Glance's database are not taken over. `glance-download` brings them one by one.
* Members of shared images; limits registered in Keystone; certificates kept in Barbican; notifications on a message
  queue."""


def glance_page() -> Iterator[str]:
    """Describe where everything of Glance is here."""
    yield "# For Glance operators"
    yield (
        "Where the options, calls and words of OpenStack Glance are here, as far as they concern the import of images. "
        "[Move from Glance](../how-to/move-from-glance.md) shows how to translate a configuration."
    )
    yield "## Words"
    yield table(("in Glance", "here"), _WORDS)
    yield "## Calls"
    yield table(("call", "command"), _CALLS)
    yield "The body of the import call:"
    yield table(("field", "here"), _FIELDS)
    yield "## Options"
    yield (
        "A key with dots is one of the [site file](site-file.md). `plugin`: `option` is one of a "
        "[plugin](plugins/README.md) in a pipeline, or of a store or an observer in the site file. "
        "`imageport from-glance` translates by this table."
    )
    yield table(
        ("option", "section", "default in Glance", "here", "remarks"),
        [
            (
                f"`{option.name}`",
                _code(option.section),
                _code(option.default),
                _place(option),
                _remarks(option),
            )
            for option in OPTIONS
        ],
    )
    yield "## What is different"
    yield _DIFFERENT
    yield "## What is not there"
    yield _MISSING


def _place(option: Option) -> str:
    if option.site:
        return f"`{option.site}`"
    return ": ".join(f"`{name}`" for name in (option.plugin, option.key) if name) or "nowhere"


def _remarks(option: Option) -> str:
    return "; ".join(filter(None, (option.note, option.instead)))


def _code(text: str) -> str:
    return f"`{text}`" if text and not text.startswith("(") else text
