from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.imageport_builtin.verification.gpg import Gpg
from tests.imageport_builtin.verification.imports import Imports
from tests.plugin_folder import PluginFolder

DISK = bytes(1 << 20)
SUMS = f"{hashlib.sha256(DISK).hexdigest()}  disk.raw\n".encode()
KEYRING = "url: '{source.dir}/CHECKSUM', keyring: publishers.asc"
CLEAR_SIGNED = f"checksum_{KEYRING}"

ACME = """
    from imageport import Image, NoConfig, Plugin, VerificationFailed, hookimpl


    class Signed(Plugin[NoConfig]):
        '''Check the signature of an image.'''

        @classmethod
        def requires_signature(cls, config):
            return True

        @hookimpl
        def transform(self, image, ctx):
            def verify(chunks):
                yield from chunks
                ctx.check("signature of Acme", passed=True, signer="acme")

            return image.evolve(data=image.data.tapped(verify))


    class Claims(Signed):
        '''Declare a check of the signature, and do nothing.'''

        @hookimpl
        def transform(self, image):
            return None


    class Fails(Signed):
        '''Report that the signature does not match.'''

        @hookimpl
        def transform(self, image, ctx):
            def verify(chunks):
                yield from chunks
                ctx.check("signature of Acme", passed=False, signer="acme")

            return image.evolve(data=image.data.tapped(verify))


    class Broken(Signed):
        '''Have a defect.'''

        @classmethod
        def requires_signature(cls, config):
            return config.no_such_option
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plugins of another package that have to do with signatures."""
    folder = PluginFolder(tmp_path / "site-packages")
    names = ("signed", "claims", "fails", "broken")
    plugins = {f"acme-{name}": f"acme_trust:{name.title()}" for name in names}
    folder.install("acme-trust", plugins, {"acme_trust": ACME})
    monkeypatch.syspath_prepend(str(folder.folder))
    yield
    sys.modules.pop("acme_trust", None)


@pytest.fixture
def published(imports: Imports, gpg: Gpg) -> Imports:
    imports.publish({"disk.raw": DISK, "CHECKSUM": gpg.clear_signed(SUMS, "publisher"), "SUMS": SUMS})
    return imports


def problems(imports: Imports) -> list[tuple[str, int, str]]:
    """Return the mistakes in the pipeline that are reported before anything is fetched: file, line and message."""
    finished = imports.command("run", "verified.yaml", imports.server.url("/disk.raw"), "--json")
    assert finished.exit_code == 2
    assert imports.server.paths() == []
    found: list[dict[str, Any]] = finished.report["error"]["problems"]
    return [(problem["file"], problem["line"], problem["message"]) for problem in found]


def test_without_a_policy_anything_gets_in(published: Imports) -> None:
    published.pipeline()
    assert published("disk.raw")["plan"]["trust"] is None


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        ("", ""),
        ("checksum: 'sha256:%s'" % ("0" * 64), ""),
        ("checksum_url: '{source.dir}/SUMS'", ""),
        ("", "{use: checksum, with: {url: '{source.dir}/SUMS'}}"),
        ("", "{use: image_signature, with: {certificates: ./signers}}"),
    ],
    ids=["nothing", "a digest", "a list", "a list for the step", "signatures that may be missing"],
)
def test_a_pipeline_that_lets_unsigned_images_in_is_refused_where_it_demands_trust(
    published: Imports, source: str, steps: str
) -> None:
    (published.folder / "signers").mkdir()
    published.pipeline(source=source, steps=steps, more="trust: signed")
    [(file, line, message)] = problems(published)
    assert (file, line) == ("verified.yaml", 9)
    assert "nothing in verified.yaml requires a trusted signature" in message


@pytest.mark.parametrize(
    ("source", "steps"),
    [
        (CLEAR_SIGNED, ""),
        ("", f"{{use: checksum, with: {{{KEYRING}, filename: disk.raw}}}}"),
    ],
    ids=["by the method", "by the step"],
)
def test_a_signed_image_is_imported_and_the_report_names_the_signer(
    published: Imports, gpg: Gpg, source: str, steps: str
) -> None:
    published.pipeline(source=source, steps=steps, more="trust: signed")
    report = published("disk.raw")
    assert report["plan"]["trust"] == "signed"
    assert report["source"]["checks"] == [
        {
            "name": "checksum sha256",
            "verdict": "passed",
            "digest": f"sha256:{hashlib.sha256(DISK).hexdigest()}",
            "signer": gpg.fingerprint("publisher"),
        }
    ]
    assert published.stored() == [DISK, DISK]


