"""Who may do what with sessions."""

from freezer_api.policies.base import ADMIN_OR_OWNER, ADMIN_OR_READER_OR_SERVICE, rule

RULES = [
    rule(
        "sessions:get", ADMIN_OR_READER_OR_SERVICE, "Show a session.", "GET /sessions/{session_id}"
    ),
    rule("sessions:get_all", ADMIN_OR_READER_OR_SERVICE, "List sessions.", "GET /sessions"),
    rule("sessions:create", ADMIN_OR_OWNER, "Create a session.", "POST /sessions"),
    rule(
        "sessions:replace",
        ADMIN_OR_OWNER,
        "Create a session under its own id, or replace it.",
        "POST /sessions/{session_id}",
    ),
    rule("sessions:update", ADMIN_OR_OWNER, "Change a session.", "PATCH /sessions/{session_id}"),
    rule("sessions:delete", ADMIN_OR_OWNER, "Remove a session.", "DELETE /sessions/{session_id}"),
    rule(
        "sessions:action:create",
        ADMIN_OR_OWNER,
        "Report the start or the end of a job in a session.",
        "POST /sessions/{session_id}/action",
    ),
    rule(
        "sessions:job:add",
        ADMIN_OR_OWNER,
        "Put a job into a session.",
        "PUT /sessions/{session_id}/jobs/{job_id}",
    ),
    rule(
        "sessions:job:remove",
        ADMIN_OR_OWNER,
        "Take a job out of a session.",
        "DELETE /sessions/{session_id}/jobs/{job_id}",
    ),
]
