"""Digests of parts: sent with each part, and compared with those that the server has computed."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import md5, sha256
from typing import Any

from imageport import StoreFailed

#: The ETag of a part is the MD5 of its bytes, unless the server encrypts it with a key, or is an uncommon one.
_MD5 = re.compile(r"[0-9a-f]{32}")


def of_part(part: bytearray, algorithm: str) -> dict[str, Any]:
    """Return the arguments of ``upload_part`` by which the server checks the bytes."""
    if algorithm == "sha256":
        return {"ChecksumSHA256": b64encode(sha256(part).digest()).decode()}
    return {"ContentMD5": b64encode(md5(part, usedforsecurity=False).digest()).decode()}


def receipt(answer: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    """Return the ETag of a part, and its SHA-256 if that was sent, after comparing what the server has computed.

    Raises ``StoreFailed``.
    """
    etag = answer["ETag"].strip('"')
    if "ChecksumSHA256" in sent:
        if "ChecksumSHA256" not in answer:
            raise StoreFailed("the server computes no SHA-256 of parts", hint="set 'checksum: md5'")
        computed, expected = answer["ChecksumSHA256"], sent["ChecksumSHA256"]
        receipt = f"{etag} {computed}"
    else:
        is_md5 = _MD5.fullmatch(etag) and not _has_key(answer)
        expected = sent["ContentMD5"]
        computed = b64encode(bytes.fromhex(etag)).decode() if is_md5 else expected
        receipt = etag
    if computed != expected:
        raise StoreFailed(
            "the server has computed another digest of a part than this machine",
            hint="check the memory of this machine and of the server, then import the image again",
            retry=True,
        )
    return receipt


def as_parts(receipts: Sequence[str]) -> list[Any]:
    """Return the parts of ``complete_multipart_upload``."""
    names = ("ETag", "ChecksumSHA256")
    return [
        {"PartNumber": number, **dict(zip(names, one.split(), strict=False))}
        for number, one in enumerate(receipts, 1)
    ]


def of_object(receipts: Sequence[str], answer: Mapping[str, Any]) -> str:
    """Return the ETag that an object of these parts must have, or nothing when that is not known."""
    etags = [one.split()[0] for one in receipts]
    if _has_key(answer) or not all(map(_MD5.fullmatch, etags)):
        return ""
    whole = md5(b"".join(map(bytes.fromhex, etags)), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(etags)}"


def _has_key(answer: Mapping[str, Any]) -> bool:
    return answer.get("ServerSideEncryption") not in (None, "AES256") or "SSECustomerAlgorithm" in answer
