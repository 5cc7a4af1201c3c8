"""Clients of an S3 server: one that writes, and one that reads. Neither uses the proxies of the environment."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from imageport import UsageError

from imageport_s3.options import S3Access, S3SourceConfig

if TYPE_CHECKING:
    import boto3
    from imageport.values import ClientSettings
    from obstore.store import ClientConfig
    from obstore.store import S3Store as ObjectReader
    from pydantic import SecretStr
    from types_boto3_s3 import S3Client

#: The region of requests where neither options nor profile name one; servers other than AWS ignore it mostly.
_REGION = "us-east-1"

#: Seconds for which a signed url holds: the most that the signature allows (a week).
_LONGEST_SIGNATURE = 604_800

#: Attempts at a request, each of which goes on where the one before broke off, and the longest time of one.
_READ_RETRIES = 3
_LONGEST_READ = timedelta(days=1)


def make_client(
    options: S3Access, settings: ClientSettings, *, connections: int = 10, anonymous: bool = False
) -> S3Client:
    """Return a client that makes each request once. Raises ``UsageError`` for a profile that is missing."""
    from botocore import UNSIGNED  # noqa: PLC0415 - takes long to import
    from botocore.config import Config  # noqa: PLC0415

    session = _session(options)
    config = Config(
        signature_version=UNSIGNED if anonymous else "s3v4",
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
        proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else {},
        # The signature has the Content-MD5 of each part, so the bytes need no second digest.
        s3={"addressing_style": _style(options), "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="imageport",
    )
    return session.client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=_region(options, session),
        verify=None if settings.ca_bundle is None else str(settings.ca_bundle),
        config=config,
    )


def make_reader(options: S3Access, bucket: str, settings: ClientSettings) -> ObjectReader:
    """Return a client that reads objects of *bucket*. Raises ``UsageError`` as ``make_client``."""
    from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415 - takes long to import
    from obstore.store import S3Store as ObjectReader  # noqa: PLC0415

    session = _session(options)
    http: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=settings.connect_timeout),
        "read_timeout": timedelta(seconds=settings.read_timeout),
        "timeout": _LONGEST_READ,
    }
    if settings.proxy:
        http["proxy_url"] = settings.proxy
    if settings.ca_bundle:
        http["root_certificate"] = settings.ca_bundle.read_bytes()
    has_key = session.get_credentials() is not None
    return ObjectReader(
        bucket,
        endpoint=_endpoint_of(options, bucket),
        region=_region(options, session),
        virtual_hosted_style_request=_style(options) == "virtual",
        skip_signature=not has_key,
        credential_provider=Boto3CredentialProvider(session) if has_key else None,
        client_options=http,
        retry_config={"max_retries": _READ_RETRIES, "retry_timeout": _LONGEST_READ},
    )


def presigned_url(options: S3SourceConfig, bucket: str, key: str, settings: ClientSettings) -> str:
    """Return the url of an object that is signed with the access key of *options*; nothing is asked of the server.

    Raises ``UsageError`` without an access key.
    """
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - takes long to import

    client = make_client(options, settings, anonymous=options.anonymous)
    try:
        return client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=_LONGEST_SIGNATURE
        )
    except BotoCoreError as error:
        raise UsageError(
            f"the request for s3://{bucket}/{key} cannot be signed: {error}",
            hint="set access_key_id and secret_access_key, or a profile; 'anonymous: true' reads public objects",
        ) from error
    finally:
        client.close()


def _session(options: S3Access) -> boto3.Session:
    import boto3  # noqa: PLC0415 - takes long to import
    from botocore.exceptions import ProfileNotFound  # noqa: PLC0415

    def shown(secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()

    try:
        return boto3.Session(
            aws_access_key_id=options.access_key_id,
            aws_secret_access_key=shown(options.secret_access_key),
            aws_session_token=shown(options.session_token),
            profile_name=options.profile,
        )
    except ProfileNotFound as error:
        raise UsageError(
            f"the configuration files of AWS have no profile {options.profile}",
            hint="add it to ~/.aws/config, or name another one",
        ) from error


def _region(options: S3Access, session: boto3.Session) -> str:
    return options.region or session.region_name or _REGION


def _style(options: S3Access) -> Literal["path", "virtual"]:
    if options.addressing_style == "auto":
        return "virtual" if options.endpoint is None else "path"
    return options.addressing_style


def _endpoint_of(options: S3Access, bucket: str) -> str | None:
    """Return the url under which *bucket* is reached, None for that of AWS."""
    if options.endpoint is None or _style(options) == "path":
        return options.endpoint
    url = urlsplit(options.endpoint)
    return f"{url.scheme}://{bucket}.{url.netloc}"
