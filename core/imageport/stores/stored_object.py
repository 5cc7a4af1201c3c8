"""An object of a store, as its server describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object as its server describes it.

    ``size`` counts bytes. ``token`` is that of the attempt which wrote it, empty when the object is not a copy of
    Imageport. ``version`` changes with the content of the object. ``digests`` has hexadecimal digests by the names of
    :mod:`hashlib`, of all bytes, as far as the server computed such.
    """

    size: int
    token: str
    version: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    modified: datetime | None = None
