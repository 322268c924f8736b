"""Every error of the API, without a word of HTTP; `http.errors` turns them into answers.

ApiError
  DocumentNotFound       unknown, or of another project: the caller cannot tell which
  DocumentExists         the id is taken
  VersionConflict        somebody changed the document in between
  RunRefused             another run of the job goes on, or this one has ended
  PreconditionFailed     the document is not in the state that the caller expects
  RequestRefused         well-formed, but it cannot be carried out (client unknown, ...)
  AccessForbidden        the caller's roles do not allow it
  MissingCredential      no delegation (trust) could be made
  BadRequest             a parameter or body makes no sense; subtree of its own:
    UnknownEvent         neither start, stop nor abort
    SessionActionInvalid bad parameters of a session action
  StoreUnavailable       the document store cannot be reached now
  KeystoneUnavailable    Keystone cannot be reached now
"""

from freezer_model.errors import FreezerError


class ApiError(FreezerError):
    """Anything that the API answers with an error status."""


class DocumentNotFound(ApiError):
    """There is no such document in the caller's scope."""

    def __init__(self, collection: str, document_id: str) -> None:
        super().__init__(f"No document found with ID {document_id} in {collection}")
        self.collection = collection
        self.document_id = document_id


class DocumentExists(ApiError):
    """The id is taken already, in this project or in another."""

    def __init__(self, collection: str, document_id: str) -> None:
        super().__init__(f"A document with ID {document_id} exists already in {collection}")
        self.collection = collection
        self.document_id = document_id


class VersionConflict(ApiError):
    """The document was changed by somebody else since it was read."""

    def __init__(self, collection: str, document_id: str) -> None:
        super().__init__(f"Document {document_id} in {collection} was changed meanwhile: try again")
        self.collection = collection
        self.document_id = document_id


class RunRefused(ApiError):
    """The run may not go on: another one holds the job's lease, or it has ended."""


class PreconditionFailed(ApiError):
    """The document is not in the state that the caller named as the one he knows."""


class RequestRefused(ApiError):
    """The request is well-formed, but what it names does not allow it."""


class AccessForbidden(ApiError):
    """The caller's roles or project do not allow it."""


class MissingCredential(ApiError):
    """No delegation could be made for the caller."""


class BadRequest(ApiError):
    """A parameter or a body makes no sense."""


class UnknownEvent(BadRequest):
    """The event is neither start, stop nor abort."""


class SessionActionInvalid(BadRequest):
    """A session action names a job or tag that does not fit the session."""


class StoreUnavailable(ApiError):
    """The document store cannot be reached now. It may be back in a moment."""


class KeystoneUnavailable(ApiError):
    """Keystone cannot be reached now, or fails itself. It may be back in a moment."""
