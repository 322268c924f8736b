"""Which jobs get a delegation of their user, which share one, and when it ends.

A delegation lives as long as a job of the store names it. Jobs of one user in one project share
one. The last of them may be removed while the next is being made: see `insert`.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from freezer_api.errors import ApiError, DocumentNotFound, StoreUnavailable
from freezer_api.identity.context import Context
from freezer_api.identity.trusts import Delegation, Trusts
from freezer_api.services.changes import Changes
from freezer_api.services.documents import own_scope
from freezer_api.store.base import (
    EVERYWHERE,
    Collection,
    DocumentStore,
    Page,
    Query,
    Scope,
    Stored,
)

log = logging.getLogger(__name__)

CREDENTIALS = "user_credentials"
"""The field of a job that names its delegation. No caller can write it."""

_JOBS = Collection.JOBS
_PAGE = 100
_MOST_LOOKED_AT = 10
"""Delegations of one user that are tried before a new one is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationRule:
    """Which jobs need a delegation of their user."""

    for_central_clients: bool
    for_all_clients: bool

    def applies(self, client: Mapping[str, Any]) -> bool:
        """Whether a job of this client needs one."""
        central = bool(client["client"].get("is_central"))
        return self.for_central_clients and (central or self.for_all_clients)


class Delegations:
    """Gives delegations to new jobs and takes back those that no job needs."""

    def __init__(
        self, *, store: DocumentStore, changes: Changes, trusts: Trusts, rule: DelegationRule
    ) -> None:
        self._store = store
        self._changes = changes
        self._trusts = trusts
        self._rule = rule

    def insert(
        self, context: Context, client: Mapping[str, Any], document: Mapping[str, Any]
    ) -> Stored:
        """Store a new job of this client, with a delegation of the caller if it needs one.

        Raises MissingCredential and what the store raises; then no new delegation stays.
        """
        if not self._rule.applies(client):
            return self._store.insert(_JOBS, document["job_id"], dict(document))
        sharers = self._sharers(context)
        delegation = self._trusts.delegate(context, [found for found, _ in sharers])
        job = {**document, CREDENTIALS: asdict(delegation)}
        try:
            stored = self._store.insert(_JOBS, job["job_id"], job)
        except ApiError:
            self.withdraw_unused(context, job)
            raise
        shared_with = dict(sharers).get(delegation)
        if shared_with is None or self._is_there(context, shared_with):
            return stored
        # Whoever removed that job may have looked for others before ours was there.
        return self._renewed(context, stored)

    def withdraw_unused(self, context: Context, job: Mapping[str, Any]) -> None:
        """End the delegation of a job that is gone, unless another job has it too. Never raises."""
        delegation = _of(job)
        if delegation is None:
            return
        query = Query(match=((f"{CREDENTIALS}.trust_id", delegation.trust_id),))
        try:
            wanted = next(self._holders(EVERYWHERE, query, lambda it: it == delegation), None)
        except StoreUnavailable as error:
            log.warning("Trust %s may be left behind: %s", delegation.trust_id, error)
            return
        if wanted is None:
            self._trusts.withdraw(context, delegation)

    def _renewed(self, context: Context, stored: Stored) -> Stored:
        try:
            fresh = asdict(self._trusts.delegate(context, []))
        except ApiError:
            self._store.delete(_JOBS, own_scope(context), stored.document_id)
            raise
        renewed = self._changes.apply(
            _JOBS, own_scope(context), stored.document_id, lambda job: {**job, CREDENTIALS: fresh}
        )
        self.withdraw_unused(context, stored.document)
        return renewed

    def _sharers(self, context: Context) -> list[tuple[Delegation, str]]:
        """The caller's delegations for the project, each with the id of a job that has it."""
        query = Query(match=((f"{CREDENTIALS}.trustor_user_id", context.user_id),))
        found: dict[Delegation, str] = {}
        for job in self._holders(
            own_scope(context), query, lambda it: it.trustor_user_id == context.user_id
        ):
            delegation = _of(job.document)
            if delegation is not None:
                found.setdefault(delegation, job.document_id)
            if len(found) == _MOST_LOOKED_AT:
                break
        return list(found.items())

    def _holders(
        self, scope: Scope, query: Query, accepts: Callable[[Delegation], bool]
    ) -> Iterator[Stored]:
        """The jobs whose delegation is accepted: a search also finds what only looks like one."""
        offset = 0
        while True:
            page = self._store.search(_JOBS, scope, query, Page(limit=_PAGE, offset=offset))
            for job in page:
                delegation = _of(job.document)
                if delegation is not None and accepts(delegation):
                    yield job
            if len(page) < _PAGE:
                return
            offset += len(page)

    def _is_there(self, context: Context, job_id: str) -> bool:
        try:
            self._store.get(_JOBS, own_scope(context), job_id)
        except DocumentNotFound:
            return False
        return True


def _of(job: Mapping[str, Any]) -> Delegation | None:
    credentials = job.get(CREDENTIALS)
    if not credentials or not credentials.get("trust_id"):
        return None
    return Delegation(
        trust_id=credentials["trust_id"], trustor_user_id=credentials.get("trustor_user_id", "")
    )
