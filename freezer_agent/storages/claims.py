"""Who of several may create an object, on object stores that only put, list and delete.

Conditional writes are no answer alone: Swift looks for an object before it reads the new one, so
that several writers at once all pass, and some S3 services ignore the condition.

Everybody who wants to create an object first puts a claim, a small hidden object of a unique
name, then lists the claims. Who finds only the own one creates: whoever came later finds it and
does not. Of several who find each other the one with the first name waits for the others to give
up. It is as good as the store's listings: one that lags behind lets two pass.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from freezer_agent.errors import ObjectExists, StorageUnavailable

HIDDEN = ".freezer-incomplete-"

_ROUNDS = 50
_PAUSE_SECONDS = 0.2
# The writer of an older claim is gone: creating takes seconds.
_VALID = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim that a listing showed. The instants of one listing are of one clock."""

    name: str
    made_at: datetime


class Claims(Protocol):
    """Where claims are kept: beside the objects."""

    def put_claim(self, name: str) -> None:
        """Store a small object."""
        ...

    def claims(self, prefix: str) -> Iterable[Claim]:
        """Every claim whose name begins so."""
        ...

    def remove_claim(self, name: str) -> None:
        """Remove it; a missing one is fine."""
        ...


class Claimant(Protocol):
    """Who claims. Lets others on this host see that a claim is of a process that has ended."""

    token: str
    """A word for this process that may be part of a name."""

    def is_gone(self, token: str) -> bool:
        """Whether the process of another claim surely has ended."""
        ...


class Anybody:
    """A claimant that cannot tell."""

    token = "any"  # noqa: S105 - a word, no secret

    def is_gone(self, token: str) -> bool:
        """Never known."""
        del token
        return False


ANYBODY = Anybody()


def is_hidden(name: str) -> bool:
    """Whether the name is that of a claim, which no listing shows."""
    return name.rpartition("/")[2].startswith(HIDDEN)


def create_alone(
    claims: Claims,
    key: str,
    name: str,
    create: Callable[[], None],
    sleep: Callable[[float], None],
    *,
    claimant: Claimant = ANYBODY,
) -> None:
    """Call `create` while nobody else does for the same name; ObjectExists if somebody else may.

    `create` itself raises ObjectExists if the object is there.
    """
    folder, slash, last = name.rpartition("/")
    digest = hashlib.sha256(last.encode()).hexdigest()[:16]
    prefix = f"{folder}{slash}{HIDDEN}claim-{digest}-"
    mine = f"{prefix}{secrets.token_hex(8)}-{claimant.token}"
    claims.put_claim(mine)
    try:
        for _ in range(_ROUNDS):
            rivals = _rivals(claims, prefix, mine, claimant)
            if not rivals:
                create()
                return
            if min(rivals) < mine:
                raise ObjectExists(key)
            sleep(_PAUSE_SECONDS)
    finally:
        claims.remove_claim(mine)
    raise StorageUnavailable(f"cannot create {key!r}: another agent has been at it for too long")


def _rivals(claims: Claims, prefix: str, mine: str, claimant: Claimant) -> list[str]:
    found = {claim.name: claim.made_at for claim in claims.claims(prefix)}
    made_at = found.pop(mine, None)
    if made_at is None:
        raise StorageUnavailable("the storage does not list yet what it has stored")
    rivals = []
    for name, other_made_at in found.items():
        token = name.removeprefix(prefix).partition("-")[2]
        if made_at - other_made_at > _VALID or claimant.is_gone(token):
            claims.remove_claim(name)
        else:
            rivals.append(name)
    return rivals
