"""Who may do what with jobs."""

from freezer_api.policies.base import (
    ADMIN_OR_OWNER,
    ADMIN_OR_READER_OR_SERVICE,
    ADMIN_OR_SERVICE,
    rule,
)

RULES = [
    rule("jobs:get", ADMIN_OR_READER_OR_SERVICE, "Show a job.", "GET /jobs/{job_id}"),
    rule("jobs:get_all", ADMIN_OR_READER_OR_SERVICE, "List jobs.", "GET /jobs"),
    rule(
        "jobs:get_all_projects",
        ADMIN_OR_SERVICE,
        "See the jobs of every project, with the processes that run them.",
        "GET /jobs",
        "GET /jobs/{job_id}",
    ),
    rule(
        "jobs:create",
        ADMIN_OR_OWNER,
        "Create a job, or replace it under its id.",
        "POST /jobs",
        "POST /jobs/{job_id}",
    ),
    rule(
        "jobs:update",
        ADMIN_OR_OWNER,
        "Change a job, or report how many stand.",
        "PATCH /jobs/{job_id}",
        "POST /job-reports",
    ),
    rule("jobs:delete", ADMIN_OR_OWNER, "Remove a job.", "DELETE /jobs/{job_id}"),
    rule(
        "jobs:event:create",
        ADMIN_OR_OWNER,
        "Ask for the start, stop or abort of a job.",
        "POST /jobs/{job_id}/event",
    ),
]
