"""The actions of a job: definitions that are stored as documents of their own as well.

A job holds a copy of each definition, so that schedulers read a job in one piece. `ActionService`
keeps the copies in step.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freezer_api.errors import DocumentExists, DocumentNotFound, RequestRefused
from freezer_api.identity.context import Context
from freezer_api.services.documents import own_scope, present
from freezer_api.store.base import Collection, DocumentStore
from freezer_model.errors import InvalidDocument

_ACTIONS = Collection.ACTIONS

DEFAULTS: dict[str, Any] = {"max_retries": 5, "max_retries_interval": 6, "mandatory": False}
"""What an action gets where it says nothing, as since the first releases."""

DEFINITION_KEYS = ("freezer_action", *DEFAULTS, "max_run_time")
"""What makes an action; other keys of a job's entry belong to the job alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Entries as a job stores them, and the action documents that are still to be written."""

    entries: list[dict[str, Any]]
    unwritten: list[dict[str, Any]] = field(default_factory=list)
    referred: set[str] = field(default_factory=set)
    """Ids of stored actions whose definitions were copied."""


class JobActions:
    """Finds and makes the definitions behind the entries of job_actions."""

    def __init__(self, store: DocumentStore, new_id: Callable[[], str]) -> None:
        self._store = store
        self._new_id = new_id

    def resolve(
        self,
        context: Context,
        entries: Sequence[Mapping[str, Any]],
        present_entries: Sequence[Mapping[str, Any]] = (),
    ) -> Resolved:
        """The entries with all ids and definitions; nothing is written yet.

        An entry without an id defines a new action. One with an id refers to a stored action, or
        to one that the job has already (`present_entries`), and may repeat its definition.
        Raises InvalidDocument for an entry that is neither, RequestRefused for an unknown id and
        for another definition.
        """
        held = {entry.get("action_id"): entry for entry in present_entries}
        resolved = Resolved(entries=[])
        for position, sent in enumerate(entries):
            entry = present(sent)
            action_id = entry.get("action_id")
            if action_id is None:
                if "freezer_action" not in entry:
                    raise InvalidDocument(
                        f"job_actions.{position}.freezer_action",
                        "is required where no action_id names a stored action",
                    )
                action_id = self._new_id()
                definition = definition_of(entry)
                resolved.unwritten.append(action_document(context, action_id, definition))
            else:
                stored = self._stored(context, action_id)
                definition = _definition(action_id, stored, held)
                if stored is not None:
                    resolved.referred.add(action_id)
                _require_same(f"job_actions.{position}", action_id, entry, definition)
            resolved.entries.append({**entry, **definition, "action_id": action_id})
        return resolved

    def write(self, resolved: Resolved) -> None:
        """Store the new actions."""
        for document in resolved.unwritten:
            try:
                self._store.insert(_ACTIONS, document["action_id"], document)
            except DocumentExists:
                # The ids are our own: an earlier try of the same request has written it.
                continue

    def refreshed(
        self, context: Context, job: Mapping[str, Any], action_ids: set[str]
    ) -> dict[str, Any] | None:
        """The job with these actions as they are stored now, without those that are gone.

        None if it has them so. Whoever changes or removes an action finds the jobs that have it by
        then; a job that is written a moment later has to look for itself.
        """
        entries = []
        for entry in job["job_actions"]:
            action_id = entry.get("action_id")
            if action_id not in action_ids:
                entries.append(entry)
                continue
            stored = self._stored(context, action_id)
            if stored is not None:
                entries.append(redefined(entry, stored))
        return None if entries == job["job_actions"] else {**job, "job_actions": entries}

    def _stored(self, context: Context, action_id: str) -> Mapping[str, Any] | None:
        try:
            return self._store.get(_ACTIONS, own_scope(context), action_id).document
        except DocumentNotFound:
            return None


def _definition(
    action_id: str, stored: Mapping[str, Any] | None, held: Mapping[Any, Mapping[str, Any]]
) -> dict[str, Any]:
    if stored is not None:
        return definition_of(stored)
    if action_id in held:
        return definition_of(held[action_id])
    raise RequestRefused(f"Action not found with ID {action_id}")


def redefined(entry: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    """A job's entry with the action's definition; what belongs to the job alone stays."""
    kept = {key: value for key, value in entry.items() if key not in DEFINITION_KEYS}
    return {**kept, **definition_of(action)}


def definition_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The definition in an action's document or in an entry, with the defaults."""
    given = present({key: document.get(key) for key in DEFINITION_KEYS})
    return {"freezer_action": {}, **DEFAULTS, **given}


def action_document(
    context: Context, action_id: str, definition: Mapping[str, Any]
) -> dict[str, Any]:
    """An action as the store keeps it."""
    return {
        **definition,
        "action_id": action_id,
        "user_id": context.user_id,
        "project_id": context.project_id,
    }


def _require_same(
    path: str, action_id: str, entry: Mapping[str, Any], definition: Mapping[str, Any]
) -> None:
    """Refuse an entry that repeats the definition wrongly; what it leaves out does not count."""
    for key in DEFINITION_KEYS:
        if key not in entry or entry[key] == {}:
            continue
        if _canonical(entry[key]) != _canonical(definition.get(key)):
            raise RequestRefused(
                f"{path}.{key}: differs from the stored action {action_id}. Change the action "
                "itself, or leave action_id out to make a new one"
            )


def _canonical(value: Any) -> str:
    """A text that is equal for equal JSON: types count, nulls inside objects do not."""
    return json.dumps(_without_nulls(value), sort_keys=True)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value
