"""A real Keystone, and as much of its API as the tests need."""

from __future__ import annotations

import getpass
import grp
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.wsgi import Service

USER, PASSWORD, PROJECT = "admin", "admin-password", "admin"

_CONFIGURATION = """\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db?timeout=60
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
[identity]
password_hash_algorithm = bcrypt
password_hash_rounds = 4
"""


class Keystone:
    """The API of the Keystone at *auth_url*, as far as the tests need it."""

    def __init__(self, auth_url: str) -> None:
        self.auth_url = auth_url

    def sign_in(self, user: str = USER, password: str = PASSWORD, project: str = PROJECT) -> str:
        """Return a token of a user."""
        domain = {"domain": {"id": "default"}}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "password": password, **domain}},
        }
        scope = {"project": {"name": project, **domain}}
        token, _ = self._post("auth/tokens", {"auth": {"identity": identity, "scope": scope}})
        return token

    def add_image_service(self, url: str, region: str, token: str) -> None:
        """Put a Glance into the catalog."""
        _, service = self._post("services", {"service": {"type": "image", "name": f"glance-{region}"}}, token)
        if region != "North":
            self._post("regions", {"region": {"id": region}}, token)
        endpoint = {
            "service_id": service["service"]["id"], "interface": "public", "region_id": region, "url": url,
        }  # fmt: skip
        self._post("endpoints", {"endpoint": endpoint}, token)

    def add_member(self, name: str, password: str, token: str) -> None:
        """Make a user with a project of the same name, as an ordinary member of it."""
        _, project = self._post("projects", {"project": {"name": name, "domain_id": "default"}}, token)
        _, user = self._post("users", {"user": {"name": name, "password": password}}, token)
        roles = self._get("roles?name=member", token)["roles"]
        path = f"projects/{project['project']['id']}/users/{user['user']['id']}/roles/{roles[0]['id']}"
        request = urllib.request.Request(
            f"{self.auth_url}/{path}", method="PUT", headers={"X-Auth-Token": token}
        )
        urllib.request.urlopen(request).close()

    def application_credential(self, token: str) -> dict[str, str]:
        """Return id and secret of a new application credential of the user with one role: that which reads data."""
        user = self._get("auth/tokens", token)["token"]["user"]["id"]
        wanted = {"application_credential": {"name": "imageport", "roles": [{"name": "member"}]}}
        _, made = self._post(f"users/{user}/application_credentials", wanted, token)
        credential = made["application_credential"]
        return {
            "application_credential_id": credential["id"],
            "application_credential_secret": credential["secret"],
        }

    def _get(self, path: str, token: str) -> Any:
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.auth_url}/{path}", headers=headers)
        ) as answer:
            return json.load(answer)

    def _post(self, path: str, body: object, token: str = "") -> tuple[str, Any]:
        request = urllib.request.Request(
            f"{self.auth_url}/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "X-Auth-Token": token},
        )
        with urllib.request.urlopen(request) as answer:
            return answer.headers.get("X-Subject-Token", ""), json.load(answer)


class KeystoneServer(Service, Keystone):
    """Keystone in *folder*, with the user ``admin`` of the project ``admin``, who has every role."""

    def __init__(self, folder: Path) -> None:
        environment = {"OS_KEYSTONE_CONFIG_DIR": str(folder), "OS_KEYSTONE_CONFIG_FILES": "keystone.conf"}
        Service.__init__(self, folder, "keystone.wsgi.api:application", environment)
        Keystone.__init__(self, f"{self.url}/v3")
        for keys in ("fernet", "credential"):
            (folder / keys).mkdir(mode=0o700)
        configuration = folder / "keystone.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        manage = ("keystone-manage", "--config-file", configuration)
        owner = ("--keystone-user", getpass.getuser(), "--keystone-group", grp.getgrgid(os.getgid()).gr_name)
        self.manage(*manage, "db_sync")
        self.manage(*manage, "fernet_setup", *owner)
        self.manage(*manage, "credential_setup", *owner)
        self.manage(
            *manage, "bootstrap",
            "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "North",
            "--bootstrap-public-url", self.auth_url, "--bootstrap-internal-url", self.auth_url,
        )  # fmt: skip
