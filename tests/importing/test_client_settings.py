"""Libraries that open connections themselves get the settings of the site."""

from __future__ import annotations

from pathlib import Path

from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import Context, Image, PendingCopy, hookimpl
from imageport.app.housekeeping import maintenance_context
from imageport.http.network import NetworkRules
from imageport.values import ClientSettings


class Connecting(Shelf):
    """Note the settings."""

    client: ClientSettings | None = None

    def setup(self, ctx: Context) -> None:
        self.client = ctx.client

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        assert ctx.client == self.client
        return super().store_write(image, ctx)


def test_a_store_gets_proxy_certificates_and_time_outs_of_the_site(desk: Desk, tmp_path: Path) -> None:
    rules = NetworkRules(proxy="http://127.0.0.1:3128", ca_bundle=tmp_path / "ca.pem")
    limits = desk.site.limits.model_copy(update={"connect_timeout": 2.0, "read_timeout": 3.0})
    desk.site = desk.site.model_copy(update={"network": rules, "limits": limits})
    shelf = Connecting("shelf")
    assert desk.run(Bytes(noise(100_000)), shelf).error is None
    assert shelf.client == ClientSettings(
        proxy="http://127.0.0.1:3128", ca_bundle=tmp_path / "ca.pem", connect_timeout=2.0, read_timeout=3.0
    )
    with maintenance_context(desk.site) as ctx:
        assert ctx.for_step("shelf").client == shelf.client
