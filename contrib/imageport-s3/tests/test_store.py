"""Objects, their properties and their digests, and what an operator reads when something is wrong."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BUCKET, Bucket
from imageport import StoreFailed
from imageport.testing import Bench, Stream, bench

MIB = 1 << 20
NOISE = random.Random(5).randbytes(11 * MIB + 77)


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> Iterator[Bench]:
    with bench("s3", bucket.options | {"part_size": 5 * MIB}, tmp_path, is_store=True) as made:
        yield made


def write(bucket: Bucket, folder: Path, content: bytes = NOISE, **options: Any) -> Any:
    """Return the metadata of the object that a store with *options* writes."""
    with bench("s3", {**bucket.options, **options}, folder, is_store=True) as store:
        store.write(Stream(content).data()).publish()
    (name,) = bucket.objects()
    assert bucket.content(name) == content
    return bucket.client.head_object(Bucket=BUCKET, Key=name)


def refusal(options: dict[str, Any], folder: Path) -> StoreFailed:
    """Return the error of a store with *options*."""
    with bench("s3", options, folder, is_store=True) as store, pytest.raises(StoreFailed) as caught:
        store.write(Stream(b"x").data()).publish()
    return caught.value


def test_the_object_has_the_bytes_and_the_etag_of_its_parts(bucket: Bucket, tmp_path: Path) -> None:
    found = write(bucket, tmp_path, part_size=5 * MIB)
    parts = [NOISE[start : start + 5 * MIB] for start in range(0, len(NOISE), 5 * MIB)]
    whole = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert found["ETag"] == f'"{whole}-3"'
    assert found["Metadata"]["imageport-token"].isdigit()


def test_the_digest_of_parts_may_be_sha256_where_the_server_computes_it(
    bucket: Bucket, tmp_path: Path
) -> None:
    if bucket.kind == "ceph":
        error = refusal({**bucket.options, "checksum": "sha256"}, tmp_path)
        assert (error.message.endswith("no SHA-256 of parts"), error.hint) == (True, "set 'checksum: md5'")
        assert bucket.traces() == []
    else:
        assert write(bucket, tmp_path, part_size=5 * MIB, checksum="sha256")["ContentLength"] == len(NOISE)


def test_an_image_without_bytes_is_an_object_without_bytes(bucket: Bucket, tmp_path: Path) -> None:
    assert write(bucket, tmp_path, b"")["ContentLength"] == 0


def test_parts_are_announced_by_the_id_of_their_upload(store: Bench, bucket: Bucket) -> None:
    copy = store.write(Stream(NOISE).data())
    assert [f"{name} {store.announced[-1].metadata['upload']}" for name in _names(store)] == bucket.uploads()
    assert bucket.objects() == []
    copy.discard()
    assert bucket.traces() == []


def _names(store: Bench) -> set[str]:
    return {location.url.removeprefix(f"s3://{BUCKET}/") for location in store.announced}


def test_an_object_of_another_program_stays(store: Bench, bucket: Bucket) -> None:
    copy = store.write(Stream(NOISE).data())
    (name,) = _names(store)
    bucket.put(name.removeprefix(bucket.prefix), b"theirs")
    with pytest.raises(StoreFailed, match="already there"):
        copy.publish()
    store.delete(copy.location)
    assert bucket.content(name) == b"theirs"
    assert bucket.uploads() == []
    assert list(store.list()) == []


# ------------------------------------------------------------------------------------------------------- mistakes


def test_a_wrong_secret_is_reported_without_it(bucket: Bucket, tmp_path: Path) -> None:
    error = refusal({**bucket.options, "secret_access_key": "not-the-secret"}, tmp_path)
    assert error.message.endswith("the server refuses HeadObject (403: Forbidden)")
    assert error.hint == "check the access key and its secret, and what it may do with the bucket"
    assert "not-the-secret" not in error.message + error.hint


def test_an_unknown_key_is_reported(bucket: Bucket, tmp_path: Path) -> None:
    error = refusal({**bucket.options, "access_key_id": "unknown"}, tmp_path)
    assert error.hint.startswith("check the access key and its secret")


def test_a_server_that_is_not_there_is_reported(bucket: Bucket, tmp_path: Path) -> None:
    error = refusal({**bucket.options, "endpoint": "http://127.0.0.1:1"}, tmp_path)
    assert error.hint == "check that the server runs and answers, then import again"
    assert error.retry


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("ok", f"s3://{BUCKET}/ answers", "")),
        ({"bucket": "missing-bucket"}, ("error", "NoSuchBucket", "make the bucket")),
        ({"secret_access_key": "not-the-secret"}, ("error", "SignatureDoesNotMatch", "check the access key")),
        ({"access_key_id": "unknown"}, ("error", "InvalidAccessKeyId", "check the access key")),
        (
            {"endpoint": "http://127.0.0.1:1"},
            ("error", "127.0.0.1:1 cannot be reached", "check that the server"),
        ),
    ],
    ids=["good", "no bucket", "wrong secret", "unknown key", "no server"],
)
def test_diagnosis_finds_what_an_import_would_find(
    bucket: Bucket, tmp_path: Path, options: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    with bench("s3", {**bucket.options, **options}, tmp_path, is_store=True) as store:
        (finding,) = store.diagnose()
    assert finding.severity == expected[0]
    assert expected[1] in finding.message
    assert finding.hint.startswith(expected[2])
    assert "not-the-secret" not in finding.message


def test_a_storage_class_that_the_server_does_not_have_is_reported(bucket: Bucket, tmp_path: Path) -> None:
    if bucket.kind == "ceph":  # SeaweedFS takes any
        error = refusal({**bucket.options, "storage_class": "STANDARD_IA"}, tmp_path)
        assert "storage_class" in error.hint
    else:
        assert write(bucket, tmp_path, storage_class="STANDARD_IA").get("StorageClass") in (
            "STANDARD_IA",
            None,
        )


def test_encryption_that_the_server_does_not_have_is_reported(bucket: Bucket, tmp_path: Path) -> None:
    if bucket.kind == "ceph":
        error = refusal({**bucket.options, "server_side_encryption": "AES256"}, tmp_path)
        assert "server_side_encryption" in error.hint
    else:
        assert write(bucket, tmp_path, server_side_encryption="AES256")["ServerSideEncryption"] == "AES256"


def test_keys_may_come_from_a_profile_or_from_the_environment(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = bucket.options
    key, secret = access.pop("access_key_id"), access.pop("secret_access_key")
    files = tmp_path / "credentials"
    files.write_text(f"[images]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files))
    with bench("s3", {**access, "profile": "images"}, tmp_path, is_store=True) as store:
        copy = store.write(Stream(NOISE).data())
        copy.publish()
        assert store.read(copy.location) == NOISE
        store.delete(copy.location)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    assert write(bucket, tmp_path, access_key_id=None, secret_access_key=None)["ContentLength"] == len(NOISE)


def test_a_profile_that_is_missing_is_reported(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    options = {**bucket.options, "access_key_id": None, "secret_access_key": None}
    with (
        bench("s3", {**options, "profile": "images"}, tmp_path, is_store=True) as store,
        pytest.raises(Exception, match="no profile images"),
    ):
        store.write(Stream(b"x").data())
