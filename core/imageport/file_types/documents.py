"""Recognise documents that are delivered in place of an image."""

from __future__ import annotations

import re

from imageport.file_types.signature import FileType, Signature

#: How web pages begin, after the MIME Sniffing Standard (WHATWG), section 7.1.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*(?:<\?xml[^>]*>\s*)?(?:<!--|(?:<!doctype html|<(?:html|head|script|iframe|h1|div"
    rb"|font|table|a|style|title|b|body|br|p|meta|center))[ >])",
    re.IGNORECASE,
)

DOCUMENTS = (
    Signature(
        FileType(
            "html",
            "document",
            "a web page",
            "give the url of the image itself; the page may be a login, an error, or link to the image",
        ),
        lambda head: _PAGE.match(head) is not None,
    ),
)
