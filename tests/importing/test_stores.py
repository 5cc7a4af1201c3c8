"""The catalog keeps what opens a store again, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageport.configuration.definitions import reopen_store
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site_file import load_site
from imageport.errors import StoreFailed
from imageport.importing.plan import make_plan
from imageport.plugins.registry import PluginRegistry
from imageport.testing.contexts import make_host
from imageport.values import Location

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

    from imageport.testing import RunImageport

VAULT = """
    from pydantic import SecretStr

    from imageport import Plugin, PluginConfig, hookimpl


    class Login(PluginConfig):
        password: SecretStr | None = None


    class VaultConfig(PluginConfig):
        headers: dict[str, SecretStr] = {}
        login: Login = Login()


    class Vault(Plugin[VaultConfig]):
        '''Write to a vault.'''

        @hookimpl
        def store_write(self, image): ...
"""


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("{}", {"headers": {}, "login": {"password": None}}),
        ("{headers: {A: 'x {env.TOKEN}'}}", {"headers": {"A": "x {env.TOKEN}"}, "login": {"password": None}}),
        ("{headers: {A: '{env.TOKEN}', B: plain}}", None),
        ("{headers: {A: '{var.token}'}}", None),
        ("{login: {password: plain}}", None),
        ("{login: {password: '{var.default}'}}", {"headers": {}, "login": {"password": "{env.TOKEN}"}}),
    ],
)
def test_secrets_are_kept_as_references_or_not_at_all(
    plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, kept: object
) -> None:
    plugin_folder.install("acme-vault", {"acme-vault": "acme_vault:Vault"}, {"acme_vault": VAULT})
    monkeypatch.setenv("TOKEN", "hunter2")
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(
        "name: p\nvars: {token: '', default: '{env.TOKEN}'}\nsource: {use: glance-direct}\n"
        f"stores: [{{use: acme-vault, with: {options}}}]\n"
    )
    site = load_site(None, environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    pipeline = load_pipeline(
        "p.yaml", site=site, registry=PluginRegistry.installed(), variables={"token": "hunter2"}
    )
    definition = make_plan(pipeline).terms.definitions["acme-vault"]
    assert (definition and definition["with"]) == kept


def test_options_that_the_store_does_not_take_any_more_are_named_without_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORE_KEY", "correct-horse")
    options = {"directory": "images", "key": "{env.STORE_KEY}"}
    with pytest.raises(StoreFailed, match="key: Extra inputs are not permitted") as caught:
        reopen_store(
            "old", {"use": "file", "with": options, "folder": "/"}, PluginRegistry.installed(disabled=())
        )
    assert "horse" not in caught.value.message
    assert caught.value.__suppress_context__


def test_no_error_of_a_reopened_store_shows_a_value_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STORE_FOLDER", "correct-horse")
    options = {"directory": f"{tmp_path}/{{env.STORE_FOLDER}}", "mode": "0640"}
    registry = PluginRegistry.installed(disabled=())
    store = reopen_store("old", {"use": "file", "with": options, "folder": "/"}, registry)
    copy = Location(
        url=f"file://{tmp_path}/correct-horse/disk", metadata={"mark": "1000", "folder": "another"}
    )
    with pytest.raises(StoreFailed, match="is missing") as caught:
        store.store_delete(copy, make_host(tmp_path))
    assert "***" in caught.value.message
    assert "horse" not in f"{caught.value.message} {caught.value.hint}"


SAFE = """
    from pydantic import SecretStr

    from imageport.stores import FolderStore, FolderStoreConfig


    class SafeConfig(FolderStoreConfig):
        combination: SecretStr


    class Safe(FolderStore[SafeConfig]):
        '''Keep images in a folder with a lock.'''

        def file_name(self, image): return image.record.id
"""


def test_a_copy_whose_store_has_a_secret_in_the_site_file_is_read_and_removed(
    plugin_folder: PluginFolder, site_folder: Path, run_imageport: RunImageport
) -> None:
    plugin_folder.install("acme-safe", {"safe": "acme_safe:Safe"}, {"acme_safe": SAFE})
    site = site_folder / "imageport.yaml"
    entry = "  - {use: safe, id: safe, with: {directory: safe, combination: hunter2}}\n"
    without = site.read_text()
    site.write_text(without + entry)
    (site_folder / "disk.raw").write_bytes(b"boot me")
    (site_folder / "p.yaml").write_text("{name: p, source: {use: glance-direct}, stores: [safe]}")
    done = run_imageport.inside(
        "run", "p.yaml", "disk.raw", "--name", "disk", "--disk-format", "raw", "--json"
    )
    assert done.report["stores"]["safe"]["status"] == "published", done
    site.write_text(without)
    unknown = run_imageport.inside("images", "export", "disk", "back.raw")
    assert (unknown.exit_code, "add the store to the site file" in unknown.stderr) == (6, True)
    site.write_text(without + entry)
    assert run_imageport.inside("images", "export", "disk", "back.raw").exit_code == 0
    assert (site_folder / "back.raw").read_bytes() == b"boot me"
    assert run_imageport.inside("images", "delete", "disk", "--yes").exit_code == 0
    assert list((site_folder / "safe").iterdir()) == []
