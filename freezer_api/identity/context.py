"""Who asks, and about which project."""

from dataclasses import dataclass, field

from freezer_api.errors import ApiError


class NotAuthenticated(ApiError):
    """Nobody has confirmed who the caller is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The caller of one request.

    `project_id` is the project that the request is about, the one of its URL ("" for routes
    without one); `own_project_id` is the one that the caller's token is for.
    """

    user_id: str
    project_id: str
    own_project_id: str
    roles: tuple[str, ...]
    domain_id: str = ""
    """Of a token for a whole domain."""
    system_scope: str = ""
    """"all" for a token for the whole system."""
    token: str = field(default="", repr=False, compare=False)
    """What Keystone confirmed him by. Two requests of one caller are alike whatever their tokens."""
