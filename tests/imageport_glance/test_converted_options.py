"""Every option of the table arrives at its place in the table, and nothing is lost silently."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageport.configuration.site import Site
from imageport.configuration.templating import Variables, expand_tree
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid
from imageport.plugins.registry import PluginRegistry
from imageport_glance.from_glance.conversion import SITE_FILE, ConvertedSite
from imageport_glance.from_glance.options import FILE_STORE, OPTIONS, Option
from imageport_glance.from_glance.yaml_text import Leaf, yaml_lines

Convert = Callable[..., ConvertedSite]

#: The options that the import contract names.
CONTRACT = """
enabled_import_methods node_staging_uri worker_self_reference_url public_endpoint enabled_backends image_size_cap
hashing_algorithm user_storage_quota use_keystone_limits image_property_quota image_location_quota
property_protection_file property_protection_rule_format disabled_notifications default_publisher_id delayed_delete
http_retries do_secure_hash default_backend filesystem_store_datadir filesystem_store_chunk_size
filesystem_thin_provisioning task_executor task_time_to_live work_dir engine_mode max_workers task_pool_threads
python_interpreter image_import_plugins max_parallel_stores ignore_user_roles inject output_format allowed_schemes
disallowed_schemes allowed_hosts disallowed_hosts allowed_ports disallowed_ports extra_properties container_formats
disk_formats vmdk_allowed_types require_image_format_match gpt_safety_checks_nonfatal
"""

#: Values that are not the default; the others may be any word.
SAMPLES = {
    "enabled_import_methods": "[web-download]",
    "node_staging_uri": "file:///srv/staging",
    "enabled_backends": "disks:file",
    "image_size_cap": "1000",
    "hashing_algorithm": "sha256",
    "user_storage_quota": "10GB",
    "image_property_quota": "-1",
    "image_location_quota": "5",
    "property_protection_rule_format": "policies",
    "default_backend": "disks",
    "default_store": "file",
    "stores": "file",
    "filesystem_store_file_perm": "640",
    "max_parallel_stores": "2",
    "image_import_plugins": "[no_op]",
    "inject": "hw_disk_bus:scsi",
    "output_format": "qcow2",
    "allowed_ports": "[8443]",
    "disallowed_ports": "[22]",
    "require_image_format_match": "false",
}
#: What has to be set for an option to mean something.
COMPANIONS = {
    "default_backend": "[DEFAULT]\nenabled_backends = disks:file\n",
    "property_protection_rule_format": "[DEFAULT]\nproperty_protection_file = /etc/glance/p.conf\n",
    FILE_STORE: "[DEFAULT]\nenabled_backends = disks:file\n",
    "os_glance_staging_store": "[DEFAULT]\nenabled_backends = disks:file\n",
}
EVERYTHING_ON = """
[DEFAULT]
enabled_import_methods = [glance-direct, web-download, copy-image, glance-download]
[image_import_opts]
image_import_plugins = [no_op, inject_image_metadata, image_decompression, image_conversion]
[oslo_messaging_notifications]
driver = messagingv2
"""


def name_of(option: Option) -> str:
    return f"{option.section}.{option.name}"


def alone(option: Option) -> str:
    section = "disks" if option.section == FILE_STORE else option.section
    companions = COMPANIONS.get(option.name, "") + COMPANIONS.get(option.section, "")
    return f"{companions}[{section}]\n{option.name} = {SAMPLES.get(option.name, 'sample')}\n"


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.place], ids=name_of)
def test_an_option_arrives_at_its_place_in_the_table(option: Option, converted: Convert) -> None:
    result = converted(EVERYTHING_ON, alone(option))
    places = [
        (file, key)
        for file, key, setting in result.carried
        if setting.name == option.name and setting.path.endswith("glance-1.conf")
    ]
    wanted = option.site or option.key or option.plugin
    assert any(wanted in key and (file == SITE_FILE or not option.site) for file, key in places), places


@pytest.mark.parametrize("option", [option for option in OPTIONS if not option.place], ids=name_of)
def test_an_option_without_equivalent_is_listed_with_the_reason(option: Option, converted: Convert) -> None:
    result = converted(EVERYTHING_ON, alone(option))
    (gap,) = [gap for gap in result.gaps if option.name in {setting.name for setting in gap.settings}]
    assert (gap.reason, gap.instead) == (option.note, option.instead)
    assert option.note in result.files[SITE_FILE]


def test_the_table_has_every_option_of_the_contract() -> None:
    assert set(CONTRACT.split()) - {option.name for option in OPTIONS} == set()


def test_the_table_has_no_option_twice() -> None:
    names = [name_of(option) for option in OPTIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.place], ids=name_of)
def test_the_place_of_an_option_exists(option: Option) -> None:
    if option.site:
        fields: Any = Site.model_fields
        for key in option.site.split("."):
            assert key in fields
            fields = getattr(_model(fields[key].annotation), "model_fields", {})
    elif option.key:
        (plugin,) = [plugin for plugin in PluginRegistry.installed() if plugin.name == option.plugin]
        assert option.key in plugin.load().config_model.model_fields


def _model(annotation: Any) -> Any:
    """Return the model among the types that a field may have."""
    return next((kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields")), None)


def test_what_is_set_to_the_default_is_not_listed(converted: Convert) -> None:
    assert (
        converted(
            "[DEFAULT]\ndelayed_delete = False\nhttp_retries = 3\n[task]\ntask_executor = taskflow\n"
        ).gaps
        == ()
    )


def test_an_option_that_glance_does_not_use_is_listed(converted: Convert) -> None:
    (gap,) = converted("[image_conversion]\noutput_format = qcow2\n").gaps
    assert (gap.reason, gap.instead) == ("with what else is set, Glance does not use it either", "")


def test_an_option_with_an_unknown_name_is_listed(converted: Convert) -> None:
    (gap,) = converted("[DEFAULT]\ndelayed_delete = False\nimage_size_cat = 5\n").gaps
    assert "has this name" in gap.reason


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[DEFAULT]\nimage_size_cap = big", "[DEFAULT] image_size_cap: 'big' is not a number"),
        ("[DEFAULT]\nhashing_algorithm = shake_128", "is not a digest of fixed length"),
        ("[DEFAULT]\nnode_staging_uri = swift://x/y", "not a file:// url"),
        ("[DEFAULT]\nenabled_backends = os_glance_x:file", "names with os_glance are reserved"),
        ("[import_filtering_opts]\nallowed_ports = [0]", "a port is a number from 1 to 65535"),
        ("[image_format]\nrequire_image_format_match = maybe", "neither true nor false"),
        ("[glance_store]\nfilesystem_store_file_perm = 999", "not a file mode in octal digits"),
    ],
    ids=["number", "digest", "staging", "reserved", "port", "switch", "mode"],
)
def test_a_value_that_glance_would_refuse_is_reported_with_its_line(
    text: str, complaint: str, converted: Convert
) -> None:
    with pytest.raises(PipelineInvalid) as raised:
        converted(text)
    assert "glance-0.conf:2:1: " in str(raised.value)
    assert complaint in str(raised.value)


def test_all_wrong_values_are_reported_at_once(converted: Convert) -> None:
    with pytest.raises(PipelineInvalid) as raised:
        converted("[DEFAULT]\nimage_size_cap = big\nhashing_algorithm = crc\n")
    assert [problem.line for problem in raised.value.problems] == [2, 3]


def test_a_store_without_plugin_becomes_a_comment(converted: Convert) -> None:
    result = converted(
        "[DEFAULT]\nenabled_backends = ceph:rbd\n[glance_store]\ndefault_backend = ceph\n[ceph]\nrbd_store_pool = x\n"
    )
    site = result.files[SITE_FILE]
    assert "  # - use: rbd  # glance-0.conf [DEFAULT] enabled_backends\n  #   id: ceph" in site
    assert "default_store: local" in site
    assert [gap.what for gap in result.gaps] == ["ceph:rbd", "ceph"]


def test_backend_defaults_hold_for_every_store(converted: Convert) -> None:
    text = "[DEFAULT]\nenabled_backends = a:file\n[backend_defaults]\nfilesystem_store_datadir = /srv/a\n"
    assert "directory: /srv/a  # glance-0.conf [backend_defaults]" in converted(text).files[SITE_FILE]


def test_a_site_without_any_store_that_can_be_written_gets_one(converted: Convert) -> None:
    site = converted("[DEFAULT]\nenabled_backends = local:http\n").files[SITE_FILE]
    assert "id: local-file  # stands in" in site
    assert "default_store: local-file" in site


def test_one_store_under_two_names_is_written_once(converted: Convert) -> None:
    assert converted("[glance_store]\nstores = file, filesystem\n").files[SITE_FILE].count("id: file") == 1


def test_a_store_whose_name_cannot_be_an_id_is_listed(converted: Convert) -> None:
    gaps = converted("[DEFAULT]\nenabled_backends = a b:file\n").gaps
    assert [gap.what for gap in gaps] == ["a b:file"]


def test_a_store_with_several_directories_is_listed(converted: Convert) -> None:
    text = "[DEFAULT]\nenabled_backends = a:file\n[a]\nfilesystem_store_datadirs = /srv/a:1\n"
    assert [gap.reason for gap in converted(text).gaps] == ["a store has one directory"]


def test_staging_is_a_folder_beside_the_files_of_glance(converted: Convert) -> None:
    """What is live for a Glance that still runs would be a leftover for us."""
    site = converted("[DEFAULT]\nnode_staging_uri = file:///srv/staging/\n").files[SITE_FILE]
    assert "directory: /srv/staging/imageport  # glance-0.conf [DEFAULT] node_staging_uri" in site


def test_decompression_moves_above_conversion(converted: Convert) -> None:
    text = "[image_import_opts]\nimage_import_plugins = [image_conversion, no_op, image_decompression]\n"
    pipeline = converted(text).files["pipelines/glance-direct.yaml"]
    places = [pipeline.index(f"use: {name}") for name in ("image_decompression", "image_conversion", "no_op")]
    assert places == sorted(places)
    assert "moved up" in pipeline


def test_a_plugin_of_another_author_is_listed(converted: Convert) -> None:
    (gap,) = converted("[image_import_opts]\nimage_import_plugins = [acme_scan]\n").gaps
    assert gap.what == "acme_scan"


def test_quotes_around_injected_properties_are_dropped_and_explained(converted: Convert) -> None:
    text = (
        "[image_import_opts]\nimage_import_plugins = [inject_image_metadata]\n[inject_metadata_properties]\n"
    )
    pipeline = converted(text + 'inject = "p1":"v1","p2":"v2"\n').files["pipelines/glance-direct.yaml"]
    assert (
        'p1: v1  # glance-0.conf [inject_metadata_properties] inject; Glance sets the property p1" to "v1"'
        in pipeline
    )


def test_only_private_hosts_open_a_network(converted: Convert) -> None:
    text = "[import_filtering_opts]\nallowed_hosts = [a.example.org, 8.8.8.8, 10.1.2.3, fe80::7%eth0]\n"
    assert 'allow_networks: ["10.1.2.3/32", "fe80::7/128"]' in converted(text).files[SITE_FILE]


def test_notifications_that_glance_does_not_send_are_not_sent_here(converted: Convert) -> None:
    result = converted("[DEFAULT]\ndisabled_notifications = image\n")
    assert "observers" not in result.files[SITE_FILE]
    assert "no notifications are sent" in result.gaps[0].reason


def test_the_rules_that_a_protection_file_names_come_along(converted: Convert) -> None:
    files = Path(__file__).parent / "files"
    conf = "[DEFAULT]\nproperty_protection_rule_format = policies\n"
    policy = (files / "policy.yaml").read_text()
    site = converted(conf, policy, (files / "property-protections-policies.conf").read_text()).files[
        SITE_FILE
    ]
    assert 'default: "@"  # Glance\'s default' in site
    assert (
        'context_is_admin: "role:admin or role:image_admin"  # glance-1.conf [policy] context_is_admin'
        in site
    )


texts = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp", "Co", "Cf"]), max_size=30)


@given(st.dictionaries(texts.filter(bool), st.one_of(texts, st.lists(texts, max_size=3))))
def test_any_text_arrives_in_the_yaml_as_it_was(data: dict[str, Any]) -> None:
    lines = "\n".join(yaml_lines({key: Leaf(value) for key, value in data.items()}))
    file = YamlFile.parse(f"top: 1\n{lines}\n")
    problems: list[Any] = []
    back = expand_tree(file, file.data, Variables(None, {}, {}, {}), problems)
    assert problems == []
    assert back == {"top": 1, **data}
