"""The options of Glance that concern imports, and where each of them is here. The reference is written from this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from imageport_glance.from_glance import values
from imageport_glance.from_glance.yaml_text import Value

#: Stands for the sections of file stores, which have names of the operator's choice.
FILE_STORE: Final = "(a file store)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of Glance.

    ``site`` is its key in the site file; ``plugin`` and ``key`` name an option of a step or method instead. Without
    either nothing corresponds: ``note`` has the reason, and ``instead`` the alternative, if there is one. With
    ``parse`` the value is carried over as it is; the others need more than that.
    """

    section: str
    name: str
    default: str
    site: str = ""
    plugin: str = ""
    key: str = ""
    note: str = ""
    instead: str = ""
    parse: Callable[[str], Value] | None = None

    @property
    def place(self) -> str:
        """Where it is here, as a key of the site file or an option of a plugin; nothing when nowhere."""
        return self.site or ".".join(filter(None, (self.plugin, self.key)))


def _site(
    section: str,
    name: str,
    default: str,
    site: str,
    note: str = "",
    *,
    parse: Callable[[str], Value] | None = None,
) -> Option:
    return Option(section=section, name=name, default=default, site=site, note=note, parse=parse)


def _plugin(
    section: str,
    name: str,
    default: str,
    place: str,
    note: str = "",
    *,
    parse: Callable[[str], Value] | None = None,
) -> Option:
    plugin, _, key = place.partition(".")
    return Option(section=section, name=name, default=default, plugin=plugin, key=key, note=note, parse=parse)


def _nowhere(section: str, name: str, default: str, note: str, instead: str) -> Option:
    return Option(section=section, name=name, default=default, note=note, instead=instead)


_FILTER_NOTE = "a step of every pipeline that downloads"
_NO_SERVICE = "there is no HTTP service: the command does the work itself"
_NO_POOL = "an import runs in the process of its command"
_NOTHING = ""
_RUN_MORE = "start as many commands at the same time as the machine bears"

