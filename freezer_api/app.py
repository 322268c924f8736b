"""The application: its collaborators are handed in, its routes are one table."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import falcon
from falcon.media import JSONHandler

from freezer_api.http import errors
from freezer_api.http.bodies import Bodies
from freezer_api.http.conditional import TaggedAnswers
from freezer_api.http.edge import Edge
from freezer_api.http.middleware import JsonOnly, RouteSeen
from freezer_api.http.paging import Paging
from freezer_api.identity.middleware import Identity, ReadIdentity
from freezer_api.identity.trusts import Trusts
from freezer_api.openapi.document import describe
from freezer_api.policies import list_rules
from freezer_api.policies.enforcer import Enforcer
from freezer_api.resources import (
    actions,
    backups,
    clients,
    description,
    health,
    home,
    job_reports,
    jobs,
    runs,
    sessions,
    versions,
)
from freezer_api.services.actions import ActionService
from freezer_api.services.backups import BackupService
from freezer_api.services.changes import Changes, Sleep
from freezer_api.services.clients import ClientService
from freezer_api.services.delegations import DelegationRule, Delegations
from freezer_api.services.job_actions import JobActions
from freezer_api.services.jobs import JobService
from freezer_api.services.memberships import Memberships
from freezer_api.services.runs import RunService
from freezer_api.services.sessions import SessionService
from freezer_api.services.sightings import Sightings
from freezer_api.services.tags import text_of
from freezer_api.store.base import DocumentStore
from freezer_model.clock import Clock

App = falcon.App[falcon.Request, falcon.Response]

PUBLIC_ROUTES = frozenset({"/", "/healthcheck", "/healthcheck/ready"})
"""Answered to everybody, without a token."""

_OTHER_TYPES = {"/healthcheck": falcon.MEDIA_TEXT, "/v2": home.MEDIA_TYPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one request may ask."""

    max_limit: int = 10_000
    max_body_bytes: int = 1024 * 1024
    max_nesting: int = 32
    kept_runs: int = 100
    """Runs of one job that stay in its history."""


def make_app(
    *,
    store: DocumentStore,
    enforcer: Enforcer,
    read_identity: ReadIdentity,
    trusts: Trusts,
    delegation_rule: DelegationRule,
    clock: Clock,
    new_id: Callable[[], str],
    sleep: Sleep,
    limits: Limits,
    disabled_by: Path,
    seconds: Callable[[], float],
    sightings: Sightings,
) -> App:
    """The whole API over these collaborators, without what stands before it (see `assembly`).

    `seconds` is a clock that only grows.
    """
    edge = Edge(
        enforcer=enforcer,
        bodies=Bodies(max_bytes=limits.max_body_bytes, max_nesting=limits.max_nesting),
        paging=Paging(max_limit=limits.max_limit),
    )
    changes = Changes(store, sleep)
    memberships = Memberships(store=store, changes=changes)
    backup_service = BackupService(store=store, changes=changes, new_id=new_id)
    client_service = ClientService(store=store, changes=changes, new_id=new_id)
    action_service = ActionService(store=store, changes=changes, new_id=new_id)
    session_service = SessionService(
        store=store, changes=changes, memberships=memberships, clock=clock, new_id=new_id
    )
    run_service = RunService(store=store, changes=changes, clock=clock, kept=limits.kept_runs)
    job_service = JobService(
        store=store,
        changes=changes,
        clients=client_service,
        actions=JobActions(store, new_id),
        memberships=memberships,
        runs=run_service,
        delegations=Delegations(store=store, changes=changes, trusts=trusts, rule=delegation_rule),
        clock=clock,
        new_id=new_id,
    )
    routes: dict[str, object] = {
        "/": versions.Versions(),
        "/healthcheck": health.Liveness(disabled_by),
        "/healthcheck/ready": health.Readiness(store, disabled_by, seconds),
        "/v2": home.Home(),
        "/v2/openapi.json": description.Description(describe(list_rules())),
        "/v2/{project_id}/backups": backups.Backups(backup_service, edge),
        "/v2/{project_id}/backups/{backup_id}": backups.Backup(backup_service, edge),
        "/v2/{project_id}/clients": clients.Clients(client_service, edge),
        "/v2/{project_id}/clients/{client_id}": clients.Client(client_service, edge),
        "/v2/{project_id}/jobs": jobs.Jobs(job_service, edge, sightings),
        "/v2/{project_id}/jobs/{job_id}": jobs.Job(job_service, edge),
        "/v2/{project_id}/jobs/{job_id}/event": jobs.JobEvents(job_service, edge),
        "/v2/{project_id}/jobs/{job_id}/runs": runs.Runs(run_service, edge),
        "/v2/{project_id}/jobs/{job_id}/runs/{run_id}": runs.Run(run_service, edge),
        "/v2/{project_id}/job-reports": job_reports.JobReports(job_service, edge),
        "/v2/{project_id}/actions": actions.Actions(action_service, edge),
        "/v2/{project_id}/actions/{action_id}": actions.Action(action_service, edge),
        "/v2/{project_id}/sessions": sessions.Sessions(session_service, edge),
        "/v2/{project_id}/sessions/{session_id}": sessions.Session(session_service, edge),
        "/v2/{project_id}/sessions/{session_id}/action": sessions.SessionActions(
            session_service, edge
        ),
        "/v2/{project_id}/sessions/{session_id}/jobs/{job_id}": sessions.SessionJobs(
            memberships, edge
        ),
    }
    app = _bare_app(read_identity)
    for path, resource in routes.items():
        app.add_route(path, resource)
    return app


def _bare_app(read_identity: ReadIdentity) -> App:
    app: App = falcon.App(
        middleware=[
            RouteSeen(),
            JsonOnly(_OTHER_TYPES),
            Identity(read_identity, PUBLIC_ROUTES),
            TaggedAnswers(),
        ]
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_qs_csv = True
    app.req_options.keep_blank_qs_values = False
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=text_of)
    errors.install(app)
    return app
