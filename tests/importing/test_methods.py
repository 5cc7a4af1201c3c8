"""The methods that fetch nothing report clearly what they cannot read, and do not accept urls of other methods."""

from __future__ import annotations

from typing import cast

import pytest

from imageport import Conflict, Context, ImageRecord, NoConfig, Source, SourceRejected, SourceUnavailable
from imageport_builtin.copy_image import CopyImage
from imageport_builtin.glance_direct import GlanceDirect


def test_a_url_is_not_for_glance_direct() -> None:
    with pytest.raises(SourceRejected, match="is a url"):
        GlanceDirect(NoConfig()).validate_source(
            Source(method="glance-direct", uri="https://example.org/disk"),
            ImageRecord(id="an-image"),
            cast("Context", None),
        )


def test_a_copy_takes_no_source() -> None:
    with pytest.raises(SourceRejected, match="copies a stored image"):
        CopyImage(NoConfig()).validate_source(Source(method="copy-image", uri="disk.raw"))


def test_errors_carry_advice_even_when_none_was_given() -> None:
    assert SourceUnavailable("gone").hint
    assert Conflict("taken").hint
