"""Every file in ``pipelines/`` works as its comments describe, on real input."""

from __future__ import annotations

import gzip
import hashlib
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imageport.testing.command import Finished, RunImageport, sha512
from imageport.testing.http_server import HttpServer

PIPELINES = Path(__file__).parents[2] / "pipelines"


def pipeline(name: str) -> str:
    return str(PIPELINES / f"{name}.yaml")


def raw_digest_of(path: Path, disk_format: str) -> str:
    """Return the SHA-512 of the disk inside an image, by way of qemu-img."""
    raw = path.with_suffix(".compared")
    subprocess.run(["qemu-img", "convert", "-f", disk_format, "-O", "raw", path, raw], check=True)
    digest = sha512(raw)
    raw.unlink()
    return digest


def succeeded(finished: Finished) -> Finished:
    assert finished.exit_code == 0, finished.stderr + finished.stdout
    return finished


def failed(finished: Finished, exit_code: int) -> Any:
    assert finished.exit_code == exit_code, finished.stderr + finished.stdout
    return finished.report["error"]


@pytest.fixture
def packed(qcow2_disk: Path) -> bytes:
    return gzip.compress(qcow2_disk.read_bytes(), compresslevel=1)


class TestQuickstart:
    def run(
        self, run_imageport: RunImageport, server: HttpServer, *more: str, port: int | None = None
    ) -> Finished:
        port = server.port if port is None else port
        source = server.url("/images/disk.qcow2.gz")
        return run_imageport("run", pipeline("quickstart"), source, "--json", "--set", f"port={port}", *more)

    def publish(self, server: HttpServer, body: bytes, digest: str | None = None) -> None:
        server.publish("/images/disk.qcow2.gz", body)
        digest = digest or hashlib.sha256(body).hexdigest()
        server.publish("/images/SHA256SUMS", f"{digest}  disk.qcow2.gz\n".encode())

    def test_both_stores_get_the_raw_disk(
        self, run_imageport: RunImageport, http_server: HttpServer, packed: bytes, raw_digest: str
    ) -> None:
        self.publish(http_server, packed)
        finished = succeeded(self.run(run_imageport, http_server))
        found = finished.copies
        assert sorted(found) == ["archive", "fast"]
        assert {sha512(path) for path in found.values()} == {raw_digest}
        record = finished.report["image"]
        assert record["status"] == "active"
        assert (record["disk_format"], record["size"], record["virtual_size"]) == ("raw", 24 << 20, 24 << 20)
        assert (record["os_hash_algo"], record["os_hash_value"]) == ("sha512", raw_digest)
        assert record["properties"]["hw_disk_bus"] == "virtio"
        [check] = finished.report["source"]["checks"]
        assert (check["name"], check["verdict"]) == ("checksum sha256", "passed")

    def test_an_administrator_imports_without_the_properties(
        self, run_imageport: RunImageport, http_server: HttpServer, packed: bytes
    ) -> None:
        self.publish(http_server, packed)
        finished = succeeded(self.run(run_imageport, http_server, "--role", "admin"))
        assert "hw_disk_bus" not in finished.report["image"]["properties"]

    def test_a_wrong_checksum_publishes_nothing(
        self, run_imageport: RunImageport, http_server: HttpServer, packed: bytes, site_folder: Path
    ) -> None:
        self.publish(http_server, packed, digest="0" * 64)
        error = failed(self.run(run_imageport, http_server), 5)
        assert error["step"] == "checksum"
        assert "0" * 64 in error["message"]
        assert hashlib.sha256(packed).hexdigest() in error["message"]
        assert not [path for path in (site_folder / "images").rglob("*") if path.is_file()]

    def test_another_port_is_refused_before_anything_is_fetched(
        self, run_imageport: RunImageport, http_server: HttpServer, packed: bytes
    ) -> None:
        self.publish(http_server, packed)
        error = failed(self.run(run_imageport, http_server, port=443), 3)
        assert error["step"] == "uri_filter"
        assert http_server.paths() == []


