"""The errors of the libraries for S3, each with its remedy."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - that of the library
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
)
from imageport import Location, StoreFailed
from imageport.stores import Errors
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

_ANSWERS = "check that the server runs and answers"
_CERTIFICATE = "check the certificate of the server, and network.ca_bundle in the site file"
_NO_KEY = "set access_key_id and secret_access_key, or a profile"
_KEY = "check the access key and its secret"
_ROOM = "free space, or have the quota raised, then import the image again"

#: Hints by the codes of S3 servers.
_HINTS = {
    "NoSuchBucket": "make the bucket, or correct its name or the endpoint",
    "AccessDenied": "let this access key list the bucket, and write, read and delete its objects",
    "AllAccessDisabled": "have the bucket enabled again",
    "InvalidAccessKeyId": _KEY,
    "SignatureDoesNotMatch": _KEY,
    "ExpiredToken": "get a new access key with its session token",
    "InvalidToken": "give the session_token of this access key",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "AuthorizationHeaderMalformed": "set the region of the bucket",
    "PermanentRedirect": "set the region of the bucket",
    "IllegalLocationConstraintException": "set the region of the bucket",
    "403": f"{_KEY}, and what it may do with the bucket",
    "NoSuchUpload": "another process removed the upload; import the image again",
    "PreconditionFailed": "an object of that name is there already; move it away, or run 'imageport gc'",
    "EntityTooLarge": "the server takes no object or part this large",
    "QuotaExceeded": _ROOM,
    "StorageFull": _ROOM,
    "InsufficientStorage": _ROOM,
    "InvalidStorageClass": "set a storage_class that the server has",
    "InvalidArgument": "check storage_class, server_side_encryption and kms_key_id: the server has to support them",
    "InvalidRequest": "check storage_class, server_side_encryption and kms_key_id: the server has to support them",
    "KMS.NotFoundException": "correct kms_key_id",
}

#: Reasons and hints by signs in the texts of errors of obstore.
_READING = {
    "kind: Timeout": ("the server is silent", _ANSWERS),
    "ConnectionRefused": ("the connection is refused", _ANSWERS),
    "dns error": ("the name of the server is not known", "correct the endpoint"),
    "certificate": ("the certificate of the server is not trusted", _CERTIFICATE),
    "NoSuchKey": ("there is no such object", "copy the image from another store, or import it again"),
    " 404 ": ("there is no such object", "copy the image from another store, or import it again"),
    " 403 ": ("access is denied", _HINTS["AccessDenied"]),
    " 401 ": ("the access key is not accepted", _KEY),
    " 412 ": ("the object was changed while it was read", "read it again"),
}

#: Errors of obstore that stay.
_FINAL = (PermissionDeniedError, UnauthenticatedError, PreconditionError)

#: Codes of answers after which the same request may succeed; so may every answer with a status of 5xx.
_PASSING = {
    "SlowDown",
    "RequestTimeout",
    "ConditionalRequestConflict",
    "OperationAborted",
    "BadDigest",
    "429",
}

#: Codes that stand for the status of an answer without a body, as to HEAD.
_CODES = {"404": "NoSuchBucket", "412": "PreconditionFailed"}


def with_place(failure: StoreFailed, location: Location) -> StoreFailed:
    """Return *failure* with the url of the object in its message."""
    if location.url not in failure.message:
        failure.message = f"{location.url}: {failure.message}"
    return failure


def _refusal(error: ClientError) -> StoreFailed:
    answer = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = answer.get("Code", "")
    reason = answer.get("Message") or ""
    reason = f"{code}: {reason}" if reason not in ("", "None", code) else code or f"status {status}"
    hint = _HINTS.get(_CODES.get(code, code), "")
    passing = not hint and (status >= 500 or code in _PASSING)
    return StoreFailed(
        f"the server refuses {error.operation_name} ({reason})",
        hint=hint
        or ("wait, then import again" if passing else "check the server and the options of the store"),
        retry=passing,
    )


def _unreachable(error: Exception) -> StoreFailed:
    url = urlsplit(getattr(error, "kwargs", {}).get("endpoint_url") or "")
    server = f"the server {url.netloc.rpartition('@')[2]}".rstrip()
    reason = "is silent" if isinstance(error, ReadTimeoutError) else "cannot be reached"
    return StoreFailed(f"{server} {reason}", hint=f"{_ANSWERS}, then import again", retry=True)


def reason_of(error: Exception) -> tuple[str, str]:
    """Return the reason and the next step for an error of obstore, whose text has them between other things."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    if code and code[1] in _HINTS:
        return f"the server refuses it ({code[1]})", _HINTS[code[1]]
    for sign, (reason, hint) in _READING.items():
        if sign in text:
            return reason, hint
    status = re.search(r"status code: (\d{3}[A-Za-z ]*)", text)
    return f"the server answers {status[1]}" if status else "the connection broke", _ANSWERS


def _broken_read(error: BaseError) -> StoreFailed:
    reason, hint = reason_of(error)
    return StoreFailed(f"reading has failed: {reason}", hint=hint, retry=not isinstance(error, _FINAL))


def _missing(_: Exception) -> StoreFailed:
    return StoreFailed("the object is missing", hint="copy the image from another store, or import it again")


#: The errors of the libraries: the table of the store.
ERRORS: Errors = {
    ClientError: _refusal,
    HTTPClientError: _unreachable,
    ConnectionError: _unreachable,
    SSLError: _CERTIFICATE,
    ProxyConnectionError: "check network.proxy in the site file",
    NoCredentialsError: lambda _: StoreFailed("there is no access key", hint=_NO_KEY),
    PartialCredentialsError: _NO_KEY,
    BotoCoreError: "check the options of the store",
    BaseError: _broken_read,
    FileNotFoundError: _missing,
    NotFoundError: _missing,
}
