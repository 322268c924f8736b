"""Puts the caller into each request: as Keystone's middleware confirmed him, or as he says.

`Identity` runs inside the application, after routing. Tokens are Keystone's affair: its middleware
stands before the application (see `assembly`) and strips identity headers that come from outside.
"""

from collections.abc import Callable
from typing import Any

import falcon
from oslo_context.context import get_current

from freezer_api.errors import AccessForbidden
from freezer_api.identity.context import Context, NotAuthenticated

ReadIdentity = Callable[[falcon.Request, str], Context]
"""Makes the context of a request about a project. Raises NotAuthenticated."""


class Identity:
    """Falcon middleware: every route but the public ones gets `req.context.caller`.

    The project of the URL is part of it, and no parameter of the resources.
    """

    def __init__(self, read: ReadIdentity, public_routes: frozenset[str]) -> None:
        self._read = read
        self._public_routes = public_routes

    def process_resource(
        self,
        req: falcon.Request,
        _resp: falcon.Response,
        _resource: object,
        params: dict[str, Any],
    ) -> None:
        """Called between routing and the resource's method, which no longer gets the project."""
        project_id = params.pop("project_id", "")
        if req.uri_template not in self._public_routes:
            caller = req.context.caller = self._read(req, project_id)
            _tell_the_log(caller)


def confirmed_identity(req: falcon.Request, project_id: str) -> Context:
    """The caller as keystonemiddleware's auth_token has confirmed him."""
    environ = req.env
    if environ.get("HTTP_X_IDENTITY_STATUS") != "Confirmed":
        raise NotAuthenticated("A valid token is required in the header X-Auth-Token")
    return Context(
        user_id=environ.get("HTTP_X_USER_ID", ""),
        project_id=project_id,
        own_project_id=environ.get("HTTP_X_PROJECT_ID", ""),
        roles=_listed(environ.get("HTTP_X_ROLES", "")),
        domain_id=environ.get("HTTP_X_DOMAIN_ID", ""),
        system_scope=environ.get("HTTP_OPENSTACK_SYSTEM_SCOPE", ""),
        token=environ.get("HTTP_X_AUTH_TOKEN", ""),
    )


def claimed_identity(req: falcon.Request, project_id: str) -> Context:
    """The caller as he says; who says nothing is an administrator of the URL's project.

    Raises AccessForbidden for a request that a web page makes a browser send: any page could
    otherwise start commands through a service on the loopback of whoever looks at it.
    """
    environ = req.env
    if "HTTP_ORIGIN" in environ:
        raise AccessForbidden("With auth_strategy = noauth, requests of web pages are refused")
    return Context(
        user_id=environ.get("HTTP_X_USER_ID") or "admin",
        project_id=project_id,
        own_project_id=environ.get("HTTP_X_PROJECT_ID") or project_id,
        roles=_listed(environ.get("HTTP_X_ROLES") or "admin"),
    )


def _tell_the_log(caller: Context) -> None:
    """From here on the lines of this request name the caller beside the request id."""
    current = get_current()
    if current is not None:
        current.user_id = caller.user_id
        current.project_id = caller.own_project_id


def _listed(roles: str) -> tuple[str, ...]:
    return tuple(role.strip() for role in roles.split(",") if role.strip())