class TestUpload:
    def test_a_file_becomes_a_compressed_qcow2(
        self, run_imageport: RunImageport, vmdk_disk: Path, raw_digest: str
    ) -> None:
        finished = succeeded(run_imageport("run", pipeline("upload"), vmdk_disk, "--json"))
        (stored,) = finished.copies.values()
        assert finished.report["image"]["disk_format"] == "qcow2"
        assert raw_digest_of(stored, "qcow2") == raw_digest
        assert stored.stat().st_size < 8 << 20

    def test_standard_input_may_be_packed(
        self, run_imageport: RunImageport, raw_disk: Path, raw_digest: str
    ) -> None:
        zstd = subprocess.run(["zstd", "-q", "-c", raw_disk], check=True, capture_output=True)
        finished = succeeded(
            run_imageport("run", pipeline("upload"), "-", "--name", "web-server", "--json", stdin=zstd.stdout)
        )
        (stored,) = finished.copies.values()
        assert finished.report["image"]["name"] == "web-server"
        assert raw_digest_of(stored, "qcow2") == raw_digest

    def test_what_was_staged_before_is_taken(
        self, run_imageport: RunImageport, raw_disk: Path, raw_digest: str
    ) -> None:
        succeeded(
            run_imageport(
                "images",
                "create",
                "--name",
                "web-server",
                "--disk-format",
                "raw",
                "--container-format",
                "bare",
            )
        )
        succeeded(run_imageport("images", "stage", "web-server", raw_disk))
        finished = succeeded(run_imageport("run", pipeline("upload"), "--image", "web-server", "--json"))
        (stored,) = finished.copies.values()
        assert raw_digest_of(stored, "qcow2") == raw_digest


class TestCloudImage:
    """The mirror is a server with a self-signed certificate; the path below it is the real one."""

    path = "/images/cloud/{release}/latest/debian-{version}-genericcloud-amd64.qcow2"

    @pytest.fixture
    def mirror(self, tmp_path: Path) -> Path:
        """Make a certificate for 127.0.0.1 and return its file."""
        certificate = tmp_path / "mirror.pem"
        options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mirror"
        command = f"openssl req {options} -addext subjectAltName=IP:127.0.0.1"
        files = ["-keyout", str(certificate), "-out", str(tmp_path / "public.pem")]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        with certificate.open("a") as file:
            file.write((tmp_path / "public.pem").read_text())
        return certificate

    @pytest.mark.parametrize(("release", "version"), [("bookworm", "12"), ("trixie", "13")])
    def test_the_published_image_becomes_raw(
        self,
        run_imageport: RunImageport,
        site_folder: Path,
        mirror: Path,
        qcow2_disk: Path,
        raw_digest: str,
        release: str,
        version: str,
    ) -> None:
        site = site_folder / "imageport.yaml"
        public = mirror.with_name("public.pem")
        site.write_text(site.read_text().replace("network: {", f"network: {{ca_bundle: {public}, "))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(mirror)
        path = self.path.format(release=release, version=version)
        name = path.rpartition("/")[2]
        with HttpServer(tls=context) as server:
            server.publish(path, qcow2_disk.read_bytes())
            listed = f"{'1' * 128}  other.qcow2\n{sha512(qcow2_disk)}  {name}\n"
            server.publish(f"{path.rpartition('/')[0]}/SHA512SUMS", listed.encode())
            finished = succeeded(
                run_imageport(
                    "run", pipeline("cloud-image"), "--json", "--set", f"mirror={server.url('/images/cloud')}",
                    "--set", f"port={server.port}", "--set", f"release={release}",
                    "--set", f"version={version}",
                )
            )  # fmt: skip
        (stored,) = finished.copies.values()
        assert sha512(stored) == raw_digest
        properties = finished.report["image"]["properties"]
        assert (properties["os_distro"], properties["os_version"]) == ("debian", version)

    def test_plain_http_is_refused(self, run_imageport: RunImageport, http_server: HttpServer) -> None:
        mirror = http_server.url("/images/cloud")
        error = failed(
            run_imageport("run", pipeline("cloud-image"), "--json", "--set", f"mirror={mirror}"), 3
        )
        assert error["step"] == "uri_filter"
        assert http_server.paths() == []


