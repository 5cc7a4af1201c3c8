from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from imageport.catalog import Catalog
from imageport.configuration.site import Site
from imageport.configuration.site_file import load_site
from imageport.errors import PipelineInvalid


def load(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> Site:
    (folder / "site.yaml").write_text(text)
    return load_site("site.yaml", environ={"HOME": "/home/kim", **(environ or {})}, cwd=folder)


def refusal(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(PipelineInvalid) as caught:
        load(text, folder, environ)
    return [str(problem).removeprefix("site.yaml:") for problem in caught.value.problems]


def test_without_a_file_everything_lies_below_the_data_home(tmp_path: Path) -> None:
    site = load_site(None, environ={"HOME": "/home/kim"}, cwd=tmp_path)
    home = "/home/kim/.local/share/imageport"
    assert site.catalog == f"sqlite:///{home}/catalog.db"
    assert site.staging.directory == Path(home, "staging")
    assert [store.model_dump(by_alias=True) for store in site.stores] == [
        {"use": "file", "id": "default", "with": {"directory": f"{home}/images"}}
    ]
    assert site.default_store == "default"
    assert site.digests == ["md5", "sha512"]
    assert site.policy.copy_image == "role:admin"
    assert site.require_image_format_match


def test_the_data_home_follows_xdg_unless_it_is_relative(tmp_path: Path) -> None:
    elsewhere = load_site(None, environ={"HOME": "/home/kim", "XDG_DATA_HOME": "/data"}, cwd=tmp_path)
    assert elsewhere.catalog == "sqlite:////data/imageport/catalog.db"
    relative = load_site(None, environ={"HOME": "/home/kim", "XDG_DATA_HOME": "data"}, cwd=tmp_path)
    assert relative.staging.directory == Path("/home/kim/.local/share/imageport/staging")


def test_the_first_file_found_counts(tmp_path: Path) -> None:
    config = tmp_path / "config"
    (config / "imageport").mkdir(parents=True)
    environ = {"HOME": "/home/kim", "XDG_CONFIG_HOME": str(config)}
    user = config / "imageport" / "imageport.yaml"
    for path in (user, tmp_path / "imageport.yaml", tmp_path / "env.yaml", tmp_path / "explicit.yaml"):
        path.write_text("digests: [sha256]\n")
    assert load_site(None, environ=environ, cwd=config).file.path == str(user)
    assert load_site(None, environ=environ, cwd=tmp_path).file.path == "imageport.yaml"
    environ["IMAGEPORT_CONFIG"] = "env.yaml"
    assert load_site(None, environ=environ, cwd=tmp_path).file.path == "env.yaml"
    assert load_site("explicit.yaml", environ=environ, cwd=tmp_path).file.path == "explicit.yaml"


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    for explicit, environ in (("no.yaml", {}), (None, {"IMAGEPORT_CONFIG": "no.yaml"})):
        with pytest.raises(PipelineInvalid) as caught:
            load_site(explicit, environ=environ, cwd=tmp_path)
        assert str(caught.value) == "no.yaml:1:1: no such file: check the spelling and the folder"


def test_every_key_of_a_full_file_is_read(tmp_path: Path) -> None:
    site = load(
        """
        catalog: postgresql+psycopg://imageport:{env.PASSWORD}@db/imageport
        staging: {directory: /var/lib/imageport/staging}
        enabled_methods: [glance-direct]
        network: {allow_networks: [127.0.0.0/8], proxy: null, ca_bundle: certs/ca.pem}
        digests: [md5, sha256]
        limits: {image_size_cap: 1 TiB, max_parallel_stores: 2}
        stores:
          - {use: file, id: fast, with: {directory: /srv/fast}}
          - {use: file, with: {directory: /srv/slow}}
        default_store: fast
        observers: [{use: jsonl, with: {path: events.jsonl}}]
        policy: {copy_image: "role:admin or role:operator"}
        disabled_plugins: [http]
        require_image_format_match: false
        """,
        tmp_path,
        {"PASSWORD": "hunter2"},
    )
    assert site.catalog == "postgresql+psycopg://imageport:hunter2@db/imageport"
    assert site.secrets == {"hunter2"}
    assert site.staging.directory == Path("/var/lib/imageport/staging")
    assert (site.allows_method("glance-direct"), site.allows_method("web-download")) == (True, False)
    assert site.network.allow_networks == (ip_network("127.0.0.0/8"),)
    assert site.network.ca_bundle == tmp_path / "certs/ca.pem"
    assert site.limits.image_size_cap == 1 << 40
    assert site.store_ids() == ["fast", "file"]
    assert site.default_store == "fast"
    assert site.observers[0].with_ == {"path": "events.jsonl"}
    assert site.disabled_plugins == ["http"]
    assert not site.require_image_format_match


def test_relative_paths_belong_to_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "token").write_text("sha256\n")
    (tmp_path / "etc" / "site.yaml").write_text(
        "catalog: sqlite:///data/catalog.db\nstaging: {directory: work}\ndigests: ['{file.token}']\n"
    )
    site = load_site("etc/site.yaml", environ={"HOME": "/home/kim"}, cwd=tmp_path)
    assert site.folder == tmp_path / "etc"
    assert site.catalog == f"sqlite:///{tmp_path}/etc/data/catalog.db"
    assert site.staging.directory == tmp_path / "etc" / "work"
    assert site.digests == ["sha256"]


@pytest.mark.parametrize(
    ("catalog", "anchored"),
    [
        ("sqlite:////abs/c.db", "sqlite:////abs/c.db"),
        ("sqlite+pysqlite:///c.db", "sqlite+pysqlite:///{folder}/c.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg:///images", "postgresql+psycopg:///images"),
    ],
)
def test_only_files_of_sqlite_are_paths(tmp_path: Path, catalog: str, anchored: str) -> None:
    assert load(f"catalog: '{catalog}'\n", tmp_path).catalog == anchored.format(folder=tmp_path)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "100%", "a b#c"])
