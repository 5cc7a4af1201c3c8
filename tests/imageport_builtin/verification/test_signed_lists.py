from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.imageport_builtin.verification.gpg import LONG_AGO, Gpg

from imageport import Context, LimitExceeded, SourceUnavailable, UsageError, VerificationFailed
from imageport.testing.contexts import make_context, make_transport
from imageport.testing.http_server import HttpServer, content
from imageport_builtin.checksum_digests import Digest
from imageport_builtin.openpgp import Keyring
from imageport_builtin.openpgp_documents import signature_packets, take_apart
from imageport_builtin.signed_lists import ChecksumList

GOOD = hashlib.sha256(b"good").hexdigest()
EVIL = hashlib.sha256(b"evil").hexdigest()
LIST = f"# images\n{GOOD}  disk.img\n{hashlib.sha256(b'other').hexdigest()}  other.img\n".encode()
EVIL_LIST = f"{EVIL}  disk.img\n".encode()


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def ctx(tmp_path: Path, events: list[Any]) -> Context:
    return make_context(tmp_path, http=make_transport(), emit=events.append)


@pytest.fixture
def look_up(
    http_server: HttpServer, keyring: Path, ctx: Context
) -> Callable[[bytes, bytes | None], tuple[Digest, str | None]]:
    """Return a function that publishes a list, and its signature, and looks ``disk.img`` up."""

    def function(document: bytes, signature: bytes | None = None) -> tuple[Digest, str | None]:
        url = http_server.answer("/SUMS", content(document))
        signature_url = None if signature is None else http_server.answer("/SUMS.gpg", content(signature))
        expected, signer = ChecksumList(url, signature_url, Keyring.load(keyring)).look_up("disk.img", ctx)
        return expected.digest, signer

    return function


LookUp = Callable[..., tuple[Digest, str | None]]


# ------------------------------------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("armor", [True, False], ids=["armored", "binary"])
def test_a_list_with_a_signature_beside_it_is_verified(look_up: LookUp, gpg: Gpg, armor: bool) -> None:
    found = look_up(LIST, gpg.detached(LIST, "publisher", armor=armor))
    assert found == (Digest("sha256", GOOD), gpg.fingerprint("publisher"))


@pytest.mark.parametrize("signer", ["publisher", "old"])
def test_a_clear_signed_list_is_verified(look_up: LookUp, gpg: Gpg, signer: str) -> None:
    assert look_up(gpg.clear_signed(LIST, signer)) == (Digest("sha256", GOOD), gpg.fingerprint(signer))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_the_ends_of_lines_do_not_matter_to_clear_signed_lists(look_up: LookUp, gpg: Gpg, end: bytes) -> None:
    document = gpg.clear_signed(LIST + b"- a line with a dash\n-----\n", "publisher")
    assert look_up(document.replace(b"\n", end))[0] == Digest("sha256", GOOD)


def test_one_trusted_signature_among_several_is_enough(look_up: LookUp, gpg: Gpg) -> None:
    for signers in (("stranger", "publisher"), ("publisher", "stranger")):
        assert look_up(LIST, gpg.detached(LIST, *signers))[1] == gpg.fingerprint("publisher")
        assert look_up(LIST, gpg.detached(LIST, *signers, armor=False))[1] == gpg.fingerprint("publisher")


@pytest.mark.parametrize("armor", [True, False], ids=["armored", "binary"])
def test_keyrings_are_armored_or_binary_and_may_be_joined(gpg: Gpg, tmp_path: Path, armor: bool) -> None:
    path = tmp_path / "keyring"
    path.write_bytes(b"".join(gpg.certificates(name, armor=armor) for name in ("stranger", "publisher")))
    signatures = signature_packets(gpg.detached(LIST, "publisher"))
    assert Keyring.load(path).signer(LIST, signatures, origin="x") == gpg.fingerprint("publisher")


def test_what_a_subkey_signs_counts_for_its_certificate(gpg: Gpg, tmp_path: Path) -> None:
    fingerprint = gpg.make_key("with-subkey")
    gpg("--quick-add-key", fingerprint, "ed25519", "sign", "never")
    path = tmp_path / "keyring"
    path.write_bytes(gpg.certificates("with-subkey"))
    signatures = signature_packets(gpg.detached(LIST, "with-subkey"))
    assert Keyring.load(path).signer(LIST, signatures, origin="x") == fingerprint


def test_list_and_signature_are_all_that_is_fetched(
    look_up: LookUp, gpg: Gpg, http_server: HttpServer, events: list[Any]
) -> None:
    look_up(LIST, gpg.detached(LIST, "publisher"))
    assert http_server.paths() == ["/SUMS", "/SUMS.gpg"]
    assert events == []


# --------------------------------------------------------------------------------------------------- what is refused


def refused(look_up: LookUp, events: list[Any], *documents: bytes) -> str:
    """Return why *documents* are refused."""
    with pytest.raises(VerificationFailed) as caught:
        look_up(*documents)
    assert caught.value.hint
    assert [(event.kind, event.message, event.verdict, event.signer) for event in events] == [
        ("check", "signature of the checksum list", "failed", None)
    ]
    return caught.value.message


