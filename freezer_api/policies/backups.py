"""Who may do what with backups."""

from freezer_api.policies.base import (
    ADMIN_OR_OWNER_OR_SERVICE,
    ADMIN_OR_READER_OR_SERVICE,
    rule,
)

RULES = [
    rule("backups:get", ADMIN_OR_READER_OR_SERVICE, "Show a backup.", "GET /backups/{backup_id}"),
    rule("backups:get_all", ADMIN_OR_READER_OR_SERVICE, "List backups.", "GET /backups"),
    rule("backups:create", ADMIN_OR_OWNER_OR_SERVICE, "Record a backup.", "POST /backups"),
    rule(
        "backups:update",
        ADMIN_OR_OWNER_OR_SERVICE,
        "Change status or metadata of a backup.",
        "PATCH /backups/{backup_id}",
    ),
    rule(
        "backups:delete",
        ADMIN_OR_OWNER_OR_SERVICE,
        "Remove the record of a backup.",
        "DELETE /backups/{backup_id}",
    ),
]
