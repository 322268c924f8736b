"""The bodies of backups. What they must hold depends on the status: see BackupRecord."""

from freezer_api.schemas.parts import OBJECT
from freezer_api.schemas.validator import Schema
from freezer_model.backup import BackupStatus

_STATUS = {"enum": [*(str(status) for status in BackupStatus), None]}

CREATE = Schema({"type": "object", "properties": {"status": _STATUS}})

UPDATE = Schema({"type": "object", "properties": {"status": _STATUS, "backup_metadata": OBJECT}})
