"""Who may do what with the runs of jobs."""

from freezer_api.policies.base import ADMIN_OR_OWNER, ADMIN_OR_READER_OR_SERVICE, rule

RULES = [
    rule(
        "jobs:runs:get_all",
        ADMIN_OR_READER_OR_SERVICE,
        "List the runs of a job.",
        "GET /jobs/{job_id}/runs",
    ),
    rule(
        "jobs:runs:get",
        ADMIN_OR_READER_OR_SERVICE,
        "Show a run of a job.",
        "GET /jobs/{job_id}/runs/{run_id}",
    ),
    rule(
        "jobs:runs:update",
        ADMIN_OR_OWNER,
        "Report the begin, the heartbeat or the end of a run.",
        "PUT /jobs/{job_id}/runs/{run_id}",
    ),
]
