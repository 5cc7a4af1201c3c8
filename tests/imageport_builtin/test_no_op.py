from __future__ import annotations

import logging
from pathlib import Path

import pytest

from imageport import Image, ImageData, ImageRecord, NoConfig
from imageport.testing.contexts import make_context, unused
from imageport_builtin.no_op import NoOp


def test_it_leaves_the_image_alone_and_logs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ctx = make_context(tmp_path, emit=unused)
    image = Image(ImageRecord(id="image-1"), ImageData.from_chunks(unused))

    with caplog.at_level(logging.DEBUG, logger="imageport"):
        assert NoOp(NoConfig()).transform(image, ctx) is None

    assert caplog.messages == ["no_op saw image image-1"]
