"""Signing in to OpenStack Keystone, and finding an image service in its catalog (Identity API v3)."""

from __future__ import annotations

import re
from typing import Annotated, Any, NoReturn, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator

from imageport import Context, PluginConfig, SourceRejected, SourceUnavailable
from imageport.http import Url
from imageport.text import printable

_TOKEN = re.compile("[\x21-\x7e]+")
_UNAUTHORIZED, _FORBIDDEN = 401, 403
#: Letters of a catalog that go into a message.
_LONGEST_LIST = 500


def _base_url(text: str) -> str:
    """Return the url that paths are put behind, without a slash at its end."""
    try:
        url = Url.parse(text)
    except SourceRejected as error:
        raise ValueError(error.message) from None
    if url.scheme not in ("http", "https") or "?" in url.target:
        raise ValueError(
            f"'{url.shown}' is not a base url; write for instance https://cloud.example.org:5000/v3"
        )
    return text.rstrip("/")


def _token(secret: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(secret.get_secret_value()):
        raise ValueError("a token has visible ASCII characters only")
    return secret


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]


class Credentials(PluginConfig):
    """A ready token, or the credentials for one: a password or an application credential."""

    auth_url: BaseUrl | None = Field(default=None, description="Keystone, for instance https://host:5000/v3.")
    token: Token | None = Field(default=None, description="An existing token.")
    username: str | None = Field(
        default=None, description="User to sign in as, with password and project_name."
    )
    password: SecretStr | None = Field(default=None, description="Password of the user.")
    project_name: str | None = Field(default=None, description="Project to sign in to.")
    user_domain_name: str = Field(default="Default", description="Domain of the user.")
    project_domain_name: str = Field(default="Default", description="Domain of the project.")
    application_credential_id: str | None = Field(
        default=None, description="Application credential to sign in with, instead of a user."
    )
    application_credential_secret: SecretStr | None = Field(default=None, description="Its secret.")

    @model_validator(mode="after")
    def _are_complete(self) -> Self:
        user = (self.username, self.password, self.project_name)
        application = (self.application_credential_id, self.application_credential_secret)
        ways = [way for way in ((self.token,), user, application) if any(part is not None for part in way)]
        if len(ways) > 1:
            raise ValueError("give a token, or a user, or an application credential: one of the three")
        if ways and None in ways[0]:
            needed = "username, password and project_name"
            if ways[0] is application:
                needed = "application_credential_id and application_credential_secret"
            raise ValueError(f"{needed} belong together")
        if ways and self.token is None and self.auth_url is None:
            raise ValueError("signing in needs auth_url")
        return self


# The validator of the answer is built with the first one: every command imports this, and few have one.
class _Answer(BaseModel, defer_build=True):
    """An answer of Keystone."""


class _Endpoint(_Answer):
    interface: str
    region: str | None = None
    url: str


class _Service(_Answer):
    type: str
    endpoints: list[_Endpoint] = []


class _Catalog(_Answer):
    catalog: list[_Service] = []


class _SignedIn(_Answer):
    token: _Catalog


class KeystoneSession:
    """A token, if there are credentials, and the catalog that came with it."""

    def __init__(self, credentials: Credentials, ctx: Context) -> None:
        """Sign in. Raises ``SourceUnavailable`` and ``SourceRejected``."""
        self._ctx = ctx
        self._keystone = _versioned(credentials.auth_url or "")
        self._services: list[_Service] | None = None
        self._secret = credentials.token
        if credentials.username or credentials.application_credential_id:
            self._sign_in(_request(credentials))

    @property
    def headers(self) -> dict[str, str]:
        """The header that shows the token; never sent to another origin than it is meant for."""
        return {"X-Auth-Token": self._secret.get_secret_value()} if self._secret else {}

    def image_endpoint(self, region: str, interface: str) -> str:
        """Return the url of the image service in *region*, compared without case.

        Raises ``SourceUnavailable`` when the catalog has none.
        """
        services = self._services if self._services is not None else self._catalog()
        endpoints = [end for service in services if service.type == "image" for end in service.endpoints]
        for endpoint in endpoints:
            same_region = (endpoint.region or "").casefold() == region.casefold()
            if same_region and endpoint.interface == interface:
                return endpoint.url
        known = sorted({f"{end.region} ({end.interface})" for end in endpoints})
        shown = printable(", ".join(known)[:_LONGEST_LIST])
        raise SourceUnavailable(
            f"the catalog of {Url.parse(self._keystone).shown} has no {interface} image service in region '{region}'",
            hint=f"it has: {shown or 'no image service at all'}",
        )

    def _sign_in(self, request: dict[str, Any]) -> None:
        url = f"{self._keystone}/auth/tokens"
        try:
            with self._ctx.http.post(url, request) as response:
                token = response.headers.get("X-Subject-Token", "")
                answer = _SignedIn.model_validate_json(response.text())
        except SourceUnavailable as error:
            if error.status == _UNAUTHORIZED:
                raise SourceUnavailable(
                    f"{Url.parse(url).shown} does not accept these credentials",
                    hint="check the user, the password, the project and their domains, or the application credential",
                    status=error.status,
                ) from error
            raise
        except ValidationError:
            _refuse_answer(url)
        if not _TOKEN.fullmatch(token):
            _refuse_answer(url)
        self._secret = SecretStr(token)
        self._services = answer.token.catalog

    def _catalog(self) -> list[_Service]:
        """Fetch the catalog for a token that was got elsewhere."""
        url = f"{self._keystone}/auth/catalog"
        try:
            with self._ctx.http.get(url, headers=self.headers) as response:
                return _Catalog.model_validate_json(response.text()).catalog
        except SourceUnavailable as error:
            if error.status in (_UNAUTHORIZED, _FORBIDDEN):
                raise SourceUnavailable(
                    f"{Url.parse(url).shown} does not accept the token",
                    hint="get a new one that is for a project, for instance with 'openstack token issue'",
                    status=error.status,
                ) from error
            raise
        except ValidationError:
            _refuse_answer(url)


def _versioned(auth_url: str) -> str:
    return auth_url if auth_url.endswith("/v3") else f"{auth_url}/v3"


def _request(credentials: Credentials) -> dict[str, Any]:
    """Return the body of ``POST /v3/auth/tokens``."""
    if credentials.application_credential_id is not None:
        secret = credentials.application_credential_secret
        application = {
            "id": credentials.application_credential_id,
            "secret": secret.get_secret_value() if secret else "",
        }
        methods = {"methods": ["application_credential"], "application_credential": application}
        return {"auth": {"identity": methods}}
    user = {
        "name": credentials.username,
        "domain": {"name": credentials.user_domain_name},
        "password": credentials.password.get_secret_value() if credentials.password else "",
    }
    project = {"name": credentials.project_name, "domain": {"name": credentials.project_domain_name}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": {"project": project}}}


def _refuse_answer(url: str) -> NoReturn:
    raise SourceUnavailable(
        f"{Url.parse(url).shown} did not answer as Keystone does",
        hint="check auth_url: it is that of the Identity service, version 3",
    )