Documents = Callable[[Gpg], tuple[bytes, ...]]

REFUSED: dict[str, tuple[Documents, str]] = {
    "not signed": (lambda gpg: (LIST,), "/SUMS is not signed"),
    "a signature of another file": (
        lambda gpg: (EVIL_LIST, gpg.detached(LIST, "publisher")),
        r"the signature does not match http\S+ \(signed by the certificate",
    ),
    "a changed list": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher").replace(GOOD.encode(), EVIL.encode()),),
        r"the signature does not match http\S+ \(signed by the certificate",
    ),
    "an unknown key": (
        lambda gpg: (EVIL_LIST, gpg.detached(EVIL_LIST, "stranger")),
        "which is not in .*publishers.asc",
    ),
    "an unknown key, clear-signed": (
        lambda gpg: (gpg.clear_signed(EVIL_LIST, "stranger"),),
        "which is not in .*publishers.asc",
    ),
    "an expired certificate": (
        lambda gpg: (LIST, gpg.detached(LIST, "expired", options=LONG_AGO)),
        "<expired@example.org>, which expired on 2020-02-04",
    ),
    "a signature with SHA-1": (
        lambda gpg: (LIST, gpg.detached(LIST, "old", options=("--digest-algo", "SHA1"))),
        "was made with SHA1, which can be forged",
    ),
    "a signature with MD5": (
        lambda gpg: (gpg.clear_signed(LIST, "old", "--digest-algo", "MD5", "--allow-weak-digest-algos"),),
        "was made with MD5, which can be forged",
    ),
    "no signature where one should be": (lambda gpg: (LIST, b""), "there is no signature in it"),
    "a web page where a signature should be": (
        lambda gpg: (LIST, b"<html>"),
        "it is not an OpenPGP signature",
    ),
    "a certificate where a signature should be": (
        lambda gpg: (LIST, gpg.certificates("publisher", armor=False)),
        "contains other data than signatures",
    ),
    "an armored certificate where a signature should be": (
        lambda gpg: (LIST, gpg.certificates("publisher")),
        "it is not one armored signature",
    ),
    "a signature with the text in it": (
        lambda gpg: (EVIL_LIST, gpg("--local-user", gpg.user("publisher"), "--sign", stdin=LIST)),
        "it has a packet without a length|contains other data than signatures",
    ),
    "a signature that is cut off": (
        lambda gpg: (LIST, gpg.detached(LIST, "publisher", armor=False)[:-1]),
        "it is cut off",
    ),
    "too many signatures": (
        lambda gpg: (LIST, gpg.detached(LIST, "publisher", armor=False) * 17),
        "more than 16 signatures",
    ),
    "a line before the block": (
        lambda gpg: (EVIL_LIST + gpg.clear_signed(LIST, "publisher"),),
        "there is text before the signed block",
    ),
    "a line after the block": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher") + EVIL_LIST,),
        "there is text after the signed block",
    ),
    "a second block": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher") + gpg.clear_signed(EVIL_LIST, "stranger"),),
        "more than one signed block",
    ),
    "a first block of another signer": (
        lambda gpg: (gpg.clear_signed(EVIL_LIST, "stranger") + gpg.clear_signed(LIST, "publisher"),),
        "more than one signed block",
    ),
    "a block in the block": (
        lambda gpg: (
            gpg.clear_signed(LIST, "publisher").replace(
                b"# images", b"-----BEGIN PGP SIGNED MESSAGE-----\n# images"
            ),
        ),
        "more than one signed block",
    ),
    "an entry among the headers": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher").replace(b"\n\n", b"\n" + EVIL_LIST + b"\n", 1),),
        "its headers are not those of a signed block",
    ),
    "no blank line behind the headers": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher").replace(b"\n\n", b"\n", 1),),
        "its headers are not those of a signed block",
    ),
    "a dash that is not escaped": (
        lambda gpg: (gpg.clear_signed(b"-----\n" + LIST, "publisher").replace(b"- -----", b"-----"),),
        "begins with a dash that is not escaped",
    ),
    "a dash that is escaped twice": (
        lambda gpg: (gpg.clear_signed(b"-----\n" + LIST, "publisher").replace(b"- -----", b"- - -----"),),
        "the signature does not match",
    ),
    "no end": (
        lambda gpg: (gpg.clear_signed(LIST, "publisher").replace(b"-----END PGP SIGNATURE-----", b""),),
        "its signature is missing or cut off",
    ),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_what_no_trusted_signer_has_signed_is_refused(
    look_up: LookUp, gpg: Gpg, events: list[Any], attack: str
) -> None:
    make, message = REFUSED[attack]
    found = refused(look_up, events, *make(gpg))
    assert re.search(message, found), found


def test_the_signature_of_a_revoked_certificate_is_refused(
    look_up: LookUp, gpg: Gpg, keyring: Path, events: list[Any]
) -> None:
    keyring.write_bytes(gpg.revoked("publisher"))
    assert "which was revoked" in refused(look_up, events, LIST, gpg.detached(LIST, "publisher"))


