"""Job documents: how a body becomes one, and how a body changes one. Pure.

A job_schedule has two halves: when to run (schedule_*), and how it goes (everything else).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from freezer_api.identity.context import Context
from freezer_api.services.documents import present
from freezer_model.errors import InvalidDocument
from freezer_model.instants import NO_INSTANT
from freezer_model.job import RUNTIME_KEYS, JobResult, JobState
from freezer_model.schedule import CRON_KEYS, SCHEDULE_KEYS, Schedule

Entries = Sequence[Mapping[str, Any]]

_KINDS: tuple[tuple[str, ...], ...] = (("schedule_date",), ("schedule_interval",), CRON_KEYS)
"""The keys that make a schedule one of a kind. A job has one kind."""

_EDITED = ("client_id", "description", "job_actions")
_SCHEDULERS_OWN = (
    "event",
    "time_created",
    "time_started",
    "time_ended",
    "time_succeeded",
    "current_pid",
)
_SERVERS_OWN = ("time_created", "time_succeeded")
_CLEARED_BY_NULL = ("exit_code", "error", "current_pid")


def new_job(
    context: Context, job_id: str, body: Mapping[str, Any], entries: Entries, now: int
) -> dict[str, Any]:
    """A new job's document. Raises InvalidDocument for a broken schedule."""
    given = present(body)
    timing = given.get("job_schedule", {})
    state = {
        **present({key: timing.get(key) for key in RUNTIME_KEYS}),
        "time_created": now,
        "time_started": NO_INSTANT,
        "time_ended": NO_INSTANT,
        "time_succeeded": NO_INSTANT,
    }
    return {
        "job_id": job_id,
        "project_id": context.project_id,
        "user_id": context.user_id,
        "client_id": given["client_id"],
        "description": given.get("description", ""),
        "session_id": given.get("session_id", ""),
        "session_tag": given.get("session_tag", 0),
        "job_schedule": _schedule(timing, state),
        "job_actions": [dict(entry) for entry in entries],
    }


def replaced_job(
    stored: Mapping[str, Any], body: Mapping[str, Any], entries: Entries
) -> dict[str, Any]:
    """The document after somebody posted a new one on its id.

    What the job does and when is the body's. Who made it, its session, and what its scheduler
    keeps of it stay: an edited job neither loses an event nor forgets how its last run went.
    """
    given = present(body)
    timing = given.get("job_schedule", {})
    return {
        **stored,
        "client_id": given["client_id"],
        "description": given.get("description", ""),
        "session_id": given.get("session_id", stored["session_id"]),
        "session_tag": given.get("session_tag", stored["session_tag"]),
        "job_schedule": _schedule(timing, _edited_state(stored["job_schedule"], timing)),
        "job_actions": [dict(entry) for entry in entries],
    }


def patched_job(
    stored: Mapping[str, Any], body: Mapping[str, Any], entries: Entries | None
) -> dict[str, Any]:
    """The document after a PATCH; `entries` are the new actions, None to keep the old.

    job_schedule is merged key by key: null or "" takes a schedule_* key away, and a key of another
    kind of schedule replaces the kind. A body that edits the job (client, description, actions)
    leaves alone what is its scheduler's, since it may have been fetched long ago.
    """
    given = present(body)
    plain = ("client_id", "description", "session_id", "session_tag")
    changed: dict[str, Any] = {**stored, **{key: given[key] for key in plain if key in given}}
    timing = given.get("job_schedule")
    if timing is not None:
        before = stored["job_schedule"]
        editing = any(key in given for key in _EDITED)
        state = _edited_state(before, timing) if editing else _reported_state(before, timing)
        changed["job_schedule"] = _rescheduled(before, timing, state)
    if entries is not None:
        changed["job_actions"] = [dict(entry) for entry in entries]
    return changed


def with_defaults(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with `action_defaults` put into every action that leaves them open."""
    defaults = body.get("action_defaults")
    if defaults is None or defaults == {}:
        return dict(body)
    if not isinstance(defaults, Mapping):
        raise InvalidDocument("action_defaults", "must be an object")
    entries = body.get("job_actions")
    if not isinstance(entries, list):
        raise InvalidDocument("job_actions", "is required beside action_defaults")
    filled = [_filled(entry, defaults) for entry in entries]
    changes: dict[str, Any] = {"job_actions": filled, "action_defaults": None}
    return {**body, **changes}


def _filled(entry: Any, defaults: Mapping[str, Any]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    action = entry.get("freezer_action", {})
    if not isinstance(action, Mapping):
        return entry
    filled: dict[str, Any] = {**defaults, **present(action)}
    return {**entry, "freezer_action": filled}


def _schedule(timing: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """A whole job_schedule, checked."""
    when = {key: timing[key] for key in SCHEDULE_KEYS if timing.get(key) not in (None, "")}
    Schedule.from_document(when)
    return {**when, **JobState.from_document(state).to_document()}


def _rescheduled(
    before: Mapping[str, Any], timing: Mapping[str, Any], state: Mapping[str, Any]
) -> dict[str, Any]:
    """The job_schedule after a PATCH with `timing`.

    A schedule that stays as it is passes unchecked: that it is broken may be what is reported.
    """
    unchanged = {key: before[key] for key in SCHEDULE_KEYS if key in before}
    merged = _merged_timing(before, timing)
    if merged == unchanged:
        return {**unchanged, **JobState.from_document(state).to_document()}
    return _schedule(merged, state)


def _edited_state(before: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: before[key] for key in RUNTIME_KEYS if key in before}
    given = present({key: timing.get(key) for key in RUNTIME_KEYS if key not in _SCHEDULERS_OWN})
    return {**kept, **given}


def _reported_state(before: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    state = {key: before[key] for key in RUNTIME_KEYS if key in before}
    for key in RUNTIME_KEYS:
        if key not in timing or key in _SERVERS_OWN:
            continue
        if timing[key] is not None or key in _CLEARED_BY_NULL:
            state[key] = timing[key]
    if timing.get("result") == JobResult.SUCCESS and state.get("time_ended", NO_INSTANT) > 0:
        state["time_succeeded"] = state["time_ended"]
    return state


def _merged_timing(before: Mapping[str, Any], timing: Mapping[str, Any]) -> dict[str, Any]:
    merged = {key: before[key] for key in SCHEDULE_KEYS if key in before}
    given = [kind for kind in _KINDS if any(timing.get(key) for key in kind)]
    if given:
        for kind in _KINDS:
            if kind not in given:
                for key in kind:
                    merged.pop(key, None)
    merged.update({key: timing[key] for key in SCHEDULE_KEYS if key in timing})
    return merged
