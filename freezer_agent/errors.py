"""Every error of the agent.

AgentError
  RequestInvalid          the options cannot mean anything; carries all reasons at once
  StorageError
    ObjectNotFound        no object under this key
    ObjectExists          create() found an object under this key
    AccessRefused         credentials or permissions: trying again does not help
    StorageUnavailable    may pass if tried again
    StorageFull           no room left
  EngineError             the program or code that makes or reads the stream failed
  CommandFailed           an external command ended with a status that is not success
  ServiceError            a cloud service refused or failed
  ModeError               the application could not be made quiet
  SnapshotError           no frozen view could be taken or removed
  StreamError
    WrongKey              the pass phrase or key does not open this backup
    Damaged               the stored bytes are not what was written
  CatalogError
    NoBackupBefore        no backup of that name at or before the date
    NoBackupOfRun         no backup of that name was made in that run of a session
    ChainBroken           a level that is needed is missing
    NothingChosen         no file of the backup fits --include
    TargetNotEmpty        restoring would touch existing files; needs --overwrite
    BackupLocked          another agent works on this backup name
  Interrupted             SIGTERM or Ctrl-C; the run cleaned up after itself
"""

from collections.abc import Sequence
from datetime import datetime

from freezer_model.errors import FreezerError

_MOST_TAGS = 20


class AgentError(FreezerError):
    """Anything that ends a run of the agent with a sentence for the operator."""


class RequestInvalid(AgentError):
    """The options contradict each other or miss something; `reasons` holds every finding."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class StorageError(AgentError):
    """A storage did not do what it was asked. `storage` names it as the user does."""


class ObjectNotFound(StorageError):
    """There is no object under the key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"no object {key!r} in the storage")
        self.key = key


class ObjectExists(StorageError):
    """create() found that somebody else has stored an object under the key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"object {key!r} exists already")
        self.key = key


class AccessRefused(StorageError):
    """Credentials or permissions are not enough. Trying again does not help."""


class StorageUnavailable(StorageError):
    """The storage cannot be reached or failed for now. May pass if tried again."""


class StorageFull(StorageError):
    """The storage has no room left (disk full, quota reached)."""


class EngineError(AgentError):
    """The stream of a source could not be made, or could not be taken apart."""


class CommandFailed(AgentError):
    """An external command ended with a status that is not success."""

    def __init__(self, argv: Sequence[str], status: int, stderr_tail: str) -> None:
        ended = f"exit status {status}" if status >= 0 else f"signal {-status}"
        detail = f": {stderr_tail.strip()}" if stderr_tail.strip() else ""
        super().__init__(f"{argv[0]} ended with {ended}{detail}")
        self.argv = tuple(argv)
        self.status = status
        self.stderr_tail = stderr_tail


class ServiceError(AgentError):
    """A cloud service refused or failed a call."""


class ModeError(AgentError):
    """The application could not be made quiet, or not be released."""


class SnapshotError(AgentError):
    """A frozen view of the files could not be taken or removed."""


class StreamError(AgentError):
    """The bytes of a stream cannot be turned back into what was written."""


class WrongKey(StreamError):
    """The pass phrase or key does not open this backup."""


class Damaged(StreamError):
    """The stored bytes are not the ones that were written."""


class CatalogError(AgentError):
    """The backups that exist do not allow what was asked."""


class NoBackupBefore(CatalogError):
    """No complete backup of that name was taken at or before the date."""

    def __init__(self, name: str, at: datetime | None) -> None:
        when = f" at or before {at.isoformat()}" if at else ""
        super().__init__(f'No matching backup name "{name}" found{when}')
        self.name = name
        self.at = at


class NoBackupOfRun(CatalogError):
    """No complete backup of that name was made in the wanted run of the session."""

    def __init__(self, name: str, session_id: str, tag: int, others: Sequence[int]) -> None:
        known = ", ".join(map(str, others[-_MOST_TAGS:]))
        if len(others) > _MOST_TAGS:
            known = f"..., {known}"
        hint = (
            f"its backups are of the runs {known}; to restore what is nearest in time give "
            "--restore-from-date in place of the session"
            if others
            else "none of its backups carries that session"
        )
        super().__init__(
            f"There is no backup of {name!r} of run {tag} of session {session_id!r}: {hint}"
        )
        self.name = name
        self.others = tuple(others)


class ChainBroken(CatalogError):
    """A level that the wanted backup builds on is missing from the storage."""

    def __init__(self, name: str, missing_level: int, last_good_level: int | None) -> None:
        hint = (
            f"level {last_good_level} is the last that can be restored: give its date with "
            "--restore-from-date"
            if last_good_level is not None
            else "nothing of this chain can be restored"
        )
        super().__init__(f"backup {name!r} misses level {missing_level}; {hint}")
        self.missing_level = missing_level
        self.last_good_level = last_good_level


class NothingChosen(CatalogError):
    """No file of the backup fits one of the patterns."""

    def __init__(self, label: str, patterns: Sequence[str]) -> None:
        super().__init__(
            f"nothing in {label} fits {', '.join(map(repr, patterns))}; --action files lists what "
            "is in it"
        )


class TargetNotEmpty(CatalogError):
    """The restore target holds files already and --overwrite was not given."""


class BackupLocked(CatalogError):
    """Another agent holds the lock of this backup name."""


class Interrupted(AgentError):
    """The run was told to stop (SIGTERM, Ctrl-C) and has cleaned up after itself."""
