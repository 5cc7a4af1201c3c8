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
    digests = {"ContentMD5": b64encode(md5(part, usedforsecurity=False).digest()).decode()}
    if algorithm == "sha256":
        digests["ChecksumSHA256"] = b64encode(sha256(part).digest()).decode()
    return digests


def receipt(answer: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    """Return the ETag of a part, and its SHA-256 if that was sent, after comparing what the server has computed.

    Raises ``StoreFailed``.
    """
    etag = answer["ETag"].strip('"')
    computed = {"ChecksumSHA256": answer.get("ChecksumSHA256")}
    if _MD5.fullmatch(etag) and not _has_key(answer):
        computed["ContentMD5"] = b64encode(bytes.fromhex(etag)).decode()
    for name, digest in computed.items():
        if digest is not None and digest != sent.get(name, digest):
            raise StoreFailed(
                f"the server has computed another {name.removeprefix('Content').removeprefix('Checksum')} of a part",
                hint="check the memory of this machine and of the server, then import the image again",
                retry=True,
            )
    return " ".join([etag, *([sent["ChecksumSHA256"]] if computed["ChecksumSHA256"] else [])])


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
