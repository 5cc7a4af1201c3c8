from __future__ import annotations

import subprocess
import sys

#: Imports the inspectors alone.
_AFTER = (
    "from imageport.dataplane.inspection.inspectors import format_inspector; found = format_inspector()\n"
)


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_inspectors_are_imported_without_the_parser_of_qemu_img() -> None:
    code = _AFTER + "import sys; print('raw' in found.ALL_FORMATS, 'oslo_utils.strutils' in sys.modules)"
    assert _python(code) == "True False"


def test_other_importers_of_the_package_get_all_of_it_afterwards() -> None:
    code = _AFTER + (
        "import oslo_utils.imageutils.format_inspector\n"
        "package = oslo_utils.imageutils\n"
        "print(package.QemuImgInfo.__name__, package.format_inspector.ALL_FORMATS.keys() == found.ALL_FORMATS.keys())"
    )
    assert _python(code) == "QemuImgInfo True"


def test_a_package_that_is_imported_already_is_used() -> None:
    code = (
        "from oslo_utils.imageutils import format_inspector as before\n" + _AFTER + "print(before is found)"
    )
    assert _python(code) == "True"


def test_the_inspectors_are_the_same_each_time() -> None:
    assert _python(_AFTER + "print(format_inspector() is found)") == "True"
