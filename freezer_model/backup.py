"""What the API keeps of one backup."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from freezer_model.errors import InvalidDocument

_SERVER_KEYS = frozenset({"status", "backup_metadata", "backup_id", "user_id", "project_id"})


class BackupStatus(StrEnum):
    """Where a backup stands."""

    CREATING = "creating"
    AVAILABLE = "available"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"


_MAY_MISS_PLACE = frozenset({BackupStatus.CREATING, BackupStatus.ERROR, BackupStatus.DELETING})


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecord:
    """The metadata of one backup and its status. `metadata` is kept as it came."""

    metadata: Mapping[str, Any]
    status: BackupStatus = BackupStatus.AVAILABLE

    @classmethod
    def from_body(cls, body: Any) -> Self:
        """Read the flat document that a client posts: metadata with an optional status.

        `backup_name` must be text that is not empty, and unless the backup is being created, has
        failed or is being deleted, so must `container` and `hostname`. Raises InvalidDocument.
        """
        if not isinstance(body, Mapping):
            raise InvalidDocument("", "a backup must be an object")
        status = _status(body.get("status"), BackupStatus.AVAILABLE)
        metadata = {key: value for key, value in body.items() if key != "status"}
        _require_text(metadata, "backup_name")
        for key in ("container", "hostname"):
            if status in _MAY_MISS_PLACE and metadata.get(key) in (None, ""):
                continue
            _require_text(metadata, key)
        return cls(metadata=metadata, status=status)

    def updated(self, body: Any) -> Self:
        """The record after a PATCH with `body`.

        Metadata comes nested in `backup_metadata`, flat as agents send it, or both; it is merged
        key by key. An empty body and a status that does not exist raise InvalidDocument.
        """
        if not isinstance(body, Mapping) or not body:
            raise InvalidDocument("", "give a status or metadata to change")
        nested = body.get("backup_metadata")
        if nested is None:
            nested = {}
        if not isinstance(nested, Mapping):
            raise InvalidDocument("backup_metadata", "must be an object")
        flat = {key: value for key, value in body.items() if key not in _SERVER_KEYS}
        return type(self)(
            metadata={**self.metadata, **flat, **nested},
            status=_status(body.get("status"), self.status),
        )


def _status(value: Any, default: BackupStatus) -> BackupStatus:
    if value is None:
        return default
    try:
        return BackupStatus(value)
    except ValueError:
        allowed = ", ".join(BackupStatus)
        raise InvalidDocument("status", f"must be one of {allowed}") from None


def _require_text(metadata: Mapping[str, Any], key: str) -> None:
    value = metadata.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidDocument(key, "must be text and not empty")
