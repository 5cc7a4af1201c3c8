"""The page of accepted files names what the code recognises."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageport.dataplane.file_types.disks import DISKS
from imageport.dataplane.file_types.documents import DOCUMENTS
from imageport.dataplane.file_types.signature import FileType

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "which-files-are-accepted.md").read_text()
#: What the page words otherwise.
IN_OTHER_WORDS = {
    "a text file": "text all through its first 64 KiB",
    "a pointer of Git LFS, not the file itself": "a pointer of Git LFS",
    "an OVF descriptor, a text file that names the disks of a machine": "an OVF descriptor",
}


@pytest.mark.parametrize(
    "file_type",
    [row.file_type for row in (*DISKS, *DOCUMENTS) if not row.file_type.is_damaged],
    ids=lambda file_type: file_type.name,
)
def test_each_file_type_is_on_the_page_with_the_right_mark(file_type: FileType) -> None:
    wording = IN_OTHER_WORDS.get(file_type.description, file_type.description)
    [row] = [line for line in PAGE.splitlines() if line.startswith("|") and wording in line]
    assert row.endswith("| never raw |") != file_type.may_be_raw
