"""Several storages that lose patience with one of them at once."""

import dataclasses
from collections.abc import Sequence

from freezer_agent.storages.lanes import Lane, LaneLimits
from freezer_agent.storages.member import Member
from freezer_agent.storages.mirrored import Mirrored


class HastyMirror(Mirrored):
    """Loses patience with one member at once, and with the others as the limits say.

    A thread may wait long for a busy machine: only who surely stands still may be called stalled.
    """

    def __init__(self, members: Sequence[Member], limits: LaneLimits, impatient_with: str) -> None:
        super().__init__(members, limits)
        self._impatient_with = impatient_with

    def _lane(self, member: Member, key: str) -> Lane:
        lane = super()._lane(member, key)
        if member.name == self._impatient_with:
            lane.limits = dataclasses.replace(lane.limits, stalled_seconds=0.05)
        return lane
