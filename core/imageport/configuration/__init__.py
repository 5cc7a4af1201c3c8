"""Pipelines and the site file: read, expanded and checked, with every mistake reported by its position.

The public names serve programs that read or write other YAML files in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.configuration.templating import literal
    from imageport.configuration.yamlfile import MAX_FILE_SIZE, YamlFile

__all__ = ["MAX_FILE_SIZE", "YamlFile", "literal"]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__, {"templating": ("literal",), "yamlfile": ("MAX_FILE_SIZE", "YamlFile")}
    )
