"""Checksum lists as publishers offer them, on a server or on this machine: plain, clear-signed, or with a signature."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Final
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from imageport import Context, LimitExceeded, SourceUnavailable, VerificationFailed
from imageport.http import Url
from imageport.limits import ByteSize, format_size
from imageport.text import printable
from imageport_builtin.checksum_digests import algorithm_named
from imageport_builtin.checksum_lists import STEP_OPTIONS, Expected, OptionNames, Wanted, find_digest
from imageport_builtin.openpgp import Keyring
from imageport_builtin.openpgp_documents import is_clear_signed, signature_packets, take_apart

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_LARGEST_SIGNATURE: Final = 64 << 10
#: Byte order marks, and the encodings that they announce.
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def _place(given: str | Path | None) -> str | None:
    """Return a url, or the path of a file of this machine. Raises ``ValueError`` for other text."""
    if given is None:
        return None
    text = str(given)
    if not text:
        raise ValueError("it is empty: write a url or a path")
    if not text.lower().startswith("file:/"):
        return text
    url = urlsplit(text)
    if url.netloc not in ("", "localhost") or url.query or url.fragment:
        raise ValueError("a file url has three slashes, as in file:///srv/SHA256SUMS; a path will do as well")
    return unquote(url.path)


def _algorithm(text: str | None) -> str | None:
    name = None if text is None else algorithm_named(text)
    if name is None and text is not None:
        raise ValueError(f"no algorithm is called '{text}'; write for instance sha256, sha512 or blake2b")
    return name


#: A url, or a path of this machine: relative ones belong to the folder of the command, like all paths of a pipeline.
ListPlace = Annotated[str | Path | None, AfterValidator(_place)]
SignaturePlace = Annotated[
    ListPlace,
    Field(description="Url or path of the OpenPGP signature of the list, if it is not in the list itself."),
]
KeyringPath = Annotated[
    Path | None,
    Field(
        description="File with the OpenPGP certificates of trusted signers, armored or binary. With it, a list counts "
        "only when one of them has signed it."
    ),
]
AlgorithmName = Annotated[
    str | None,
    AfterValidator(_algorithm),
    Field(
        description="The only algorithm of the list that counts, for instance sha256. It is also that of digests of "
        "128 digits for which the list does not name one: sha512 or blake2b."
    ),
]
ListSize = Annotated[ByteSize, Field(gt=0, le=16 << 20, description="Largest list that is read.")]
#: The largest list, unless an option sets another size.
LIST_SIZE: Final = 1 << 20


def require_fitting_options(
    url: str | Path | None, signature_url: str | Path | None, keyring: Path | None
) -> None:
    """Raise ``ValueError`` for options that mean nothing together."""
    if signature_url is not None and keyring is None:
        raise ValueError("signature_url needs a keyring: the certificates of trusted signers")
    if keyring is not None and url is None:
        raise ValueError("a keyring is only used together with the url of a list")


@dataclass(frozen=True)
class ChecksumList:
    """A list at *place*, a url or a path; with *keyring* it has to be signed, in itself or at *signature*.

    *limit* is the size of the largest list in bytes, also when it was sent compressed.
    """

    place: str | Path
    signature: str | Path | None = None
    keyring: Keyring | None = None
    limit: int = LIST_SIZE
    options: OptionNames = STEP_OPTIONS

    def look_up(
        self, filename: str | None, ctx: Context, *, algorithm: str | None = None
    ) -> tuple[Expected, str | None]:
        """Return the digest that the list has for *filename*, and the fingerprint of its signer.

        Raises ``VerificationFailed`` when there is none, ``LimitExceeded`` when the list is too large,
        ``SourceUnavailable`` when it cannot be read, and the errors of ``ctx.http.get`` and ``ctx.local_files.find``.
        """
        origin = _shown(self.place)
        path, beside = _paths(ctx.origin.uri if ctx.origin else None, self.place)
        wanted = Wanted(filename, path, beside, algorithm, signed=self.keyring is not None)
        document, signer = _read(self.place, self.limit, ctx), None
        if self.keyring is not None:
            try:
                document, signer = self._verified(document, self.keyring, origin, ctx)
            except VerificationFailed:
                ctx.check("signature of the checksum list", passed=False)
                raise
        expected = find_digest(_decoded(document, origin), wanted, origin=origin, options=self.options)
        if signer is not None:
            ctx.log.info("%s is signed by the certificate %s", origin, signer)
        return expected, signer

    def _verified(self, document: bytes, keyring: Keyring, origin: str, ctx: Context) -> tuple[bytes, str]:
        """Return the part of *document* that is signed, and by whom."""
        try:
            if self.signature is not None:
                text, signatures = document, _read(self.signature, _LARGEST_SIGNATURE, ctx)
            elif is_clear_signed(document):
                text, signatures = take_apart(document)
            else:
                raise VerificationFailed(
                    f"{origin} is not signed",
                    hint="name the url of its signature with the option signature_url: often that of the list and "
                    ".gpg, .asc or .sign",
                )
            packets = signature_packets(signatures)
        except ValueError as error:
            raise VerificationFailed(
                f"the signature of {origin} cannot be used: {printable(str(error))}",
                hint="get the list and its signature from the publisher as they are; no part of them is trusted",
            ) from error
        return text, keyring.signer(text, packets, origin=origin)


def _is_url(place: str | Path) -> bool:
    return _SCHEME.match(str(place)) is not None


def _shown(place: str | Path) -> str:
    return Url.parse(str(place)).shown if _is_url(place) else printable(str(place))


def _paths(source: str | None, place: str | Path) -> tuple[str | None, str | None]:
    """Return the path of the file *source* on its server, and that from the folder of the list at *place*.

    Each is None where there is no such path.
    """
    if source is None or source == "-":
        return None, None
    path, server = _path_and_server(source)
    list_path, list_server = _path_and_server(place)
    below = server == list_server and path.is_relative_to(list_path.parent)
    return str(path), str(path.relative_to(list_path.parent)) if below else None


def _path_and_server(place: str | Path) -> tuple[PurePosixPath, object]:
    if not _is_url(place):
        return PurePosixPath(Path.cwd() / Path(place).expanduser()), None
    url = Url.parse(str(place))
    return PurePosixPath(unquote(url.target.partition("?")[0])), url.origin


def _read(place: str | Path, limit: int, ctx: Context) -> bytes:
    """Return the small document at the url or path *place*, of at most *limit* bytes."""
    if not _is_url(place):
        return _read_file(Path(place).expanduser(), limit, ctx)
    document = b""
    with ctx.http.get(str(place)) as response:
        # Servers that store objects compressed send them so in any case.
        response.decode()
        for piece in response.chunks():
            document += piece
            if len(document) > limit:
                raise _too_large(_shown(place), limit)
    return document


def _read_file(path: Path, limit: int, ctx: Context) -> bytes:
    shown = printable(str(path))
    try:
        with open(ctx.local_files.find(path), "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SourceUnavailable(
                    f"{shown} is not a regular file", hint="name the file of the checksum list"
                )
            document = file.read(limit + 1)
    except (OSError, ValueError) as error:
        raise SourceUnavailable(
            f"cannot read {shown}: {getattr(error, 'strerror', None) or 'the path has a null character'}",
            hint="check the path; relative ones belong to the folder in which the command runs",
        ) from error
    if len(document) > limit:
        raise _too_large(shown, limit)
    return document


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; opening a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _too_large(shown: str, limit: int) -> LimitExceeded:
    hint = (
        "check that it is the signature of a checksum list, and nothing else"
        if limit == _LARGEST_SIGNATURE
        else "check that it is a checksum list and not an image; for a larger list, raise max_list_size"
    )
    return LimitExceeded(f"{shown} is larger than {format_size(limit)}", hint=hint)


def _decoded(document: bytes, origin: str) -> str:
    """Return the text of a list; file names in it that are not UTF-8 cannot equal any other name.

    Raises ``VerificationFailed`` when it is not text.
    """
    mark = next((mark for mark in _MARKS if document.startswith(mark)), b"")
    encoding = _MARKS.get(mark, "utf-8")
    try:
        text = document.removeprefix(mark).decode(
            encoding, "surrogateescape" if encoding == "utf-8" else "strict"
        )
    except UnicodeDecodeError as error:
        raise VerificationFailed(
            f"{origin} begins like text in UTF-16, but is not: {error.reason} at byte {error.start}",
            hint="fetch the list again, or ask the publisher for one in UTF-8",
        ) from None
    if "\0" in text:
        raise VerificationFailed(
            f"{origin} is not text: it has null characters",
            hint="name the checksum list itself, neither compressed nor binary; text in UTF-16 needs a byte order mark",
        )
    return text
