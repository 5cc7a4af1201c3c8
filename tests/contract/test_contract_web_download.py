from __future__ import annotations

import hashlib

from tests.contract.site import Site
from tests.http_server import chunked, content

BODY = bytes(range(250)) * 2


def test_022_a_download_becomes_active(site: Site) -> None:
    """A server sends 500 bytes, with or without a Content-Length: active, with the digests of these bytes."""
    for behaviour in (content(BODY), chunked(BODY)):
        image = site.create()
        done = site.run(site.server.answer("/disk", behaviour), image=image)
        assert done.code == 0
        assert done.image["status"] == "active"
        assert done.image["size"] == 500
        assert done.image["checksum"] == hashlib.md5(BODY).hexdigest()
        assert done.image["os_hash_algo"] == "sha512"
        assert done.image["os_hash_value"] == hashlib.sha512(BODY).hexdigest()
        assert done.lists == ("", "")
        assert site.stored()["s1"][image] == BODY
        assert site.staged() == []


def test_023_a_body_shorter_than_announced_fails(site: Site) -> None:
    """A Content-Length larger than the body: the import fails, the image is queued without a size, nothing is
    in staging, and it can be imported again."""
    image = site.create()
    done = site.run(
        site.server.answer("/disk", content(BODY, length="501")), image=image, stores=["s1", "s2"]
    )
    assert done.error["code"] == "source-unavailable"
    assert "500 of 501 bytes" in done.error["message"]
    site.assert_rolled_back(done, failed="s1,s2")
    again = site.run(site.server.answer("/disk", content(BODY)), image=image)
    assert again.image["status"] == "active"
