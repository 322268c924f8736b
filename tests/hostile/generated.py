"""Requests that Schemathesis makes up from the API's own description, sent to an application.

Half of them obey the description and half do not; half are about documents that there are.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from falcon import testing
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import (
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode

from tests.fakes.api_world import Caller

PROJECT = "p"
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@dataclass
class Tally:
    """Stands before an application and counts its answers by status."""

    application: Any
    statuses: Counter[int] = field(default_factory=Counter)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, *rest: Any) -> Any:
            self.statuses[int(status[:3])] += 1
            return start_response(status, headers, *rest)

        return self.application(environ, start)


def attack(application: Any, examples: int, number: int) -> Counter[int]:
    """Send about `examples` requests to each operation; the statuses of all answers.

    Fails at the first answer that the description does not allow, and at any 5xx. `number` fixes
    what is made up.
    """
    tally = Tally(application)
    described = schemathesis.openapi.from_wsgi("/v2/openapi.json", tally)
    for found in described.get_all_operations():
        _attack_operation(found.ok(), tally, examples, number)
    return tally.statuses


def _attack_operation(operation: Any, tally: Tally, examples: int, number: int) -> None:
    known = _documents(Caller(testing.TestClient(tally.application), PROJECT))
    names = [one.name for one in operation.path_parameters]
    somewhere = {"project_id": PROJECT} if "project_id" in names else {}
    there = {name: known.get(name, PROJECT) for name in names}
    cases = st.one_of(
        operation.as_strategy(generation_mode=mode, path_parameters=parameters or None)
        for parameters in (somewhere, there)
        for mode in GenerationMode
    )

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: Any) -> None:
        case.validate_response(case.call(), checks=CHECKS)

    send()


def _documents(caller: Caller) -> Mapping[str, str]:
    """Documents for the requests to be about, made anew: they may have been removed meanwhile."""
    caller.client_registered("node")
    caller.post("/jobs/known", {"client_id": "node", "job_actions": []})
    caller.post("/sessions/known", {"schedule": {}})
    caller.post("/actions/known", {"freezer_action": {"action": "backup"}})
    place = {"container": "c", "hostname": "h", "backup_name": "b"}
    backup_id = caller.made("/backups", place)
    caller.send("PUT", "/sessions/known/jobs/known")
    caller.send("PUT", "/jobs/known/runs/known", {"status": "running"})
    ids = dict.fromkeys(("job_id", "session_id", "action_id", "run_id"), "known")
    return {**ids, "client_id": "node", "backup_id": backup_id}
