"""Digests by the names that hashlib has for them, one by one or beside a stream."""

from __future__ import annotations

import hashlib
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks

if TYPE_CHECKING:
    from concurrent.futures import Future

    from cryptography.hazmat.primitives.hashes import Hash

#: Pieces that a digest may be behind the stream.
_MOST_BEHIND: Final = 4

#: What cryptography brings a newer OpenSSL for than most Pythons have, and the first version of it that lets other
#: threads run meanwhile.
_FASTER: Final = frozenset({"md5", "sha1", "sha224", "sha256", "sha384", "sha512"})
_FASTER_SINCE: Final = 50


class Hasher(Protocol):
    """Something that takes in bytes; it lets other threads run meanwhile."""

    def update(self, piece: Chunk, /) -> None:
        """Take in the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far, in hexadecimal with lower case."""
        ...


def new_hasher(name: str) -> Hasher:
    """Return an empty digest; *name* is one that ``hashlib.new`` knows. Raises ``ValueError`` for others."""
    return _faster_hasher(name) if name in _FASTER else hashlib.new(name, usedforsecurity=False)


def _faster_hasher(name: str) -> Hasher:
    # Slow to import, and few commands digest.
    import cryptography  # noqa: PLC0415
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415

    if int(cryptography.__version__.partition(".")[0]) >= _FASTER_SINCE:
        # A system that is set up for FIPS has md5 only for uses without security.
        with suppress(InternalError, UnsupportedAlgorithm):
            return _OfCryptography(hashes.Hash(getattr(hashes, name.upper())()))
    return hashlib.new(name, usedforsecurity=False)


class _OfCryptography:
    def __init__(self, digest: Hash) -> None:
        self._digest = digest
        self.update = digest.update

    def hexdigest(self) -> str:
        return self._digest.copy().finalize().hex()


class PassingDigest:
    """The digest called *name* of a stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._value: str | None = None

    @property
    def value(self) -> str:
        """The digest in hexadecimal. Raises ``RuntimeError`` before the stream has ended."""
        if self._value is None:
            raise RuntimeError(f"the {self.name} is not known before the last byte was read")
        return self._value

    def beside(self, chunks: Chunks) -> Chunks:
        """Pass *chunks* on and compute the digest in a separate thread, which ends with this generator.

        One digest takes longer than anything else that is done with the bytes. All readers below get the very pieces
        that are digested: a view of part of a buffer, which its source might fill again too early, becomes ``bytes``.
        """
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow to import, as above

        digest = new_hasher(self.name)
        behind: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1, "digest") as thread:
            for given in chunks:
                partial = isinstance(given, memoryview) and len(given) != CHUNK_SIZE
                piece = bytes(given) if partial else given
                if len(behind) == _MOST_BEHIND:
                    behind.popleft().result()
                behind.append(thread.submit(digest.update, piece))
                yield piece
            for update in behind:
                update.result()
        self._value = digest.hexdigest()