def test_the_step_for_signed_images_counts_when_it_insists(published: Imports) -> None:
    (published.folder / "signers").mkdir()
    published.pipeline(
        steps="{use: image_signature, with: {certificates: ./signers, required: true}}", more="trust: signed"
    )
    published.refused("disk.raw", message="the image is not signed, and a signature is required")


def test_another_word_than_signed_is_not_a_policy(published: Imports) -> None:
    published.pipeline(source=CLEAR_SIGNED, more="trust: maybe")
    [(_, line, message)] = problems(published)
    assert (line, "signed" in message) == (9, True)


@pytest.mark.parametrize(
    "command", [("validate", "verified.yaml"), ("plan", "verified.yaml")], ids=["validate", "plan"]
)
def test_it_shows_before_an_import(published: Imports, command: tuple[str, str]) -> None:
    published.pipeline(more="trust: signed")
    finished = published.command(*command)
    assert finished.exit_code == 2
    assert "verified.yaml:9:1" in finished.stdout + finished.stderr


def test_a_keyring_that_is_not_there_shows_before_an_import(published: Imports) -> None:
    published.pipeline(source=CLEAR_SIGNED.replace("publishers", "missing"), more="trust: signed")
    finished = published.command("plan", "verified.yaml")
    assert finished.exit_code == 2
    assert "missing.asc cannot be read: No such file" in finished.stderr


# ---------------------------------------------------------------------------------------------------------- the site


def demand_everywhere(imports: Imports) -> None:
    with (imports.folder / "imageport.yaml").open("a") as file:
        file.write("trust: signed\n")


def test_a_site_may_demand_trust_of_all_pipelines(published: Imports) -> None:
    demand_everywhere(published)
    published.pipeline()
    [(file, line, message)] = problems(published)
    assert (file, line) == ("imageport.yaml", 6)
    assert "nothing in verified.yaml requires" in message
    published.pipeline(source=CLEAR_SIGNED)
    assert published("disk.raw")["plan"]["trust"] == "signed"


def test_images_that_are_here_already_may_be_copied_where_a_site_demands_trust(published: Imports) -> None:
    demand_everywhere(published)
    published.pipeline(source=CLEAR_SIGNED)
    image = published("disk.raw")["image"]["id"]
    (published.folder / "copy.yaml").write_text(
        "name: copy\nsource: {use: copy-image}\nstores: [{use: file, id: three, with: {directory: three}}]\n"
    )
    finished = published.command("run", "copy.yaml", "--image", image, "--role", "admin", "--json")
    assert finished.exit_code == 0, finished.stderr
    assert finished.copies["three"].read_bytes() == DISK


def test_a_copy_cannot_demand_a_signature(published: Imports) -> None:
    (published.folder / "verified.yaml").write_text(
        "name: copy\nsource: {use: copy-image}\ntrust: signed\n"
        "stores: [{use: file, id: three, with: {directory: three}}]\n"
    )
    [(_, line, message)] = problems(published)
    assert (line, message) == (3, "'copy-image' copies stored bytes, which have no signature: remove this")


# ------------------------------------------------------------------------------------------- plugins of other packages


@pytest.mark.usefixtures("acme")
def test_a_plugin_of_another_author_may_vouch(published: Imports) -> None:
    published.pipeline(steps="{use: acme-signed}", more="trust: signed")
    [check] = published("disk.raw")["source"]["checks"]
    assert check == {"name": "signature of Acme", "verdict": "passed", "signer": "acme"}


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize("step", ["acme-claims", "acme-fails"])
@pytest.mark.parametrize("all_must", [True, False], ids=["all stores", "any store"])
def test_a_plugin_that_promises_a_signature_has_to_show_one(
    published: Imports, step: str, all_must: bool
) -> None:
    published.pipeline(steps=f"{{use: {step}}}", more="trust: signed", all_must=all_must)
    published.refused("disk.raw", message="no trusted signature was found", hint="ctx.check")


@pytest.mark.usefixtures("acme")
def test_a_plugin_that_fails_in_requires_signature_is_named(published: Imports) -> None:
    published.pipeline(steps="{use: acme-broken}", more="trust: signed")
    messages = [message for _, _, message in problems(published)]
    assert any("failed in requires_signature: AttributeError" in text for text in messages)
