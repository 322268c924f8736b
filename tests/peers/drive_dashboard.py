"""Runs in the virtualenv of the Horizon plugin: does what its pages do, through its own code.

Reads a JSON object from standard input (token, project_id, auth_url, api_url, client_id), writes
what the pages would show as JSON. Nothing of the plugin, of Horizon or of the client is replaced.
"""

import json
import sys
from typing import Any

import django
from django.conf import settings
from horizon import defaults


class Thing:
    """An object with these attributes, as Django makes them of a user's session."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def request_of(given: dict[str, Any]) -> Thing:
    endpoint = {"interface": "public", "url": given["api_url"]}
    user = Thing(
        token=Thing(id=given["token"]),
        project_id=given["project_id"],
        domain_name="Default",
        service_catalog=[{"type": "backup", "endpoints": [endpoint]}],
    )
    return Thing(user=user)


def shown(thing: Any) -> Any:
    """What a table of the dashboard would have in its row."""
    return {key.lstrip("_"): value for key, value in vars(thing).items()}


def rows(things: Any) -> list[Any]:
    return [shown(thing) for thing in things]


def action_form(**fields: Any) -> dict[str, Any]:
    """The fields of the form of an action; those left empty are sent as empty text."""
    return {
        "action": "backup",
        "mode": "fs",
        "storage": "swift",
        "backup_name": "my files",
        "path_to_backup": "/srv",
        "container": "backups",
        "snapshot": False,
        "max_level": "",
        "mandatory": False,
        "max_retries": 3,
        "max_retries_interval": 60,
        "action_id": "",
        **fields,
    }


def see_clients(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    clients = api.Client(request)
    listed = clients.list()
    uuid = listed[0].uuid
    return {
        "clients": rows(listed),
        "client": shown(clients.get(given["client_id"])),
        "client by uuid": rows(clients.list(search=uuid)),
        "clients by part of a word": rows(clients.list(search=uuid[:8])),
    }


def see_actions(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    actions = api.Action(request)
    given["first"] = actions.create(action_form())
    given["second"] = actions.create(action_form(backup_name="second", max_retries=1))
    update = {"backup_name": "second", "path_to_backup": "/home", "max_retries": 7}
    actions.update(action_form(**update), given["second"])
    return {"actions": rows(actions.list()), "action": shown(actions.get(given["second"]))}


def see_jobs(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    jobs, first, second = api.Job(request), given["first"], given["second"]
    form = {
        "actions": f"{first}===",
        "clients": [given["client_id"]],
        "description": "nightly",
        "schedule_start_date": "2026-01-01T00:00:00",
        "schedule_interval": "2 hours",
        "schedule_end_date": "",
    }
    jobs.create(form)
    (job,) = jobs.list()
    given["job"] = job.id
    seen = {"new job": jobs.get(job.id, json=True)}
    changed = {"description": "daily", "schedule_interval": "1 days"}
    left_empty = {"schedule_start_date": "", "schedule_end_date": ""}
    jobs.update(job.id, {"job_id": job.id, **changed, **left_empty})
    seen["edited job"] = jobs.get(job.id, json=True)
    jobs.update_actions(job.id, f"{second}==={first}===")
    seen["job with two actions"] = jobs.get(job.id, json=True)
    seen["actions of the job"] = rows(jobs.actions(job.id))
    seen["actions for the form"] = jobs.actions(job.id, api=True)
    jobs.delete_action(f"{first}==={job.id}")
    seen["job with one action"] = jobs.get(job.id, json=True)
    jobs.start(job.id)
    seen["started job"] = jobs.get(job.id, json=True)
    jobs.clone(job.id)
    seen["jobs"] = rows(jobs.list())
    seen["jobs by word"] = rows(jobs.list(search="daily_clone"))
    given["clone"] = next(one.id for one in jobs.list() if one.id != job.id)
    seen["clone"] = jobs.get(given["clone"], json=True)
    return seen


def see_sessions(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    sessions = api.Session(request)
    form = {
        "description": "all nodes",
        "schedule_start_date": "2026-01-01T00:00:00",
        "schedule_interval": "3 days",
        "schedule_end_date": "",
        "session_id": "",
    }
    made = sessions.create(form)
    sessions.add_job(made, given["job"])
    seen = {
        "session": shown(sessions.get(made)),
        "jobs of the session": rows(sessions.jobs(made)),
    }
    changed = {"description": "some nodes", "schedule_interval": "4 days"}
    sessions.update({**changed, "schedule_start_date": "", "schedule_end_date": ""}, made)
    seen["edited session"] = sessions.get(made, json=True)
    seen["sessions"] = rows(sessions.list())
    sessions.remove_job(made, given["job"])
    seen["session without jobs"] = sessions.get(made, json=True)
    sessions.delete(made)
    return seen


def see_backups(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    backups, backup_id = api.Backup(request), given["backup_id"]
    seen = {
        "backups": rows(backups.list()),
        "backup": shown(backups.get(backup_id)),
        "backups by word": rows(backups.list(search="etc")),
    }
    backups.restore({"backup_id": backup_id, "client": given["client_id"], "path": "/restored"})
    seen["restore"] = api.Job(request).list(json=True, search="/restored")
    backups.delete(backup_id)
    seen["backups left"] = rows(backups.list())
    return seen


def see_the_end(request: Thing, given: dict[str, Any]) -> dict[str, Any]:
    jobs = api.Job(request)
    jobs.delete(given["clone"])
    api.Action(request).delete(given["first"])
    return {"jobs at the end": rows(jobs.list())}


def configure(auth_url: str) -> None:
    kinds = ("recoverable", "not_found", "unauthorized")
    of_horizon = {name: value for name, value in vars(defaults).items() if name.isupper()}
    ours = {
        "OPENSTACK_KEYSTONE_URL": auth_url,
        "HORIZON_CONFIG": {"exceptions": dict.fromkeys(kinds, ())},
        "USE_TZ": True,
    }
    settings.configure(**of_horizon | ours)
    django.setup()


if __name__ == "__main__":
    given = json.load(sys.stdin)
    configure(given["auth_url"])
    from freezer_ui.api import api  # what it imports needs the settings

    request = request_of(given)
    pages: dict[str, Any] = {}
    for see in (see_clients, see_actions, see_jobs, see_sessions, see_backups, see_the_end):
        pages |= see(request, given)
    json.dump(pages, sys.stdout)
