"""Delegations: the right of the central scheduler to act for a user."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freezer_api.errors import MissingCredential
from freezer_api.identity.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A trust that a user has given to the service."""

    trust_id: str
    trustor_user_id: str


class Trusts(Protocol):
    """Makes and withdraws delegations."""

    def delegate(self, context: Context, known: Sequence[Delegation]) -> Delegation:
        """A delegation of the caller for the project of the request.

        One of the `known` ones that still works and gives neither more nor fewer roles than a new
        one would, else a new one. Raises MissingCredential with what to do, and
        KeystoneUnavailable; then no new one was made.
        """
        ...

    def withdraw(self, context: Context, delegation: Delegation) -> None:
        """End the delegation as far as the caller or the service may; never raises."""
        ...


class NoTrusts:
    """Where nothing can be delegated: jobs that would need it are refused."""

    def delegate(self, context: Context, known: Sequence[Delegation]) -> Delegation:
        """Raise MissingCredential."""
        del known
        raise MissingCredential(
            f"The job runs in the central scheduler, which needs a trust of user {context.user_id}; "
            "this service cannot make trusts. Use a client of your own, or ask the operator"
        )

    def withdraw(self, context: Context, delegation: Delegation) -> None:
        """Nothing was delegated, so nothing is withdrawn."""
