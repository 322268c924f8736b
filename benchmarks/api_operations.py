"""What is measured: the requests of each operation, on documents that are made first."""

import itertools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from api_load import Connection, Request, Requests

PROJECT = "/v2/p"
CLIENTS = 24
JOBS_PER_CLIENT = 10
"""240 jobs in all, as in the figures that we want to compare with."""
BACKUPS = 500
FILLERS = 8
ATTEMPTS = 20
SESSIONS = 8
SESSION_JOBS = 4
HOLD_OFF_SECONDS = 86400

SMALL = Request(method="GET", path=f"{PROJECT}/small")


@dataclass(slots=True, kw_only=True)
class Documents:
    """Ids of what is in a store."""

    jobs: list[str] = field(default_factory=list)
    sessions: list[tuple[str, list[str]]] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)


def fill(port: int) -> Documents:
    """Make the documents through the API itself, by several callers at once."""
    with ThreadPoolExecutor(FILLERS) as pool:
        jobs = list(pool.map(lambda client: _client_with_jobs(port, client), range(CLIENTS)))
        backups = list(pool.map(lambda first: _backups(port, first), range(FILLERS)))
    documents = Documents(
        jobs=[job for some in jobs for job in some],
        backups=[one for some in backups for one in some],
    )
    members = iter(documents.jobs)
    connection = Connection(port)
    for number in range(SESSIONS):
        body = {"description": f"s{number}", "hold_off": HOLD_OFF_SECONDS, "schedule": {}}
        session = _posted(connection, "sessions", body, "session_id")
        own = list(itertools.islice(members, SESSION_JOBS))
        for job in own:
            path = f"{PROJECT}/sessions/{session}/jobs/{job}"
            _made(connection, Request(method="PUT", path=path))
        documents.sessions.append((session, own))
    connection.close()
    return documents


def _client_with_jobs(port: int, number: int) -> list[str]:
    connection = Connection(port)
    client = {"client_id": f"node{number}", "hostname": f"node{number}"}
    _posted(connection, "clients", client, "client_id")
    jobs = [
        _posted(connection, "jobs", job_body(number, which), "job_id")
        for which in range(JOBS_PER_CLIENT)
    ]
    connection.close()
    return jobs


def _backups(port: int, first: int) -> list[str]:
    connection = Connection(port)
    made = [
        _posted(connection, "backups", backup_body(number), "backup_id")
        for number in range(first, BACKUPS, FILLERS)
    ]
    connection.close()
    return made


def _posted(connection: Connection, kind: str, body: dict[str, Any], key: str) -> str:
    request = Request(method="POST", path=f"{PROJECT}/{kind}", body=body)
    return str(_made(connection, request)[key])


def _made(connection: Connection, request: Request) -> dict[str, Any]:
    """What was made. The former release fails now and then when several callers write at once."""
    for _ in range(ATTEMPTS):
        answer = connection.send(request)
        if answer.status in {200, 201, 204}:
            return answer.json() if answer.body else {}
        if answer.status < 500:
            break
    raise RuntimeError(f"{request.method} {request.path}: {answer.status} {answer.body[:300]!r}")


def job_body(client: int, number: int) -> dict[str, Any]:
    """A job as users write them."""
    return {
        "client_id": f"node{client}",
        "description": f"documents {number} of node{client}, every four hours",
        "job_actions": [
            {
                "freezer_action": {
                    "action": "backup",
                    "mode": "fs",
                    "backup_name": f"documents{number}",
                    "path_to_backup": "/srv/documents",
                    "storage": "swift",
                    "container": "backups",
                    "max_level": 6,
                },
                "max_retries": 3,
                "max_retries_interval": 60,
            }
        ],
        "job_schedule": {"schedule_interval": "4 hours", "status": "scheduled"},
    }


def backup_body(number: int) -> dict[str, Any]:
    """A record as schedulers send them."""
    return {
        "action": "backup",
        "backup_name": f"documents{number % 50}",
        "client_os": "linux",
        "compression": "gzip",
        "container": "backups",
        "curr_backup_level": number % 7,
        "description": "",
        "end_time_stamp": 1_700_000_100 + number,
        "hostname": f"node{number % CLIENTS}",
        "job_id": f"job{number % 240}",
        "level": number % 7,
        "max_level": 6,
        "mode": "fs",
        "path_to_backup": "/srv/documents",
        "storage": "swift",
        "time_stamp": 1_700_000_000 + number,
        "version": "20.0.0",
    }


