"""The same images through a real Glance and through Imageport come out the same, but for the table of differences."""

from __future__ import annotations

import pytest
from tests.glance.cases import CASES, COMPARED, Case
from tests.glance.conftest import GlanceWith
from tests.glance.differences import differences_between, known_differences
from tests.glance.inputs import Inputs
from tests.glance.through_glance import through_glance
from tests.glance.through_imageport import through_imageport

from imageport.testing.command import RunImageport
from imageport.testing.http_server import HttpServer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_an_import_comes_out_as_in_glance_or_better(
    case: Case, glance_with: GlanceWith, inputs: Inputs, web: HttpServer, run_imageport: RunImageport
) -> None:
    glance = through_glance(case, glance_with(case.plugins), inputs, web)
    imageport = through_imageport(case, run_imageport, inputs, web)
    assert set(glance) == set(imageport) == set(COMPARED)
    assert differences_between(glance, imageport) == known_differences().get(case.title, {})
