"""A stand-in for Keystone in the pipeline of a Glance: the token ``user:project:role`` names the caller.

Loaded by the Glance under test, from its paste file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


def filter_factory(_: dict[str, str], **__: str) -> Callable[[Application], Application]:
    """Return the filter, as Paste Deployment asks for it."""

    def filtered(application: Application) -> Application:
        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            user, project, role = environ.get("HTTP_X_AUTH_TOKEN", "::").split(":")
            if user:
                environ |= {
                    "HTTP_X_IDENTITY_STATUS": "Confirmed",
                    "HTTP_X_USER_ID": user,
                    "HTTP_X_PROJECT_ID": project,
                    "HTTP_X_ROLES": role,
                }
            return application(environ, start_response)

        return serve

    return filtered
