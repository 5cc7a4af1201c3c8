"""A store that announces twice, killed before and after the second time: ``gc`` gets what was announced last."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.plugin_folder import PluginFolder

from imageport.testing import RunImageport

UPLOADING = """
    import os
    import signal
    from pathlib import Path

    from imageport import Context, Image, Location, PendingCopy, Plugin, PluginConfig, hookimpl
    from imageport.values import StagedCopy

    class UploadingConfig(PluginConfig):
        folder: Path
        dies: int

    class Uploading(Plugin[UploadingConfig]):
        '''Write each copy under the id that its server has given it.'''

        @hookimpl
        def store_write(self, image: Image, ctx: Context) -> PendingCopy:
            url = f"uploading:{image.record.id}"
            ctx.announce(Location(url=url, metadata={"mark": ctx.copy_token}))
            self._die(1)
            self.config.folder.mkdir()
            location = Location(url=url, metadata={"mark": ctx.copy_token, "upload": "42"})
            ctx.announce(location)
            (self.config.folder / "42").write_bytes(b"".join(image.data.chunks()))
            self._die(2)
            return StagedCopy(location, image.data.size or 0, lambda: None, lambda: None)

        @hookimpl
        def store_delete(self, location: Location) -> None:
            log = self.config.folder.with_name("deleted")
            log.write_text(repr(sorted(location.metadata)))
            if "upload" in location.metadata:
                (self.config.folder / location.metadata["upload"]).unlink()

        def _die(self, moment: int) -> None:
            if self.config.dies == moment:
                os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("dies", "known"), [(1, ["mark"]), (2, ["mark", "upload"])])
def test_what_was_announced_last_reaches_gc(
    plugin_folder: PluginFolder, run_imageport: RunImageport, tmp_path: Path, dies: int, known: list[str]
) -> None:
    plugin_folder.install("acme", {"uploading": "acme_uploading:Uploading"}, {"acme_uploading": UPLOADING})
    environment = {**run_imageport.environment, "PYTHONPATH": str(plugin_folder.folder)}
    command = replace(run_imageport, environment=environment)
    (command.folder / "disk.raw").write_bytes(b"boot me" + bytes(100_000))
    (command.folder / "pipeline.yaml").write_text(
        "name: killed\n"
        "source: {use: glance-direct}\n"
        f"stores: [{{use: uploading, with: {{folder: {tmp_path / 'server'}, dies: {dies}}}}}]\n"
    )
    killed = command.installed("run", "pipeline.yaml", "disk.raw")
    assert killed.exit_code == -signal.SIGKILL
    cleaned = command.installed("gc")
    assert cleaned.exit_code == 0, cleaned.stderr
    assert (tmp_path / "deleted").read_text() == repr(known)
    server = tmp_path / "server"
    assert not server.exists() or list(server.iterdir()) == []
    (tmp_path / "deleted").unlink()
    assert command.installed("gc").exit_code == 0
    assert not (tmp_path / "deleted").exists()
