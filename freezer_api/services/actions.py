"""What can be done with actions; the jobs that use one follow its changes."""

from collections.abc import Callable, Mapping
from typing import Any

from freezer_api.errors import DocumentNotFound
from freezer_api.identity.context import Context
from freezer_api.services.changes import Changes
from freezer_api.services.documents import check_id, own_scope, present
from freezer_api.services.job_actions import action_document, definition_of, redefined
from freezer_api.services.search import query_from
from freezer_api.services.tags import ANYTHING, Expected
from freezer_api.store.base import Collection, DocumentStore, Found, Page, Query, Scope, Stored

_ACTIONS, _JOBS = Collection.ACTIONS, Collection.JOBS
_MADE_BY_SERVER = frozenset({"action_id", "user_id", "project_id", "version", "_version"})


class ActionService:
    """Actions of a project."""

    def __init__(
        self, *, store: DocumentStore, changes: Changes, new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._changes = changes
        self._new_id = new_id

    def create(self, context: Context, body: Mapping[str, Any]) -> str:
        """A new action, under its own id if it names one. Raises DocumentExists."""
        own_id = body.get("action_id")
        action_id = self._new_id() if own_id is None else check_id("action_id", own_id)
        self._store.insert(_ACTIONS, action_id, _new_action(context, action_id, body))
        return action_id

    def get(self, context: Context, action_id: str) -> Stored:
        """One action. Raises DocumentNotFound."""
        return self._store.get(_ACTIONS, own_scope(context), action_id)

    def search(self, context: Context, criteria: dict[str, Any], page: Page) -> Found:
        """Those that the criteria want. Raises InvalidDocument."""
        return self._store.find(_ACTIONS, own_scope(context), query_from(criteria), page)

    def replace(
        self,
        context: Context,
        action_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The action under this id, new or replaced. Raises DocumentExists for a foreign id."""
        check_id("action_id", action_id)
        scope = own_scope(context)
        fresh = _new_action(context, action_id, body)
        stored = self._changes.apply_or_insert(
            _ACTIONS,
            scope,
            action_id,
            lambda before: {**fresh, "user_id": before["user_id"]},
            fresh,
            expected=expected,
        )
        self._follow_definition(scope, action_id)
        return stored

    def update(
        self,
        context: Context,
        action_id: str,
        body: Mapping[str, Any],
        expected: Expected = ANYTHING,
    ) -> Stored:
        """The action with the body merged into it, deeply. Raises DocumentNotFound."""
        given = {
            key: value
            for key, value in body.items()
            if key not in _MADE_BY_SERVER and value is not None
        }
        scope = own_scope(context)
        stored = self._changes.apply(
            _ACTIONS, scope, action_id, lambda before: _merged(before, given), expected
        )
        self._follow_definition(scope, action_id)
        return stored

    def delete(self, context: Context, action_id: str, expected: Expected = ANYTHING) -> None:
        """Remove the action, from the project's jobs too. Raises DocumentNotFound."""
        scope = own_scope(context)
        expected.check(self._store.get(_ACTIONS, scope, action_id))
        self._follow(scope, action_id, lambda _entry: None)
        self._changes.remove(_ACTIONS, scope, action_id, expected)
        # A job may have been made with it meanwhile.
        self._follow(scope, action_id, lambda _entry: None)

    def _follow_definition(self, scope: Scope, action_id: str) -> None:
        # The definition is read anew for each try: of two changes at the same time, the jobs
        # end with the later one whichever call reaches them last.
        def change(entry: Mapping[str, Any]) -> dict[str, Any]:
            return redefined(entry, self._store.get(_ACTIONS, scope, action_id).document)

        self._follow(scope, action_id, change)

    def _follow(
        self,
        scope: Scope,
        action_id: str,
        change: Callable[[Mapping[str, Any]], dict[str, Any] | None],
    ) -> None:
        """Change the action's entry in each job that has it; None takes the entry away."""

        def change_job(job: dict[str, Any]) -> dict[str, Any] | None:
            entries = []
            for entry in job["job_actions"]:
                changed = change(entry) if entry.get("action_id") == action_id else entry
                if changed is not None:
                    entries.append(changed)
            return None if entries == job["job_actions"] else job | {"job_actions": entries}

        for job_id in self._changes.ids_of(_JOBS, scope, Query(match=(("action_id", action_id),))):
            try:
                self._changes.apply(_JOBS, scope, job_id, change_job)
            except DocumentNotFound:
                continue


def _new_action(context: Context, action_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
    extra = {key: value for key, value in present(body).items() if key not in _MADE_BY_SERVER}
    return action_document(context, action_id, {**extra, **definition_of(body)})


def _merged(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Objects merge key by key at every depth; null is a value like others."""
    merged = dict(stored)
    for key, value in given.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(before, value)
        else:
            merged[key] = value
    return merged
