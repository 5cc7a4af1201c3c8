"""Connections to a cloud, with the credentials of the options and the network settings of the site."""

from __future__ import annotations

from functools import partial
from typing import Any

import requests
from imageport.values import ClientSettings
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from imageport_openstack.options import OpenStackOptions


def connect(options: OpenStackOptions, client: ClientSettings) -> Connection:
    """Return a connection, which signs in when it is first used.

    Raises ``openstack.exceptions.ConfigException`` when clouds.yaml has no such cloud, and the errors of reading it.
    """
    transport = requests.Session()
    transport.trust_env = False  # the site decides, not the shell
    if client.proxy:
        transport.proxies = {"http": client.proxy, "https": client.proxy}
    cloud = OpenStackConfig(
        config_files=[str(options.clouds_file)] if options.clouds_file else None,
        load_yaml_config=options.cloud is not None,
        load_envvars=False,
        session_constructor=partial(Session, session=transport),  # type: ignore[arg-type]
        app_name="imageport",
    ).get_one(cloud=options.cloud, **_sign_in(options))
    if client.ca_bundle and not cloud.config.get("cacert"):
        cloud.config["cacert"] = str(client.ca_bundle)
    connection = Connection(config=cloud)
    # Annotated as one number, and handed on to requests, which takes both.
    connection.session.timeout = (client.connect_timeout, client.read_timeout)  # type: ignore[assignment]
    return connection


def _sign_in(options: OpenStackOptions) -> dict[str, Any]:
    """Return the options as openstacksdk names them."""
    wanted: dict[str, Any] = {
        name: value for name in ("region_name", "interface") if (value := getattr(options, name)) is not None
    }
    if options.cloud:
        return wanted
    auth: dict[str, str | None]
    if options.application_credential_id and options.application_credential_secret:
        wanted["auth_type"] = "v3applicationcredential"
        auth = {
            "application_credential_id": options.application_credential_id,
            "application_credential_secret": options.application_credential_secret.get_secret_value(),
        }
    else:
        wanted["auth_type"] = "v3password"
        auth = {
            "username": options.username,
            "password": options.password.get_secret_value() if options.password else None,
            "project_name": options.project_name,
            "user_domain_name": options.user_domain_name,
            "project_domain_name": options.project_domain_name,
        }
    return {**wanted, "auth": {"auth_url": options.auth_url, **auth}}
