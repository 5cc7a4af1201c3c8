"""Show the capabilities of a store in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_FACTS = {
    "unwritten_is_zero": "what is not written reads as zeros",
    "keeps_holes": "zeros take no space",
    "seekable": "copies are read from any offset",
}


def demands(capabilities: Mapping[str, Any]) -> Iterator[str]:
    """Describe what a store demands of an image; what any image fulfils is left out."""
    from imageport.limits import format_size

    if capabilities["formats"] is not None:
        yield f"takes the formats {', '.join(capabilities['formats'])}"
    if capabilities["alignment"] > 1:
        yield f"takes sizes that are a multiple of {capabilities['alignment']} bytes"
    if capabilities["largest"] is not None:
        yield f"takes at most {format_size(capabilities['largest'])}"
    if capabilities["wants_file"]:
        yield "takes the image from a file"
    elif capabilities["needs_size"]:
        yield "takes images whose size is known"


def in_words(capabilities: Mapping[str, Any]) -> list[str]:
    """Describe all that a store declares about itself."""
    return [*demands(capabilities), *(words for name, words in _FACTS.items() if capabilities[name])]