class TestAppliance:
    @pytest.fixture
    def ova(self, vmdk_disk: Path, tmp_path: Path) -> Path:
        folder = tmp_path / "appliance"
        folder.mkdir()
        (folder / "firewall.ovf").write_text("<?xml version='1.0'?><Envelope/>\n")
        (folder / "firewall-disk1.vmdk").write_bytes(vmdk_disk.read_bytes())
        (folder / "firewall.mf").write_text("SHA256(firewall.ovf)= 0\n")
        names = ["firewall.ovf", "firewall-disk1.vmdk", "firewall.mf"]
        ova = tmp_path / "appliance.ova"
        subprocess.run(["tar", "--format=ustar", "-cf", ova, *names], cwd=folder, check=True)
        return ova

    def test_the_disk_is_taken_out_of_the_appliance(
        self, run_imageport: RunImageport, ova: Path, raw_digest: str
    ) -> None:
        finished = succeeded(run_imageport("run", pipeline("appliance"), ova, "--json"))
        (stored,) = finished.copies.values()
        assert raw_digest_of(stored, "qcow2") == raw_digest

    def test_an_appliance_without_a_disk_of_that_name_is_refused(
        self, run_imageport: RunImageport, ova: Path
    ) -> None:
        error = failed(run_imageport("run", pipeline("appliance"), ova, "--json", "--set", "member=*.vhd"), 5)
        assert error["step"] == "image_decompression"
        assert "*.vhd" in error["message"]


class TestAnyStore:
    def test_one_store_is_enough(
        self, run_imageport: RunImageport, site_folder: Path, raw_disk: Path, raw_digest: str
    ) -> None:
        (site_folder / "images").mkdir()
        (site_folder / "images/far").write_text("in the way")
        finished = succeeded(run_imageport("run", pipeline("any-store"), raw_disk, "--json"))
        assert finished.report["stores"]["far"]["status"] == "failed"
        assert list(finished.copies) == ["near"]
        assert sha512(finished.copies["near"]) == raw_digest
        assert finished.report["image"]["status"] == "active"

    def test_the_event_file_ends_with_the_report(
        self, run_imageport: RunImageport, site_folder: Path, raw_disk: Path
    ) -> None:
        finished = succeeded(run_imageport("run", pipeline("any-store"), raw_disk, "--json"))
        assert sorted(finished.copies) == ["far", "near"]
        last = (site_folder / "imageport-events.jsonl").read_text().splitlines()[-1]
        assert json.loads(last)["task_id"] == finished.report["task_id"]

    def test_no_store_at_all_is_a_failure(
        self, run_imageport: RunImageport, site_folder: Path, raw_disk: Path
    ) -> None:
        (site_folder / "images").write_text("in the way")
        failed(run_imageport("run", pipeline("any-store"), raw_disk, "--json"), 6)


class TestCopy:
    def test_a_stored_image_gets_one_more_copy_and_only_once(
        self, run_imageport: RunImageport, raw_disk: Path, raw_digest: str
    ) -> None:
        succeeded(run_imageport("run", pipeline("any-store"), raw_disk, "--name", "web-server"))
        copy = ("run", pipeline("copy"), "--image", "web-server", "--role", "admin", "--json")
        first = succeeded(run_imageport(*copy))
        assert sha512(first.copies["backup"]) == raw_digest
        again = succeeded(run_imageport(*copy))
        assert again.copies == {}
        assert len(again.report["image"]["locations"]) == 3

    def test_members_may_not_copy_images_of_others(self, run_imageport: RunImageport, raw_disk: Path) -> None:
        succeeded(run_imageport("run", pipeline("upload"), raw_disk, "--name", "hers", "--user", "alice"))
        copy = ("run", pipeline("copy"), "--image", "hers", "--user", "bob", "--json")
        assert "no image 'hers'" in failed(run_imageport(*copy), 2)["message"]
        succeeded(run_imageport("images", "set", "hers", "--visibility", "community", "--user", "alice"))
        assert failed(run_imageport(*copy), 2)["code"] == "not-allowed"


TESTED: dict[str, type] = {
    "any-store": TestAnyStore,
    "appliance": TestAppliance,
    "cloud-image": TestCloudImage,
    "copy": TestCopy,
    "quickstart": TestQuickstart,
    "upload": TestUpload,
}


def test_every_pipeline_is_run_by_a_test() -> None:
    assert sorted(path.stem for path in PIPELINES.iterdir()) == sorted(TESTED)
    assert all(path.suffix == ".yaml" for path in PIPELINES.iterdir())


def test_every_pipeline_is_valid_without_a_site_file(run_imageport: RunImageport, site_folder: Path) -> None:
    (site_folder / "imageport.yaml").unlink()
    finished = succeeded(run_imageport("validate", PIPELINES, "--json"))
    assert len(finished.json) == len(TESTED)


def test_every_pipeline_can_be_planned(run_imageport: RunImageport) -> None:
    for name in TESTED:
        succeeded(run_imageport("plan", pipeline(name)))
