"""Invented documents, as many as wanted, to see how a store behaves at a size.

They are whole: a client has jobs, a job has an action and backups, and the API serves all of them
as it serves real ones. A number gives the same document every time, so filling can be taken up and
continued, and two stores can be filled alike. Pure.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from freezer_api.services.clients import document_id_of
from freezer_api.services.job_actions import DEFAULTS
from freezer_api.store.base import Collection, Stored
from freezer_model.client import CAPABILITIES

_USER = "invented-user"
_BEGIN = 1_700_000_000  # a time that is over: schedulers find nothing due


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How many documents, and of how many projects. Jobs are spread evenly over the clients."""

    projects: int = 4
    clients: int = 100
    jobs: int = 1000
    """With an action each. Half of them are completed."""
    backups: int = 10_000


def documents_of(collection: Collection, amounts: Amounts) -> Iterator[Stored]:
    """The documents of the collection, in their order of creation; none of other collections."""
    match collection:
        case Collection.CLIENTS:
            yield from (_client(number, amounts) for number in range(amounts.clients))
        case Collection.ACTIONS:
            yield from (_action(number, amounts) for number in range(amounts.jobs))
        case Collection.JOBS:
            yield from (_job(number, amounts) for number in range(amounts.jobs))
        case Collection.BACKUPS:
            yield from (_backup(number, amounts) for number in range(amounts.backups))
        case _:
            return


def project_id(number: int) -> str:
    """The id of an invented project."""
    return f"invented-{number}"


def client_id(number: int, amounts: Amounts) -> str:
    """The client_id of an invented client."""
    return f"{project_id(number % amounts.projects)}_node-{number}"


def _client(number: int, amounts: Amounts) -> Stored:
    owner = _owner(number, amounts)
    name = client_id(number, amounts)
    client = {
        "client_id": name,
        "uuid": _id("client", number),
        "hostname": f"node-{number}",
        "description": None,
        "is_central": False,
        **dict.fromkeys(CAPABILITIES),
    }
    document_id = document_id_of(owner["project_id"], name, is_central=False)
    return _stored(document_id, {"client": client, **owner})


def _action(number: int, amounts: Amounts) -> Stored:
    action_id = _id("action", number)
    owner = _owner(_client_number(number, amounts), amounts)
    return _stored(action_id, {**_definition(number), "action_id": action_id, **owner})


def _job(number: int, amounts: Amounts) -> Stored:
    client_number = _client_number(number, amounts)
    status = "completed" if number // max(1, amounts.clients) % 2 else "scheduled"
    started = _BEGIN + number
    document = {
        "job_id": _id("job", number),
        **_owner(client_number, amounts),
        "client_id": client_id(client_number, amounts),
        "description": f"invented job {number}",
        "session_id": "",
        "session_tag": 0,
        "job_schedule": {
            "schedule_interval": "24 hours",
            "status": status,
            "event": "",
            "result": "success",
            "time_created": _BEGIN,
            "time_started": started,
            "time_ended": started + 60,
            "time_succeeded": started + 60,
        },
        "job_actions": [{**_definition(number), "action_id": _id("action", number)}],
    }
    return _stored(_id("job", number), document)


def _backup(number: int, amounts: Amounts) -> Stored:
    job_number = number % max(1, amounts.jobs)
    client_number = _client_number(job_number, amounts)
    backup_id = _id("backup", number)
    document = {
        "backup_id": backup_id,
        **_owner(client_number, amounts),
        "status": "available",
        "backup_metadata": {
            **_definition(job_number)["freezer_action"],
            "hostname": f"node-{client_number}",
            "job_id": _id("job", job_number),
            "client_os": "linux",
            "client_version": "20.0.0",
            "curr_backup_level": number // max(1, amounts.jobs) % 7,
            "fs_real_path": f"/srv/data-{job_number}",
            "consistency_checksum": "",
            "always_level": "",
            "backup_media": "fs",
            "dry_run": False,
            "log_file": "/var/log/freezer.log",
            "proxy": "",
            "ssh_host": "",
            "ssh_key": "",
            "ssh_port": 22,
            "ssh_username": "",
            "vol_snap_path": "",
            "time_stamp": _BEGIN + number,
        },
    }
    return _stored(backup_id, document)


def _definition(number: int) -> dict[str, Any]:
    freezer_action = {
        "action": "backup",
        "mode": "fs",
        "engine_name": "tar",
        "storage": "swift",
        "container": f"backups-{number % 50}",
        "backup_name": f"data-{number}",
        "path_to_backup": f"/srv/data-{number}",
        "compression": "zstd",
        "max_level": 6,
    }
    return {"freezer_action": freezer_action, **DEFAULTS}


def _client_number(job_number: int, amounts: Amounts) -> int:
    return job_number % max(1, amounts.clients)


def _owner(client_number: int, amounts: Amounts) -> dict[str, str]:
    return {"user_id": _USER, "project_id": project_id(client_number % amounts.projects)}


def _id(kind: str, number: int) -> str:
    return hashlib.blake2b(f"{kind} {number}".encode(), digest_size=16).hexdigest()


def _stored(document_id: str, document: dict[str, Any]) -> Stored:
    return Stored(document_id=document_id, document=document, version=1)
