"""The fixtures that authors get do what their documentation promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from imageport import Image
from imageport.events import Event
from imageport.plugins.registry import PluginRegistry
from imageport.testing import Finished, HttpServer
from imageport.testing.http_answers import Status, Truncated

BELL = """
    from imageport import Context, NoConfig, Plugin, hookimpl

    class Bell(Plugin[NoConfig]):
        '''Ring for each image.'''

        @hookimpl
        def transform(self, image, ctx: Context):
            ctx.check("bell", passed=True)
            return image.with_properties(bell="rang")
"""


def test_an_image_is_made_of_bytes_and_fields(make_image: Callable[..., Image]) -> None:
    image = make_image(b"boot", b" me", name="disk", disk_format="raw")
    assert (image.record.name, image.record.disk_format, image.data.size) == ("disk", "raw", 7)
    assert b"".join(image.data.chunks()) == b"boot me"


def test_an_installed_plugin_takes_part_and_its_events_are_recorded(
    tmp_path: Path,
    install_plugin: Callable[..., Path],
    run_pipeline: Callable[..., Finished],
    recorded_events: list[Event],
) -> None:
    install_plugin("acme-bell", {"bell": "acme_bell:Bell"}, {"acme_bell": BELL}, version="3.1")
    assert PluginRegistry.installed().find("bell").distribution == "acme-bell 3.1"
    (tmp_path / "disk.raw").write_bytes(bytes(1000))
    done = run_pipeline({"steps": [{"use": "bell"}]}, "disk.raw")
    assert done.exit_code == 0, done.stderr
    assert done.report["image"]["properties"]["bell"] == "rang"
    kinds = [event.kind for event in recorded_events]
    assert kinds[0] == "image.create"
    assert kinds[-1] == "report"
    assert [event.step for event in recorded_events if event.kind == "check"] == ["bell"]


def test_a_plugin_is_gone_after_its_test() -> None:
    assert "bell" not in PluginRegistry.installed().names()


def test_a_server_fails_as_the_test_wants(
    faulty_server: HttpServer, tmp_path: Path, run_pipeline: Callable[..., Any]
) -> None:
    url = faulty_server.answer("/disk.raw", Truncated(bytes(5000), ranges=False, after=10), Status(404))
    done = run_pipeline({"source": {"use": "web-download"}}, url)
    assert done.exit_code == 4
    assert faulty_server.paths()[0] == "/disk.raw"
