"""A store that never answers keeps no command from ending, by itself or by a signal."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import pytest
from tests.cli.command_line import CommandLine
from tests.noise import noise
from tests.plugin_folder import PluginFolder

from imageport.testing.forked import Forked

STUCK = '''
    import time
    from pathlib import Path

    from imageport import Image, ImageData, Location, Plugin, PluginConfig, hookimpl
    from imageport.values import StagedCopy


    class Config(PluginConfig):
        folder: Path


    class Stuck(Plugin[Config]):
        """Keep images in a folder, and hang where a file of that name is."""

        def hang(self, where):
            if (self.config.folder / f"hang-{where}").exists():
                (self.config.folder / f"reached-{where}").touch()
                while True:
                    try:
                        time.sleep(3600)
                    except BaseException:
                        pass

        def close(self):
            self.hang("close")

        @hookimpl
        def store_write(self, image, ctx):
            path = self.config.folder / f"{image.record.id}.{ctx.copy_token}"
            location = Location(url=f"stuck:{path}")
            ctx.announce(location)
            content = b"".join(bytes(piece) for piece in image.data.chunks())
            self.hang("write")
            path.write_bytes(content)

            def discard():
                self.hang("discard")
                path.unlink()

            return StagedCopy(location, len(content), lambda: self.hang("publish"), discard)

        @hookimpl
        def store_read(self, location):
            self.hang("read")
            return ImageData.from_file(Path(location.url.removeprefix("stuck:")))

        @hookimpl
        def store_delete(self, location):
            self.hang("delete")
            Path(location.url.removeprefix("stuck:")).unlink(missing_ok=True)
'''


class Site:
    """A site with a store that hangs, and one that does not."""

    def __init__(self, folder: Path) -> None:
        self.packages = PluginFolder(folder / "packages")
        self.packages.install("acme-stuck", {"stuck": "acme_stuck:Stuck"}, {"acme_stuck": STUCK})
        self.folder = folder / "home"
        self.shelf = self.folder / "shelf"
        self.shelf.mkdir(parents=True)
        self.cli = CommandLine(self.folder, {"PYTHONPATH": str(self.packages.folder)})
        (self.folder / "imageport.yaml").write_text(
            json.dumps(
                {"catalog": "sqlite:///catalog.db", "limits": {"store_patience": 3, "plugin_patience": 3600}}
            )
        )
        (self.folder / "p.yaml").write_text(
            json.dumps(
                {
                    "name": "p",
                    "source": {"use": "glance-direct"},
                    "stores": [
                        {"use": "stuck", "id": "stuck", "with": {"folder": str(self.shelf)}},
                        {"use": "file", "id": "good", "with": {"directory": "good"}},
                    ],
                }
            )
        )
        (self.folder / "disk.raw").write_bytes(noise(1 << 16))

    def hang(self, where: str) -> None:
        (self.shelf / f"hang-{where}").touch()

    def works_again(self) -> None:
        for path in self.shelf.glob("hang-*"):
            path.unlink()

    def interrupted(self, where: str, *arguments: str, number: int = signal.SIGTERM, code: int = 130) -> str:
        """Run a command, send it a signal when it hangs, and return its complaints."""
        command = Forked(arguments, self.folder, self.cli.environment)
        reached = self.shelf / f"reached-{where}"
        while not reached.exists() and command.returncode is None:
            threading.Event().wait(0.02)
        command.send_signal(number)
        done = command.finish()
        assert done.exit_code == code, done.stdout + done.stderr
        return done.stderr

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command in a process, and return what it printed."""
        done = self.cli(*arguments, code=code)
        return done.out + done.err

    def assert_nothing_left_after_gc(self) -> None:
        self.works_again()
        self.run("gc")
        assert self.run("gc") == "nothing to clean up\n"
        assert [path for path in self.shelf.iterdir() if not path.name.startswith("reached")] == []


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("where", ["write", "publish"])
def test_a_signal_ends_an_import_whose_store_is_stuck(site: Site, where: str, number: signal.Signals) -> None:
    site.hang(where)
    complaints = site.interrupted(where, "run", "p.yaml", "disk.raw", "--quiet", number=number)
    assert "error: the import was interrupted\n" in complaints
    assert complaints.count("stuck:/") == 1, "the copy that is left behind is named once"
    assert "'imageport gc' tries again to remove them" in complaints
    site.assert_nothing_left_after_gc()


def test_a_signal_ends_a_command_whose_work_is_done_while_a_store_is_closed(site: Site) -> None:
    site.hang("close")
    complaints = site.interrupted("close", "run", "p.yaml", "disk.raw", "--name", "one", "--quiet", code=0)
    assert complaints == "warning: 'stuck' could not be closed: it is left behind\n"
    (site.shelf / "reached-close").unlink()
    site.interrupted("close", "images", "export", "one", "copy.raw", "--store", "stuck", code=0)
    assert (site.folder / "copy.raw").read_bytes() == (site.folder / "disk.raw").read_bytes()


def test_a_signal_ends_the_deletion_of_an_image_and_gc(site: Site) -> None:
    image = json.loads(site.run("run", "p.yaml", "disk.raw", "--json").splitlines()[-1])["image"]["id"]
    site.hang("delete")
    complaints = site.interrupted("delete", "images", "delete", image, "--yes")
    assert "error: the command was interrupted\n" in complaints
    (site.shelf / "reached-delete").unlink()
    complaints = site.interrupted("delete", "gc", number=signal.SIGINT)
    assert "error: the command was interrupted\n" in complaints
    site.assert_nothing_left_after_gc()


def test_commands_end_by_themselves_when_a_store_is_stuck(site: Site) -> None:
    images = [
        json.loads(site.run("run", "p.yaml", "disk.raw", "--json").splitlines()[-1])["image"]["id"]
        for _ in range(2)
    ]
    site.hang("read")
    shown = site.run("images", "export", images[0], "copy.raw", "--store", "stuck", code=6)
    assert "store_read did not end within 3 s" in shown
    assert "raise limits.store_patience in the site file" in shown
    site.hang("delete")
    for image in images:
        shown = site.run("images", "delete", image, "--yes", code=6)
        assert shown.count("stuck:/") == 1
        assert "run 'imageport gc'" in shown
    assert list((site.folder / "good").iterdir()) == []
    shown = site.run("gc", code=6)
    assert shown.count("left behind: stuck:/") == 2
    site.assert_nothing_left_after_gc()