OPTIONS: Final = (
    _site("DEFAULT", "enabled_import_methods", "[glance-direct, web-download, copy-image]", "enabled_methods",
          "each of them also becomes a pipeline"),
    _site("DEFAULT", "node_staging_uri", "file:///tmp/staging/", "staging.directory",
          "a folder in it, so that Glance may still use the rest"),
    _site("DEFAULT", "enabled_backends", "", "stores", "types file and http; others become comments"),
    _site("DEFAULT", "image_size_cap", "1099511627776", "limits.image_size_cap",
          "also holds while downloading, unpacking and converting", parse=values.size),
    _site("DEFAULT", "hashing_algorithm", "sha512", "digests", "the last of them; md5 stays the checksum"),
    _site("DEFAULT", "user_storage_quota", "0", "quotas.image_size_total"),
    _site("DEFAULT", "property_protection_file", "", "property_protections.file", "the same file"),
    _site("DEFAULT", "property_protection_rule_format", "roles", "property_protections.format"),
    _plugin("DEFAULT", "disabled_notifications", "[]", "notifications.disabled_notifications", "an observer"),
    _plugin("DEFAULT", "default_publisher_id", "image.localhost", "notifications.publisher_id", "an observer"),
    _plugin("oslo_messaging_notifications", "driver", "noop", "notifications.path",
            "any driver but noop brings the observer, which writes to a file or a webhook"),
    _nowhere("DEFAULT", "use_keystone_limits", "false", "limits registered in Keystone are not read",
             "write them under quotas in the site file; they hold for each owner"),
    _site("DEFAULT", "image_property_quota", "128", "limits.image_properties", "", parse=values.limit),
    _site("DEFAULT", "image_location_quota", "10", "limits.image_locations", "", parse=values.limit),
    _nowhere("DEFAULT", "worker_self_reference_url", "",
             "staged data is imported on the machine where it was staged",
             "run 'images stage' and 'run' there, or put staging on a file system that the machines share"),
    _nowhere("DEFAULT", "public_endpoint", "", _NO_SERVICE, _NOTHING),
    _nowhere("DEFAULT", "delayed_delete", "false", "data is removed at once",
             "protect images with 'images set --protected'"),
    _nowhere("DEFAULT", "http_retries", "3", "belongs to adding a location, which is not an import", _NOTHING),
    _nowhere("DEFAULT", "do_secure_hash", "true", "belongs to adding a location, which is not an import", _NOTHING),
    _site("glance_store", "default_backend", "", "default_store"),
    _site("glance_store", "default_store", "file", "default_store", "where enabled_backends is not set"),
    _site("glance_store", "stores", "[file, http]", "stores", "where enabled_backends is not set"),
    _site("glance_store", "filesystem_store_datadir", "/var/lib/glance/images", "stores",
          "where enabled_backends is not set"),
    _site("os_glance_staging_store", "filesystem_store_datadir", "", "staging.directory",
          "a folder in it, so that Glance may still use the rest"),
    _nowhere("os_glance_tasks_store", "filesystem_store_datadir", "", "no second folder is needed", _NOTHING),
    _plugin(FILE_STORE, "filesystem_store_datadir", "/var/lib/glance/images", "file.directory", "of the store"),
    _plugin(FILE_STORE, "filesystem_store_file_perm", "0", "file.mode", "of the store"),
    _nowhere(FILE_STORE, "filesystem_store_datadirs", "", "a store has one directory",
             "name a file store for each directory"),
    _nowhere(FILE_STORE, "store_description", "", "stores have ids only", "write a comment in the site file"),
    _nowhere(FILE_STORE, "filesystem_store_chunk_size", "65536", "pieces have one size that suits the whole way",
             _NOTHING),
    _nowhere(FILE_STORE, "filesystem_thin_provisioning", "false", "zeros are left out as holes, always", _NOTHING),
    _nowhere("task", "task_executor", "taskflow", _NO_POOL, _NOTHING),
    _nowhere("task", "task_time_to_live", "48", "tasks are kept as long as Glance keeps them by default",
             "'imageport gc' removes those that are older"),
    _nowhere("task", "work_dir", "", "all work files are in staging", _NOTHING),
    _nowhere("taskflow_executor", "engine_mode", "parallel", _NO_POOL, _RUN_MORE),
    _nowhere("taskflow_executor", "max_workers", "10", _NO_POOL, _RUN_MORE),
    _nowhere("wsgi", "task_pool_threads", "16", _NO_POOL, _RUN_MORE),
    _nowhere("wsgi", "python_interpreter", "", "limits on qemu-img need no interpreter", _NOTHING),
    _plugin("image_import_opts", "image_import_plugins", "[]", "steps",
            "of a pipeline, in this order, but image_decompression before image_conversion"),
    _site("image_import_opts", "max_parallel_stores", "1", "limits.max_parallel_stores",
          "not set, all stores are written at once; the results are the same", parse=values.number),
    _plugin("inject_metadata_properties", "inject", "", "inject_image_metadata.inject",
            "without the quotes that Glance takes for a part of names and values"),
    _plugin("inject_metadata_properties", "ignore_user_roles", "admin", "inject_image_metadata.ignore_user_roles",
            "in either case of letters", parse=values.words),
    _plugin("image_conversion", "output_format", "raw", "image_conversion.output_format", parse=values.text),
    _plugin("import_filtering_opts", "allowed_schemes", "[http, https]", "uri_filter.allowed_schemes", _FILTER_NOTE,
            parse=values.words),
    _plugin("import_filtering_opts", "disallowed_schemes", "[]", "uri_filter.disallowed_schemes", _FILTER_NOTE,
            parse=values.words),
    _plugin("import_filtering_opts", "allowed_hosts", "[]", "uri_filter.allowed_hosts",
            "a private address is also needed under network.allow_networks", parse=values.words),
    _plugin("import_filtering_opts", "disallowed_hosts", "[]", "uri_filter.disallowed_hosts",
            "also compared with the addresses that a name has", parse=values.words),
    _plugin("import_filtering_opts", "allowed_ports", "[80, 443]", "uri_filter.allowed_ports", _FILTER_NOTE,
            parse=values.ports),
    _plugin("import_filtering_opts", "disallowed_ports", "[]", "uri_filter.disallowed_ports", _FILTER_NOTE,
            parse=values.ports),
    _plugin("glance_download_properties", "extra_properties",
            "[hw_, trait:, os_distro, os_secure_boot, os_type]", "glance-download.extra_properties",
            "the source of a pipeline", parse=values.words),
    _nowhere("image_format", "container_formats", "ami, ari, aki, bare, ovf, ova, docker, compressed",
             "the formats of Glance's default are known", "convert others before the import"),
    _nowhere("image_format", "disk_formats", "ami, ari, aki, vhd, vhdx, vmdk, raw, qcow2, vdi, iso, ploop",
             "the formats of Glance's default are known",
             "convert others before the import; where only one is wanted, image_conversion makes it"),
    _plugin("image_format", "vmdk_allowed_types", "[streamOptimized, monolithicSparse]",
            "image_conversion.vmdk_allowed_types", parse=values.words),
    _site("image_format", "require_image_format_match", "true", "require_image_format_match", parse=values.switch),
    _site("image_format", "gpt_safety_checks_nonfatal", "[]", "gpt_safety_checks_nonfatal", parse=values.words),
)  # fmt: skip
