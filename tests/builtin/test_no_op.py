from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import pytest

from imageport import Caller, Context, HttpTransport, Image, ImageData, ImageRecord, NoConfig
from imageport.limits import Limits
from imageport_builtin.no_op import NoOp


def unused(*_: object) -> Any:
    raise AssertionError("this step touches nothing")


def test_it_leaves_the_image_alone_and_logs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ctx = Context(
        caller=Caller(user="alice"),
        image_id="image-1",
        task_id="task-1",
        step="nothing",
        limits=Limits(),
        http=cast("HttpTransport", None),
        log=logging.getLogger("imageport.test"),
        work_folder=tmp_path,
        emit=unused,
        read_replica=unused,
        announce_location=unused,
    )
    image = Image(ImageRecord(id="image-1"), ImageData.from_chunks(unused))

    with caplog.at_level(logging.DEBUG, logger="imageport"):
        assert NoOp(NoConfig()).transform(image, ctx) is None

    assert caplog.messages == ["no_op saw image image-1"]
