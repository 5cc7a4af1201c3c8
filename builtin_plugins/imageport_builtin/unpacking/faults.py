"""Make the errors of archives: one function a cause, so that every format words a cause in the same way.

The subject of each is the damaged part, for instance ``gzip: the data`` or ``zip: 'disk.raw'``.
"""

from __future__ import annotations

from imageport import UnsupportedFormat, VerificationFailed

_AGAIN = "fetch the image again, and compare its checksum with the publisher's"


def damaged(subject: str, where: str = "") -> VerificationFailed:
    """Return the error for bytes that no whole archive has; *where* completes "is damaged"."""
    return VerificationFailed(f"{subject} is damaged{where and ' ' + where}", hint=_AGAIN)


def cut_off(subject: str, where: str) -> VerificationFailed:
    """Return the error for an archive whose end is missing; *where* completes "is cut off"."""
    return VerificationFailed(
        f"{subject} is cut off {where}",
        hint="fetch the image again, and compare its size and checksum with the publisher's",
    )


def unsupported(subject: str, what: str, command: str) -> UnsupportedFormat:
    """Return the error for a whole archive that uses *what*; *command* is the program that unpacks it."""
    return UnsupportedFormat(
        f"{subject} uses {what}, which is not supported here",
        hint=f"unpack it with '{command}' and import the result",
    )


def encrypted(subject: str) -> UnsupportedFormat:
    """Return the error for an archive that needs a password."""
    return UnsupportedFormat(
        f"{subject} is encrypted", hint="unpack it with its password and import the result"
    )
