"""Digests by the names that hashlib has for them, one by one or beside a stream."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from imageport.buffers import Chunks, Piece

if TYPE_CHECKING:
    from concurrent.futures import Future

#: Pieces that a digest may be behind the stream.
_MOST_BEHIND: Final = 4

#: What cryptography brings a newer OpenSSL for than most Pythons have, by its names there.
_FASTER: Final = {
    "md5": "MD5",
    "sha1": "SHA1",
    "sha224": "SHA224",
    "sha256": "SHA256",
    "sha384": "SHA384",
    "sha512": "SHA512",
}


class Digest(Protocol):
    """Something that takes in bytes; it lets other threads run meanwhile."""

    def update(self, piece: Piece, /) -> None:
        """Take in the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far, in hexadecimal with lower case."""
        ...


def new_digest(name: str) -> Digest:
    """Return an empty digest; *name* is one that ``hashlib.new`` knows. Raises ``ValueError`` for others."""
    if name in _FASTER:
        return _OfCryptography(_FASTER[name])
    return hashlib.new(name, usedforsecurity=False)


class _OfCryptography:
    def __init__(self, name: str) -> None:
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - slow to import, and few commands digest

        self._hash: Any = hashes.Hash(getattr(hashes, name)())
        self.update = self._hash.update

    def hexdigest(self) -> str:
        digest: bytes = self._hash.copy().finalize()
        return digest.hex()


class PassingDigest:
    """The digest called *name* of a stream; ``value`` is there, in hexadecimal, once the stream has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = ""

    def beside(self, chunks: Chunks) -> Chunks:
        """Pass *chunks* on and compute the digest in a thread of its own, which is gone when this generator ends.

        One digest takes longer than anything else that is done with the bytes.
        """
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow to import, as above

        digest = new_digest(self.name)
        behind: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, "digest") as thread:
            for piece in chunks:
                if len(behind) == _MOST_BEHIND:
                    behind.popleft().result()
                behind.append(thread.submit(digest.update, piece))
                yield piece
            for update in behind:
                update.result()
        self.value = digest.hexdigest()
