"""Who may do what with actions."""

from freezer_api.policies.base import ADMIN_OR_OWNER, ADMIN_OR_READER_OR_SERVICE, rule

RULES = [
    rule("actions:get", ADMIN_OR_READER_OR_SERVICE, "Show an action.", "GET /actions/{action_id}"),
    rule("actions:get_all", ADMIN_OR_READER_OR_SERVICE, "List actions.", "GET /actions"),
    rule("actions:create", ADMIN_OR_OWNER, "Create an action.", "POST /actions"),
    rule(
        "actions:replace",
        ADMIN_OR_OWNER,
        "Create an action under its own id, or replace it.",
        "POST /actions/{action_id}",
    ),
    rule("actions:update", ADMIN_OR_OWNER, "Change an action.", "PATCH /actions/{action_id}"),
    rule(
        "actions:delete",
        ADMIN_OR_OWNER,
        "Remove an action, also from the jobs that use it.",
        "DELETE /actions/{action_id}",
    ),
]
