from __future__ import annotations

import email.message
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageport.http.filenames import clean_name, filename_of, has_suffix, name_in_path


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('attachment; filename="disk.raw"', "disk.raw"),
        ("attachment; filename=disk.raw", "disk.raw"),
        ("Attachment;FileName = disk.raw ; size=7", "disk.raw"),
        ('inline; filename="a \\"quoted\\" disk.raw"', 'a "quoted" disk.raw'),
        ('attachment; filename="a; b.raw"', "a; b.raw"),
        ("attachment; filename*=UTF-8''%e2%82%ac%20rates.raw", "€ rates.raw"),
        ("attachment; filename*=iso-8859-1'en'%A3.raw", "£.raw"),
        ("attachment; filename=plain.raw; filename*=utf-8''b%C3%A9tter.raw", "bétter.raw"),
        ("attachment; filename*=utf-8''%2F; filename=plain.raw", "plain.raw"),
        ("attachment; filename*=KOI8-R''%D0; filename=plain.raw", "plain.raw"),
        ("attachment; filename=first.raw; filename=second.raw", "first.raw"),
        ('filename="disk.raw"', "disk.raw"),
        ('attachment; filename="d\xc3\xa9bian.raw"', "débian.raw"),
        ('attachment; filename="../../../etc/cron.d/disk.raw"', "disk.raw"),
        ('attachment; filename="C:\\\\images\\\\disk.raw"', "disk.raw"),
        ('attachment; filename="disk\x00\x1b[31m\xe2\x80\xae.raw"', "disk[31m.raw"),
        ("attachment", None),
        ('attachment; filename=""', None),
        ('attachment; filename=".."', None),
        ('attachment; filename="/"', None),
        ("attachment; filename*=utf-8''%00%0A", None),
        ('attachment; filename="open', None),
    ],
)
def test_the_name_in_content_disposition(field: str, name: str | None) -> None:
    assert filename_of("/get", "/get", {"Content-Disposition": field}) == (name or "get")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=300))
def test_a_name_is_safe_whatever_a_server_sends(text: str) -> None:
    sources = (
        filename_of(
            "/", "/", {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(text, safe='')}"}
        ),
        name_in_path(f"/{quote(text, safe='', errors='surrogatepass')}"),
        clean_name(text),
    )
    for name in sources:
        if name is not None:
            assert 0 < len(name) <= 255
            assert not {"/", "\\"} & set(name)
            assert name.strip(". ")
            assert all(unicodedata.category(letter)[0] != "C" for letter in name)
            assert "\n" not in name
            assert "\u2028" not in name


@settings(deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_a_quoted_name_means_what_the_standard_library_reads(text: str) -> None:
    message = email.message.Message()
    message.add_header("Content-Disposition", "attachment", filename=text)
    expected = clean_name(str(message.get_filename()))
    assert filename_of("/", "/", {"Content-Disposition": message["Content-Disposition"]}) == expected


@pytest.mark.parametrize(
    ("asked", "found", "disposition", "name"),
    [
        ("/disk.raw", "/pool/other.raw", "other.raw", "disk.raw"),
        ("/disk.raw?mirror=1", "/disk.raw?mirror=1", None, "disk.raw"),
        ("/latest", "/pool/debian-12.raw", None, "debian-12.raw"),
        ("/latest", "/pool/debian-12.raw", "debian-12.5.raw", "debian-12.5.raw"),
        ("/latest", "/pool/0123abcd", None, "latest"),
        ("/debian-12.5", "/debian-12.5", "x.qcow2", "x.qcow2"),
        ("/download.php?id=7", "/download.php?id=7", "debian-12.raw", "debian-12.raw"),
        ("/disk.tar.gz/", "/disk.tar.gz/", None, "disk.tar.gz"),
        ("/My%20Image%20%28x64%29.raw", "/x", None, "My Image (x64).raw"),
        ("/folder%2Fdisk.raw", "/x", None, "disk.raw"),
        ("/d%E9bian.raw", "/x", None, "débian.raw"),
        ("/", "/", None, None),
        ("/", "/", "disk.raw", "disk.raw"),
        ("/", "/pool/0123abcd", None, "0123abcd"),
    ],
)
def test_the_name_that_counts(asked: str, found: str, disposition: str | None, name: str | None) -> None:
    headers = {"Content-Disposition": f"attachment; filename={disposition}"} if disposition else {}
    assert filename_of(asked, found, headers) == name


def test_a_long_name_keeps_its_suffix() -> None:
    assert clean_name("a" * 300 + ".qcow2") == "a" * 249 + ".qcow2"
    assert clean_name("a" * 300) == "a" * 255
    assert clean_name("a." + "b" * 300) == ("a." + "b" * 300)[:255]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("disk.QCOW2", True),
        ("disk.raw.xz", True),
        ("disk.tar.gz", True),
        ("latest", False),
        (".raw", False),
        ("a.php", False),
    ],
)
def test_a_suffix_of_an_image_is_known(name: str, known: bool) -> None:
    assert has_suffix(name) is known
