"""Findings about a cloud: signing in, the image service, its stores and methods, and the room of the project."""

from __future__ import annotations

from collections.abc import Iterator

from imageport.values import Finding

from imageport_openstack.glance import Glance
from imageport_openstack.options import OpenStackOptions

_MIB = 1 << 20


def examine(glance: Glance, options: OpenStackOptions) -> Iterator[Finding]:
    """Yield what would stop an import. Raises the errors of the cloud."""
    place = options.address.removesuffix("/")
    for _ in glance.images(False, limit="1"):
        break
    known = {str(store["id"]) for store in glance.optional("/info/stores").get("stores", ())}
    if missing := sorted(set(options.stores) - known):
        hint = f"it has: {', '.join(sorted(known)) or 'one store without a name'}"
        yield Finding("error", f"the Glance of {place} has no store {', '.join(missing)}", hint)
    if options.imports:
        method = "glance-direct" if options.method == "upload" else options.method
        offered = glance.optional("/info/import").get("import-methods", {}).get("value", ())
        if method not in offered:
            hint = f"its administrator enables it in enabled_import_methods; it has: {', '.join(offered) or 'none'}"
            yield Finding("error", f"the Glance of {place} does not import with {method}", hint)
    total = glance.optional("/info/usage").get("usage", {}).get("image_size_total", {})
    free = (total["limit"] - total["usage"]) * _MIB if total.get("limit", -1) >= 0 else None
    if free is not None and free <= 0:
        yield Finding(
            "error", f"the project has no room in {place}", "delete images, or raise the quota", free=0
        )
    else:
        yield Finding("ok", f"{place} accepts images", free=free)
