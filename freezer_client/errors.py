"""Everything that can go wrong between a program of ours and the API.

FreezerError                 (freezer_model)
  ClientError
    CredentialsMissing       nothing was sent: the caller must set something first
    ApiUnavailable           no usable answer: network, identity service, overload, wrong address
    ApiRefused               the API understood and said no (status, title, description)
      Unauthorized           401: the identity service or the API did not accept the credentials
      NotFound               404
      Conflict               409
"""

from collections.abc import Sequence

from freezer_model.errors import FreezerError

_MOST_CHARACTERS = 500


class ClientError(FreezerError):
    """A call of the API did not do what it should."""


class CredentialsMissing(ClientError):
    """The API cannot be asked before `missing` (names of options, as OS_AUTH_URL) is set."""

    def __init__(self, missing: Sequence[str], reason: str = "") -> None:
        names = ", ".join(missing)
        because = f": {reason}" if reason else ""
        super().__init__(f"Cannot talk to the Freezer API{because}. Set {names}.")
        self.missing = tuple(missing)


class ApiUnavailable(ClientError):
    """There was no usable answer to `doing`.

    `may_pass` is False where asking again cannot help (a certificate that is not trusted, an
    address where something else answers). `retry_after_seconds` is what the server asked for.
    """

    def __init__(
        self,
        doing: str,
        reason: str,
        *,
        may_pass: bool = True,
        status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{doing}: the Freezer API is not available: {reason}")
        self.may_pass = may_pass
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class ApiRefused(ClientError):
    """The API answered `doing` with an error status.

    `after_lost_answer` is True if an earlier try of the same call got no answer, so that it may
    have been carried out already.
    """

    def __init__(self, doing: str, status: int, title: str = "", description: str = "") -> None:
        said = (description or title or "no reason given")[:_MOST_CHARACTERS].rstrip(". \n")
        super().__init__(f"{doing}: {said} (HTTP {status}){self._advice()}")
        self.status = status
        self.title = title
        self.description = description
        self.after_lost_answer = False

    @staticmethod
    def _advice() -> str:
        return ""


class Unauthorized(ApiRefused):
    """The credentials were not accepted."""

    @staticmethod
    def _advice() -> str:
        return ". Check OS_AUTH_URL, the user, its domain, its password and the project."


class NotFound(ApiRefused):
    """There is nothing of this id in the project."""


class Conflict(ApiRefused):
    """The id is taken, or the document was changed at the same moment."""


_BY_STATUS: dict[int, type[ApiRefused]] = {401: Unauthorized, 404: NotFound, 409: Conflict}


def refusal(doing: str, status: int, title: str = "", description: str = "") -> ApiRefused:
    """The error for an error status, in its most precise class."""
    return _BY_STATUS.get(status, ApiRefused)(doing, status, title, description)
