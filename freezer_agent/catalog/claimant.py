"""This process as one who claims objects of a store, known to others on the same host."""

import hashlib

from freezer_agent.catalog.lock import Owner


class ProcessClaimant:
    """A claimant whose token tells host, boot, process number and start of the process.

    So the next run on the same host sees at once that the claim of a killed one means nothing;
    other hosts have to wait until it is old.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._realm, _, start = owner.life.rpartition("/")
        place = f"{owner.host}\0{self._realm}".encode("utf-8", "surrogateescape")
        self._place = hashlib.sha256(place).hexdigest()[:16]
        self.token = f"{self._place}-{owner.pid}-{start}"

    def is_gone(self, token: str) -> bool:
        """Whether that process was one of this host and has ended."""
        parts = token.split("-")
        if len(parts) != 3 or parts[0] != self._place or not parts[1].isdecimal():
            return False
        other = Owner(host=self._owner.host, pid=int(parts[1]), life=f"{self._realm}/{parts[2]}")
        return other.is_gone(self._owner.host)