def test_the_catalog_is_in_the_folder_that_is_meant_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    sites = [
        load_site(None, environ={"HOME": str(folder)}, cwd=tmp_path),
        load("catalog: sqlite:///beside.db\n", folder),
        load("catalog: 'sqlite:///~/of%20home.db?timeout=5'\n", tmp_path),
    ]
    for site in sites:
        Catalog(site.catalog).close()
    assert sorted(str(found.relative_to(folder)) for found in folder.rglob("*.db")) == [
        ".local/share/imageport/catalog.db", "beside.db", "of home.db",
    ]  # fmt: skip
    assert [found.parent for found in tmp_path.rglob("*.db") if folder not in found.parents] == []


def test_stores_must_be_a_list(tmp_path: Path) -> None:
    assert refusal("stores: {}\n", tmp_path) == ["1:1: stores: must be a list"]
    assert refusal("stores: ''\n", tmp_path) == ["1:1: stores: must be a list"]


def test_keys_with_nothing_behind_them_mean_the_defaults(tmp_path: Path) -> None:
    site = load("stores:\nlimits:\nobservers:\ncatalog:\n", tmp_path)
    assert site.catalog == "sqlite:////home/kim/.local/share/imageport/catalog.db"
    assert site.store_ids() == ["default"]
    assert site.file.data["stores"] == [
        {"use": "file", "id": "default", "with": {"directory": "/home/kim/.local/share/imageport/images"}}
    ]


def test_a_single_store_is_the_default_and_several_need_a_choice(tmp_path: Path) -> None:
    assert load("stores: [{use: file, id: a}]\n", tmp_path).default_store == "a"
    assert load("stores: [{use: file, id: a}, {use: file, id: b}]\n", tmp_path).default_store is None


def test_without_a_list_every_method_is_enabled() -> None:
    assert Site().allows_method("acme-fetch")


HOW_RULES_ARE_WRITTEN = (
    "a rule is made of '@' (all callers), '!' (none), 'owner', 'role:NAME' and 'visibility:public', "
    "joined by 'and' and 'or', without brackets"
)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = """\
catalogue: x
staging: {directry: /x}
digests: [md5, sha51]
limits: {image_size_cap: 10 parsecs, read_timeout: 0}
stores:
  - {use: file, id: a}
  - {use: file, id: a}
  - {use: file, id: "a b"}
  - {use: file, id: os_glance_x}
  - file
default_store: aa
policy: {copy_image: admin}
network: {allow_networks: [10.0.0.300/8]}
require_image_format_match: sometimes
property_protections: {format: role}
quota: {}
"""
    assert refusal(text, tmp_path) == [
        "1:1: catalogue: unknown option (did you mean 'catalog'?)",
        "2:11: staging.directry: unknown option (did you mean 'directory'?)",
        "3:1: digests: 'sha51' is not a digest of fixed length in hashlib (did you mean 'sha512'?)",
        "4:10: limits.image_size_cap: '10 parsecs' is not a size; write for instance 512 MiB, 20 GiB or a "
        "number of bytes",
        "4:38: limits.read_timeout: must be greater than 0",
        "7:5: stores.1: there is already a store 'a': choose another id",
        "8:17: stores.2.id: must start with a letter or digit; then letters, digits, '_', '.', '-', at most 64",
        "9:17: stores.3.id: must not start with os_glance",
        "10:5: stores.4: must be a mapping: write 'use: file'",
        "11:1: default_store: no store has the id 'aa' (did you mean 'a'?)",
        f"12:10: policy.copy_image: 'admin' is not understood: {HOW_RULES_ARE_WRITTEN}",
        "13:28: network.allow_networks.0: must be an IPv4 network, or must be an IPv6 network",
        "14:1: require_image_format_match: must be true or false",
        "15:1: property_protections.file: is required",
        "15:24: property_protections.format: must be one of roles, policies (did you mean 'roles'?)",
        "16:1: quota: unknown option (did you mean 'quotas'?)",
    ]


def test_secrets_do_not_show_in_messages(tmp_path: Path) -> None:
    assert refusal(
        "policy: {copy_image: '{env.TOKEN}'}\ndefault_store: '{env.TOKEN}'\n", tmp_path, {"TOKEN": "hunter2"}
    ) == [
        f"1:10: policy.copy_image: '***' is not understood: {HOW_RULES_ARE_WRITTEN}",
        "2:1: default_store: no store has the id '***' (there are: default)",
    ]


@pytest.mark.parametrize("digests", ["[shake_128]", "[md5, md5]", "[]", "md5", "[5]", "{}"])
def test_nonsense_digests_are_refused(tmp_path: Path, digests: str) -> None:
    assert len(refusal(f"digests: {digests}\n", tmp_path)) == 1


def test_variables_of_pipelines_have_no_meaning_in_a_site_file(tmp_path: Path) -> None:
    advice = "(there are {env.NAME}, {file.PATH}); write '{{' and '}}' for the characters themselves"
    assert refusal("default_store: '{source.name}'\ncatalog: '{var.x}'\n", tmp_path) == [
        f"1:1: default_store: unknown variable '{{source.name}}' {advice}",
        f"2:1: catalog: unknown variable '{{var.x}}' {advice}",
    ]


def test_an_empty_list_of_methods_enables_none(tmp_path: Path) -> None:
    assert not load("enabled_methods: []\n", tmp_path).allows_method("web-download")
