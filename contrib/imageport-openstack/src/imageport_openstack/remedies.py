"""The errors of a cloud and of the libraries for it, each with its next step."""

from __future__ import annotations

from typing import Any

from imageport import StoreFailed
from imageport.stores import Errors, retry
from imageport.text import printable

_SERVER_ERROR = 500

_HINTS = {
    400: "compare the name, formats and properties of the image with those that this Glance accepts",
    401: "check the credentials, and that Glance and Keystone belong together",
    403: "give the user the right to do this in that project, or use another visibility",
    404: "check the region and the stores in the options",
    409: "another program changes the image: import it again",
    410: "another program deleted the image: import it again",
    413: "delete images of the project, or let its administrator raise the quota or the size limit",
    415: "this Glance does not accept the format: convert the image before",
}


def _refused(error: Any) -> StoreFailed:
    status = int(error.status_code or 0)
    reason = printable(str(error.details or error.message or ""))[:500].strip().rstrip(".")
    if status >= _SERVER_ERROR:
        hint = "look at the log of that Glance and at its storage, then import again"
    else:
        hint = _HINTS.get(status, "check the options of the store and the log of that Glance")
    return StoreFailed(f"Glance answered {status}: {reason}", hint=hint, retry=status >= _SERVER_ERROR)


def _unreachable(error: Exception) -> StoreFailed:
    # What follows is about objects of the library.
    reason = printable(str(error).partition(": HTTP")[0])
    hint = "check that the cloud answers at that address, and the proxy and certificates of the site"
    return StoreFailed(f"the cloud does not answer: {reason}", hint=hint, retry=True)


def _without_endpoint(error: Exception) -> StoreFailed:
    return StoreFailed(
        f"the cloud has no image service where the options look for it: {printable(str(error))}",
        hint="check region_name and interface; 'openstack catalog list' shows what the cloud has",
    )


#: By name: importing openstacksdk takes half a second, and most commands do without.
ERRORS: Errors = {
    "openstack.exceptions.HttpException": _refused,
    "openstack.exceptions.ConfigException": "check cloud and clouds_file in the options of the store",
    "openstack.exceptions.ServiceDisabledException": _without_endpoint,
    "openstack.exceptions.SDKException": "check region_name, interface and the address of the cloud",
    "keystoneauth1.exceptions.connection.ConnectionError": _unreachable,
    "keystoneauth1.exceptions.catalog.CatalogException": _without_endpoint,
    "keystoneauth1.exceptions.http.Unauthorized": lambda _: StoreFailed(
        "the cloud does not accept these credentials",
        hint="check the user, the password, the project and their domains, or the application credential",
    ),
    "keystoneauth1.exceptions.http.NotFound": lambda _: StoreFailed(
        "auth_url is not the address of a Keystone", hint="check auth_url: it ends with the port, or with /v3"
    ),
    "keystoneauth1.exceptions.base.ClientException": "check the credentials and the address of the cloud",
    "requests.exceptions.RequestException": retry("check the way to the cloud, then import again"),
}