def poll(client: str) -> dict[str, Any]:
    """What a scheduler asks."""
    return {"match": [{"client_id": client}], "match_not": [{"status": "completed"}]}


def small(_documents: Documents, _caller: int) -> Requests:
    """The ceiling's only document."""
    while True:
        yield SMALL


def polls(_documents: Documents, caller: int) -> Requests:
    """A page of ten jobs of one client."""
    for number in itertools.count(caller):
        body = poll(f"node{number % CLIENTS}")
        yield Request(method="GET", path=f"{PROJECT}/jobs?limit=10", body=body)


def job_gets(documents: Documents, caller: int) -> Requests:
    """One job."""
    for number in itertools.count(caller * 7):
        yield Request(method="GET", path=f"{PROJECT}/jobs/{_turn(documents.jobs, number)}")


def lists(_documents: Documents, _caller: int) -> Requests:
    """The first ten jobs."""
    while True:
        yield Request(method="GET", path=f"{PROJECT}/jobs?limit=10")


def searches(_documents: Documents, caller: int) -> Requests:
    """Backups of one name on one host."""
    for number in itertools.count(caller):
        fields = [
            {"backup_name": f"documents{number % 50}"},
            {"hostname": f"node{number % CLIENTS}"},
        ]
        yield Request(method="GET", path=f"{PROJECT}/backups?limit=10", body={"match": fields})


def events(documents: Documents, caller: int) -> Requests:
    """Stop a job, start it, by turns; any caller any job."""
    chance = random.Random(caller)  # noqa: S311 - the same requests for every server
    while True:
        job = chance.choice(documents.jobs)
        event = chance.choice(["start", "stop"])
        path = f"{PROJECT}/jobs/{job}/event"
        yield Request(method="POST", path=path, body={event: None}, expected=(202,))


def sessions(documents: Documents, caller: int) -> Requests:
    """A job starts and ends its part of a session, which it shares with others."""
    session, jobs = documents.sessions[caller % SESSIONS]
    job = jobs[caller // SESSIONS % SESSION_JOBS]
    path = f"{PROJECT}/sessions/{session}/action"
    for number in itertools.count():
        start = {"start": {"job_id": job, "current_tag": 0}}
        end = {"end": {"job_id": job, "current_tag": 1, "result": "success"}}
        body = end if number % 2 else start
        yield Request(method="POST", path=path, body=body, expected=(202,))


def patches(documents: Documents, caller: int) -> Requests:
    """What a scheduler reports of a run."""
    own = documents.jobs[caller % len(documents.jobs) :: 32]
    for number in itertools.count():
        timing = {"status": "running", "result": "", "time_started": 1_700_000_000 + number}
        path = f"{PROJECT}/jobs/{_turn(own, number)}"
        yield Request(method="PATCH", path=path, body={"job_schedule": timing})


def backup_posts(_documents: Documents, caller: int) -> Requests:
    """A record of a backup."""
    for number in itertools.count(caller * 1_000_000):
        body = backup_body(number)
        yield Request(method="POST", path=f"{PROJECT}/backups", body=body, expected=(201,))


def _turn(ids: list[str], number: int) -> str:
    return ids[number % len(ids)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of the table."""

    name: str
    requests: Callable[[Documents, int], Requests]
    aim: float
    """CPU on SQLite as a multiple of the ceiling's, at most."""


CEILING = Operation(name="(ceiling)", requests=small, aim=1)

OPERATIONS = [
    Operation(name="poll", requests=polls, aim=6),
    Operation(name="job get", requests=job_gets, aim=6),
    Operation(name="list of 10", requests=lists, aim=6),
    Operation(name="search", requests=searches, aim=6),
    Operation(name="event", requests=events, aim=12),
    Operation(name="session", requests=sessions, aim=12),
    Operation(name="patch", requests=patches, aim=12),
    Operation(name="backup post", requests=backup_posts, aim=12),
]
