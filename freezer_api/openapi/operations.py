"""Which body goes to which route, and what comes back: one row for each method of each route."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route. Bodies are named as the components of the document."""

    method: str
    path: str
    status: int
    answer: str | None = None
    request: str | None = None
    request_is_optional: bool = False
    is_public: bool = False
    is_conditional: bool = False
    """Whether `If-Match` counts."""
    sort_fields: tuple[str, ...] = ()
    media_type: str = "application/json"
    summary: str = ""
    """Where no rule of access tells it."""

    @property
    def is_list(self) -> bool:
        """Whether it answers a page of documents."""
        return self.method == "GET" and (self.answer or "").endswith("List")


_PROJECT = "/v2/{project_id}"
_CREATED = ("created",)
_SORTED = {
    "backups": (*_CREATED, "time_stamp", "backup_metadata.time_stamp"),
    "jobs": (
        *_CREATED,
        "time_created",
        "time_started",
        "last_run",
        "job_schedule.time_created",
        "job_schedule.time_started",
    ),
}


def _public(path: str, answer: str | None, summary: str, **more: str) -> Operation:
    status = 300 if path == "/" else 200
    return Operation(
        method="GET",
        path=path,
        status=status,
        answer=answer,
        summary=summary,
        is_public=not path.startswith("/v2"),
        **more,  # type: ignore[arg-type] # media_type alone
    )


def _list(plural: str, name: str) -> Operation:
    return Operation(
        method="GET",
        path=f"{_PROJECT}/{plural}",
        status=200,
        answer=f"{name}List",
        request="Search",
        request_is_optional=True,
        sort_fields=_SORTED.get(plural, _CREATED),
    )


def _create(plural: str, name: str, request: str) -> Operation:
    path = f"{_PROJECT}/{plural}"
    return Operation(method="POST", path=path, status=201, answer=f"{name}Id", request=request)


def _one(method: str, plural: str, name: str) -> Operation:
    path = f"{_PROJECT}/{plural}/{{{name.lower()}_id}}"
    if method == "GET":
        return Operation(method=method, path=path, status=200, answer=name)
    if method == "DELETE":
        return Operation(method=method, path=path, status=204, is_conditional=True)
    return Operation(
        method=method,
        path=path,
        status=201 if method == "POST" else 200,
        answer=name if method == "PATCH" and name == "Backup" else f"{name}Id",
        request=f"{name}Create" if method == "POST" else f"{name}Update",
        is_conditional=True,
    )


def _all_of(plural: str, name: str, *methods: str) -> list[Operation]:
    request = "ClientRegister" if name == "Client" else f"{name}Create"
    ones = [_one(method, plural, name) for method in methods]
    return [_list(plural, name), _create(plural, name, request), *ones]


OPERATIONS = (
    _public("/", "Versions", "Tell which versions of the API there are."),
    _public("/healthcheck", None, "Tell whether the process lives.", media_type="text/plain"),
    _public("/healthcheck/ready", "Ready", "Tell whether requests can be answered now."),
    _public("/v2", "Home", "Name the ways from here.", media_type="application/json-home"),
    _public("/v2/openapi.json", "Description", "Describe the API: this document."),
    *_all_of("backups", "Backup", "GET", "PATCH", "DELETE"),
    *_all_of("clients", "Client", "GET", "DELETE"),
    *_all_of("jobs", "Job", "GET", "POST", "PATCH", "DELETE"),
    *_all_of("actions", "Action", "GET", "POST", "PATCH", "DELETE"),
    *_all_of("sessions", "Session", "GET", "POST", "PATCH", "DELETE"),
    Operation(
        method="POST",
        path=f"{_PROJECT}/job-reports",
        status=200,
        answer="JobsReported",
        request="JobReports",
    ),
    Operation(
        method="POST",
        path=f"{_PROJECT}/jobs/{{job_id}}/event",
        status=202,
        answer="EventResult",
        request="Event",
    ),
    Operation(
        method="GET",
        path=f"{_PROJECT}/jobs/{{job_id}}/runs",
        status=200,
        answer="RunList",
        sort_fields=_CREATED,
    ),
    Operation(
        method="GET", path=f"{_PROJECT}/jobs/{{job_id}}/runs/{{run_id}}", status=200, answer="Run"
    ),
    Operation(
        method="PUT",
        path=f"{_PROJECT}/jobs/{{job_id}}/runs/{{run_id}}",
        status=200,
        answer="Lease",
        request="RunReport",
    ),
    Operation(
        method="POST",
        path=f"{_PROJECT}/sessions/{{session_id}}/action",
        status=202,
        answer="SessionActionResult",
        request="SessionAction",
    ),
    Operation(method="PUT", path=f"{_PROJECT}/sessions/{{session_id}}/jobs/{{job_id}}", status=204),
    Operation(
        method="DELETE", path=f"{_PROJECT}/sessions/{{session_id}}/jobs/{{job_id}}", status=204
    ),
)
