from __future__ import annotations

import pytest

from imageport_named_files.naming import LONGEST_STEM, file_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("debian-12", "debian-12.raw"),
        ("Debian 12  generic cloud", "Debian-12-generic-cloud.raw"),
        ("debian.qcow2", "debian.raw"),
        ("debian-12.5.qcow2.gz", "debian-12.5.raw"),
        ("debian.RAW.TAR.GZ", "debian.raw"),
        ("größe", "größe.raw"),
        ("gro\u0308ße", "größe.raw"),
        ("../../etc/passwd", "_.._etc_passwd.raw"),
        ("/etc/cron.d/evil", "_etc_cron.d_evil.raw"),
        (".hidden", "hidden.raw"),
        ("--help", "help.raw"),
        ("a\nb\x1b[31m; rm -rf ~", "a-b__31m_-rm--rf-_.raw"),
        ("", "image.raw"),
        ("..", "image.raw"),
        (".gz", "image.raw"),
    ],
)
def test_names_become_safe_file_names(name: str, expected: str) -> None:
    assert file_name(name, "raw") == expected


def test_long_names_are_cut_between_characters() -> None:
    name = file_name("ü" * 300, "qcow2")
    assert name == "ü" * (LONGEST_STEM // 2) + ".qcow2"
