"""Change who can open a sealed backup: new slots in its metadata, and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from freezer_agent.errors import RequestInvalid, WrongKey
from freezer_agent.pipeline.key_slots import (
    MOST_SLOTS,
    PassPhraseSlots,
    RecipientSlots,
    Slot,
    is_for,
    opens,
)
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.sealed_coding import check_digest, open_metadata, with_slots

Step = Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None]
"""From a backup's place and metadata to its new metadata; None if it is as wanted already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Openers:
    """Pass phrases and public keys whose slots come or go."""

    pass_phrases: tuple[bytes, ...] = field(default=(), repr=False)
    recipients: tuple[X25519PublicKey, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.pass_phrases or self.recipients)


class Rekeying:
    """Adds and removes slots of backups that `keys` open."""

    def __init__(
        self,
        *,
        keys: Keys,
        added: Openers,
        removed: Openers,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        # What an earlier run, which was interrupted, has changed already opens with the new ones.
        self._keys = Keys(
            pass_phrases=(*keys.pass_phrases, *added.pass_phrases),
            private_keys=keys.private_keys,
        )
        self._added = added
        self._removed = removed
        self._random_bytes = random_bytes

    def steps(self) -> list["Step"]:
        """What is to be done to all backups of a set, one step after the other.

        Keys come for all of them before any goes: however far a run got, there is a key that opens
        every level of every chain.
        """
        if not self._added or not self._removed:
            return [self.rekeyed]
        adding = Rekeying(
            keys=self._keys,
            added=self._added,
            removed=Openers(),
            random_bytes=self._random_bytes,
        )
        return [adding.rekeyed_if_there_is_room, self.rekeyed]

    def rekeyed_if_there_is_room(
        self, place: str, metadata: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """As `rekeyed`, but None if there would be too many slots."""
        try:
            return self.rekeyed(place, metadata)
        except RequestInvalid:
            return None

    def rekeyed(self, place: str, metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The metadata to store in place of the old; None if it has the wanted slots already.

        WrongKey and Damaged as for restoring. RequestInvalid if no slot would be left. That the
        result opens, if any of the keys at hand should open it, was tried when this returns.
        """
        slots = check_digest(metadata, place)
        try:
            data_key = open_metadata(metadata, place, self._keys)
        except WrongKey:
            # A run that was interrupted may have taken our key away: nothing is left to do here.
            if self._is_done(slots, place):
                return None
            raise
        kept = [slot for slot in slots if not self._is_removed(slot, place)]
        made = self._made(kept, data_key, place)
        if not made and len(kept) == len(slots):
            return None
        if not 0 < len(kept) + len(made) <= MOST_SLOTS:
            reason = (
                f"{place} would have {len(kept) + len(made)} keys that open it: it needs one, and "
                f"takes up to {MOST_SLOTS}"
            )
            raise RequestInvalid([reason])
        result = with_slots(metadata, [*kept, *made], data_key, place)
        if any(opens(slot, self._keys, place) for slot in kept) or self._added.pass_phrases:
            open_metadata(result, place, self._keys)
        return result

    def _is_done(self, slots: Sequence[Slot], place: str) -> bool:
        """Whether the slots are as wanted, of what can be told without opening one."""
        if self._added.pass_phrases or any(self._is_removed(slot, place) for slot in slots):
            return False
        return all(
            any(is_for(slot, recipient) for slot in slots) for recipient in self._added.recipients
        )

    def _is_removed(self, slot: Slot, place: str) -> bool:
        if any(is_for(slot, recipient) for recipient in self._removed.recipients):
            return True
        phrases = Keys(pass_phrases=self._removed.pass_phrases)
        return opens(slot, phrases, place) is not None

    def _made(self, kept: Sequence[Slot], data_key: bytes, place: str) -> list[Slot]:
        makers: list[PassPhraseSlots | RecipientSlots] = [
            PassPhraseSlots(pass_phrase, self._random_bytes)
            for pass_phrase in self._added.pass_phrases
            if not any(opens(slot, Keys(pass_phrases=(pass_phrase,)), place) for slot in kept)
        ]
        makers += [
            RecipientSlots(recipient, self._random_bytes)
            for recipient in self._added.recipients
            if not any(is_for(slot, recipient) for slot in kept)
        ]
        return [maker.make(data_key, place) for maker in makers]