def test_a_revocation_holds_wherever_it_stands_in_the_keyring(
    look_up: LookUp, gpg: Gpg, keyring: Path, events: list[Any]
) -> None:
    keyring.write_bytes(gpg.revoked("publisher") + gpg.certificates("publisher"))
    assert "which was revoked" in refused(look_up, events, LIST, gpg.detached(LIST, "publisher"))


@pytest.mark.parametrize(
    ("algorithm", "options", "message"),
    [
        ("rsa1024", (), "RSA1024 is not considered secure"),
        ("rsa2048", ("--cert-digest-algo", "SHA1", "--allow-weak-key-signatures"), "SHA1 is not considered"),
    ],
    ids=["a short key", "held together by SHA-1"],
)
def test_a_certificate_that_is_too_weak_is_refused(
    look_up: LookUp,
    gpg: Gpg,
    keyring: Path,
    events: list[Any],
    algorithm: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    name = message.partition(" ")[0].lower()
    gpg.make_key(name, *options, algorithm=algorithm)
    keyring.write_bytes(gpg.certificates(name))
    signature = gpg.detached(LIST, name, options=("--digest-algo", "SHA256"))
    assert f"which is not valid: {message}" in refused(look_up, events, LIST, signature)


def test_an_expired_signature_is_refused(look_up: LookUp, gpg: Gpg, keyring: Path, events: list[Any]) -> None:
    gpg.make_key("long-lived", *LONG_AGO)
    keyring.write_bytes(gpg.certificates("long-lived"))
    signature = gpg.detached(LIST, "long-lived", options=(*LONG_AGO, "--default-sig-expire", "3d"))
    assert "expired on 2020-01-08" in refused(look_up, events, LIST, signature)


@pytest.mark.parametrize("algorithm", ["md5", "sha1"])
def test_a_signed_digest_that_can_be_forged_is_refused(look_up: LookUp, gpg: Gpg, algorithm: str) -> None:
    listed = f"{hashlib.new(algorithm, b'good').hexdigest()}  disk.img\n".encode()
    with pytest.raises(VerificationFailed, match=f"is signed, but has only the {algorithm} of the image"):
        look_up(gpg.clear_signed(listed, "publisher"))


def test_a_signature_that_is_not_there_ends_the_import(
    http_server: HttpServer, keyring: Path, ctx: Context
) -> None:
    url = http_server.answer("/SUMS", content(LIST))
    with pytest.raises(SourceUnavailable, match=r"/SUMS.gpg answered 404"):
        ChecksumList(url, http_server.url("/SUMS.gpg"), Keyring.load(keyring)).look_up("disk.img", ctx)


def test_a_signature_larger_than_any_is_not_read(look_up: LookUp) -> None:
    with pytest.raises(LimitExceeded, match=r"/SUMS.gpg is larger than 64.0 KiB") as caught:
        look_up(LIST, bytes(1 << 20))
    assert caught.value.hint == "check that it is the signature of a checksum list, and nothing else"


# ------------------------------------------------------------------------------------------------------ the keyring


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda gpg: None, "cannot be read: No such file"),
        (lambda gpg: b"", "holds no certificate"),
        (lambda gpg: b"ssh-ed25519 AAAA someone", "cannot be read"),
        (lambda gpg: gpg.detached(LIST, "publisher"), "cannot be read"),
        (lambda gpg: gpg.certificates("publisher", armor=False)[:40], "cannot be read"),
        (lambda gpg: bytes((16 << 20) + 1), "has more than 16.0 MiB"),
    ],
    ids=["missing", "empty", "another file", "a signature", "cut off", "too large"],
)
def test_a_keyring_that_trusts_no_signer_is_refused_before_anything_begins(
    gpg: Gpg, tmp_path: Path, made: Callable[[Gpg], bytes | None], message: str
) -> None:
    path = tmp_path / "keyring"
    if (written := made(gpg)) is not None:
        path.write_bytes(written)
    with pytest.raises(UsageError, match=message) as caught:
        Keyring.load(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_library_that_is_not_installed_is_reported_with_the_command_that_installs_it(
    keyring: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(UsageError, match="need the library pysequoia") as caught:
        Keyring.load(keyring)
    assert "pip install 'imageport[openpgp]'" in caught.value.hint


# ------------------------------------------------------------------------------------------------- any bytes at all


@given(st.binary(max_size=300))
def test_any_bytes_are_signatures_or_refused(document: bytes) -> None:
    try:
        packets = signature_packets(document)
    except ValueError:
        return
    assert b"".join(packets) == document


def pieces() -> Iterator[bytes]:
    yield from (b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP SIGNATURE-----")
    yield from (b"-----END PGP SIGNATURE-----", b"Hash: SHA256", b"", b"- ", b"-", b"x", b"\r", b"x \t")


@given(st.lists(st.sampled_from(list(pieces())), max_size=12).map(b"\n".join))
def test_text_that_is_taken_for_signed_stood_in_one_block(document: bytes) -> None:
    try:
        text, signatures = take_apart(document)
    except ValueError:
        return
    assert document.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    assert document.rstrip().endswith(signatures) or b"\r" in document
    assert not any(line.startswith(b"-----BEGIN") for line in text.split(b"\n"))
