"""The path of the bytes of an image: buffers, sparse files, digests, and the inspection of formats.

The public names serve plugins that make, read or inspect image data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunk, Chunks, lend_buffer, rechunked
    from imageport.dataplane.file_types import FileType, identify
    from imageport.dataplane.inspection import (
        Fault,
        FormatInspection,
        ImageFormat,
        InspectionPolicy,
        inspect_file,
        inspect_head,
    )
    from imageport.dataplane.sparse import SparseFile, nonzero_ranges, write_sparse

__all__ = [
    "CHUNK_SIZE",
    "ZERO_CHUNK",
    "Chunk",
    "Chunks",
    "Fault",
    "FileType",
    "FormatInspection",
    "ImageFormat",
    "InspectionPolicy",
    "SparseFile",
    "identify",
    "inspect_file",
    "inspect_head",
    "lend_buffer",
    "nonzero_ranges",
    "rechunked",
    "write_sparse",
]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__,
        {
            "buffers": ("CHUNK_SIZE", "Chunk", "Chunks", "ZERO_CHUNK", "lend_buffer", "rechunked"),
            "file_types": ("FileType", "identify"),
            "inspection": (
                "Fault",
                "FormatInspection",
                "ImageFormat",
                "InspectionPolicy",
                "inspect_file",
                "inspect_head",
            ),
            "sparse": ("SparseFile", "nonzero_ranges", "write_sparse"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
