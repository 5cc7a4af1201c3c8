"""Find the cause of a failed qemu-img or qemu-nbd, and return its error."""

from __future__ import annotations

import errno
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from imageport import ImageportError, LimitExceeded, TransformFailed, UnsupportedFormat, VerificationFailed
from imageport.limits import format_size
from imageport_builtin.limited_process import Bounds, ProcessResult

_GET_AGAIN = "get the image again; if every copy is like this, export it again from the original disk"
_MOST_SHOWN = 300

#: Messages of QEMU when it is out of memory; its allocator aborts.
_NO_MEMORY = re.compile(
    "Cannot allocate memory|failed to allocate|failed to map segment|cannot map zero-fill pages"
)
_ABORTED = frozenset({-signal.SIGABRT, -signal.SIGTRAP})
#: Reasons for a file that cannot be opened which do not depend on its content.
_NOT_READABLE = re.compile(
    "Permission denied|No such file or directory|Too many open files|Failed to get .* lock"
)
_ENCRYPTED = re.compile("encrypt|LUKS|AES", re.IGNORECASE)
_UNSUPPORTED = re.compile(
    r"unsupported .*(feature|version|method|image)|not supported|unknown .*(version|feature|type)",
    re.IGNORECASE,
)
_UNFINISHED_LOG = re.compile("contains a log that needs to be replayed")
_CUT_OFF = re.compile(
    "truncated|after (the )?end of file|after EOF|exceeding the end of the file|too short|outside image"
)
_CANNOT_OPEN = re.compile("Could not open|Failed to blk_new_open|Check failed")
_CANNOT_READ = re.compile("error while reading|reading from file failed")
_PATH = re.compile(r"(?<![\w.])/[^\s:',]+")
_NOISE = re.compile(r"qemu-(img|nbd): |Could not open '[^']*': |Failed to blk_new_open '[^']*': ")


@dataclass(frozen=True)
class Run:
    """A run of *program*: the image at *path* was opened as *disk_format*, within *bounds*."""

    program: str
    path: Path
    disk_format: str
    bounds: Bounds

    def failure(self, result: ProcessResult) -> ImageportError:
        """Return the error for a run that ended so: its class and hint fit the cause."""
        stderr = result.stderr
        detail = self._readable(result)
        if "No space left on device" in stderr or "Disk quota exceeded" in stderr:
            return TransformFailed(
                f"{self.program} cannot write the image: the disk of the staging directory is full",
                hint="free space there, or set staging.directory in the site file to a larger disk",
            )
        if _NO_MEMORY.search(stderr) or result.code in _ABORTED:
            return self._out_of_memory()
        if result.code < 0:
            return self._killed(result.code)
        if _NOT_READABLE.search(stderr):
            return self._failed(detail)
        if _UNFINISHED_LOG.search(stderr):
            return VerificationFailed(
                f"the {self.disk_format} image was not closed: changes in its log are not in the disk yet",
                hint="shut the virtual machine down and export the image again, or repair a copy of it with "
                "'qemu-img check -r all'",
            )
        if _CANNOT_OPEN.search(stderr) and _ENCRYPTED.search(stderr):
            return encrypted()
        if _CANNOT_OPEN.search(stderr) and _UNSUPPORTED.search(stderr):
            return UnsupportedFormat(
                f"the {self.disk_format} image uses something that {self.program} cannot read{detail}",
                hint="convert it with the program that made it, or install a newer qemu-img",
            )
        if _CUT_OFF.search(stderr):
            return damaged(f"the {self.disk_format} image is damaged or was cut off{detail}")
        if _CANNOT_OPEN.search(stderr):
            return damaged(f"the image is damaged: it cannot be opened as {self.disk_format}{detail}")
        if _CANNOT_READ.search(stderr):
            return damaged(f"the {self.disk_format} image is damaged: its disk cannot be read{detail}")
        return self._failed(detail)

    def unreadable(self, position: int, code: int, message: str) -> ImageportError:
        """Return the error for a disk that cannot be read from byte *position* on; *code* is that of errno."""
        if code == errno.ENOMEM:
            return self._out_of_memory()
        return damaged(
            f"the {self.disk_format} image is damaged: its disk cannot be read from byte {position} on"
            + (f" ({self._plain(message)})" if message else "")
        )

    def _out_of_memory(self) -> ImageportError:
        return LimitExceeded(
            f"{self.program} needs more than {format_size(self.bounds.memory)} of memory for this image",
            hint="raise limits.conversion_memory in the site file if the image is from a source you trust",
        )

    def _killed(self, code: int) -> ImageportError:
        name = signal.Signals(-code).name
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return TransformFailed(
                f"{self.program} was killed by {name}",
                hint="another program or the system did this, for instance for want of memory; look at the log of "
                "the system, then import again",
            )
        return TransformFailed(
            f"{self.program} crashed on this image ({name})",
            hint="install updates of qemu-img; do not trust the image until you know why",
        )

    def _failed(self, detail: str) -> ImageportError:
        return TransformFailed(
            f"{self.program} failed{detail}",
            hint="check the installation of qemu-img and the staging directory",
        )

    def _readable(self, result: ProcessResult) -> str:
        """Return the standard error of the program, in brackets, without the names of files, which are ours."""
        stderr = self._plain(result.stderr)
        return f" ({shorten(stderr, _MOST_SHOWN)})" if stderr else f" (exit code {result.code}, no message)"

    def _plain(self, text: str) -> str:
        name = str(self.path.absolute())
        text = text.replace(name.replace(",", ",,"), "the image").replace(name, "the image")
        return _NOISE.sub("", _PATH.sub("the image", text))


def damaged(message: str) -> VerificationFailed:
    """Return the error for an image whose bytes are wrong or missing."""
    return VerificationFailed(message, hint=_GET_AGAIN)


def encrypted() -> UnsupportedFormat:
    """Return the error for an encrypted image: the key is not here."""
    return UnsupportedFormat(
        "the image is encrypted",
        hint="decrypt it where the key is, for instance with 'qemu-img convert --object secret,...', then import it",
    )
