"""Run a decoder of 7z, LHA or zip in a separate process, which writes one member to standard output.

Started by ``isolation`` with three arguments: the decoder, the memory for a dictionary in bytes, and the task in
JSON. A failure is reported in JSON on standard error.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping
from importlib import import_module

from imageport import ImageportError, LimitExceeded
from imageport_builtin.unpacking.faults import damaged

#: Memory of Python, the libraries and pieces of output in any case; py7zr makes large ones.
_LEAST_MEMORY = 96 << 20
#: All that may be written to files: the message on standard error.
_MESSAGE = 64 << 10

#: The module and the function of each decoder; the process starts for each archive, and imports one.
_DECODERS: Mapping[str, tuple[str, str]] = {
    "7z": ("seven_zip_decoder", "decode_seven_zip"),
    "lha": ("lha_decoder", "decode_lha"),
    "zip": ("zip_decoder", "decode_zip"),
}


def main() -> int:
    """Decode as the arguments require and return the exit status."""
    archive, memory, task = sys.argv[1:]
    module, name = _DECODERS[archive]
    decode = getattr(import_module(f"imageport_builtin.unpacking.{module}"), name)
    _confine(max(int(memory), _LEAST_MEMORY))
    try:
        decode(**json.loads(task))
    except ImageportError as error:
        return _fail(error)
    except MemoryError:
        return _fail(
            LimitExceeded(
                f"{archive}: the archive was made with a dictionary too large for the memory allowed here",
                hint="raise decoder_memory of this step, or compress with a smaller dictionary",
            )
        )
    except Exception:  # noqa: BLE001 - the libraries raise anything for damaged archives
        return _fail(damaged(f"{archive}: the archive"))
    return 0


def _confine(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MESSAGE, _MESSAGE))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _fail(error: ImageportError) -> int:
    sys.stderr.write(json.dumps({"code": error.code, "message": error.message, "hint": error.hint}))
    return 1


if __name__ == "__main__":
    sys.exit(main())
