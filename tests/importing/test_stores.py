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

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

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
