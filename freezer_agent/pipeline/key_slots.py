"""Key slots: the data key of a backup, wrapped once for everything that may open it.

A slot is a small JSON object of the metadata. Adding and removing slots changes who can open the
backup and touches nothing else of it.
"""

import base64
import binascii
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from freezer_agent.errors import Damaged
from freezer_agent.pipeline.ahead import begun
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.sealing import KEY_BYTES, derived

MOST_SLOTS = 16

_LABEL = b"freezer-seal-1 "
_SALT_BYTES = 16
_WRAPPED_BYTES = KEY_BYTES + 16
# Every slot is wrapped under a key that is made for it alone, so one nonce will do.
_NONCE = bytes(12)

# 32 MiB and about a third of a second: as strong as OWASP asks for (2^17, 8, 1 needs 128 MiB, all
# that the agent may take) because it runs three times.
_LOG_N, _R, _P = 15, 8, 3
# What a hostile slot can cost at most: 128 MiB and some seconds, and so many times; a restore opens
# two levels at once.
_LARGEST_LOG_N, _LARGEST_R, _LARGEST_P = 17, 16, 8
_LARGEST_MEMORY = 128 << 20

Slot = Mapping[str, Any]


class SlotMaker(Protocol):
    """Makes a slot for one way to open a backup."""

    def prepare(self) -> None:
        """Begin with what takes long of the next slot; harmless if it is never made."""
        ...

    def make(self, data_key: bytes, place: str) -> dict[str, Any]:
        """The data key of the backup at `place`, wrapped anew."""
        ...


class PassPhraseSlots:
    """Slots that a pass phrase opens, by way of scrypt."""

    kind = "scrypt"

    def __init__(self, pass_phrase: bytes, random_bytes: Callable[[int], bytes]) -> None:
        self._pass_phrase = pass_phrase
        self._random_bytes = random_bytes
        self._prepared: Callable[[], _Stretched] | None = None

    def prepare(self) -> None:
        """Stretch the pass phrase in a thread."""
        self._prepared = begun(self._stretch)

    def make(self, data_key: bytes, place: str) -> dict[str, Any]:
        """Wrap under the pass phrase and a fresh salt."""
        prepared, self._prepared = self._prepared, None
        done = self._stretch() if prepared is None else prepared()
        wrapped = _wrap(done.key, data_key, self.kind, place)
        return {**done.slot, "wrapped_key": _text(wrapped)}

    def _stretch(self) -> "_Stretched":
        slot = {
            "type": self.kind,
            "salt": _text(self._random_bytes(_SALT_BYTES)),
            "log_n": _LOG_N,
            "r": _R,
            "p": _P,
        }
        return _Stretched(slot=slot, key=_stretched(self._pass_phrase, slot))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretched:
    """A slot without what it wraps, and the key to wrap it with."""

    slot: Slot
    key: bytes


class RecipientSlots:
    """Slots that the owner of an X25519 key opens; who makes them cannot."""

    kind = "x25519"

    def __init__(self, recipient: X25519PublicKey, random_bytes: Callable[[int], bytes]) -> None:
        self._recipient = recipient
        self._random_bytes = random_bytes

    def prepare(self) -> None:
        """Nothing takes long."""

    def make(self, data_key: bytes, place: str) -> dict[str, Any]:
        """Wrap under a secret that is agreed on with a fresh key pair."""
        ephemeral = X25519PrivateKey.from_private_bytes(self._random_bytes(KEY_BYTES))
        ours, theirs = (
            ephemeral.public_key().public_bytes_raw(),
            self._recipient.public_bytes_raw(),
        )
        key = _agreed(ephemeral.exchange(self._recipient), ours, theirs)
        return {
            "type": self.kind,
            "recipient": _text(theirs),
            "ephemeral": _text(ours),
            "wrapped_key": _text(_wrap(key, data_key, self.kind, place)),
        }


def parse_slots(value: Any) -> Sequence[Slot]:
    """The slots of a metadata object. Damaged if they cannot be ones that any agent wrote.

    Slots of a kind that this release does not know are kept as they are; nothing here opens them.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST_SLOTS:
        raise Damaged(f"the key slots are no list of 1 to {MOST_SLOTS}")
    for slot in value:
        if not isinstance(slot, dict):
            raise Damaged("a key slot is no JSON object")
        if slot.get("type") == PassPhraseSlots.kind:
            _check_cost(slot)
    return value


def opens(slot: Slot, keys: Keys, place: str) -> bytes | None:
    """The data key, if one of the keys opens the slot."""
    if slot.get("type") == RecipientSlots.kind:
        wrapping = [_secret_of(private, slot) for private in keys.private_keys]
    elif slot.get("type") == PassPhraseSlots.kind:
        wrapping = [_stretched(pass_phrase, slot) for pass_phrase in keys.pass_phrases]
    else:
        return None
    wrapped = _bytes(slot, "wrapped_key", _WRAPPED_BYTES)
    for key in wrapping:
        if key is not None and (data_key := _unwrap(key, wrapped, slot["type"], place)):
            return data_key
    return None


def is_for(slot: Slot, recipient: X25519PublicKey) -> bool:
    """Whether the slot is one of that public key."""
    return slot.get("type") == RecipientSlots.kind and slot.get("recipient") == _text(
        recipient.public_bytes_raw()
    )


def _check_cost(slot: Slot) -> None:
    log_n, r, p = slot.get("log_n"), slot.get("r"), slot.get("p")
    limits = ((log_n, _LARGEST_LOG_N), (r, _LARGEST_R), (p, _LARGEST_P))
    if any(type(value) is not int or not 1 <= value <= limit for value, limit in limits):
        raise Damaged("a key slot asks for more work than any agent does")
    if 128 * (1 << slot["log_n"]) * slot["r"] > _LARGEST_MEMORY:
        raise Damaged("a key slot asks for more memory than any agent takes")


def _stretched(pass_phrase: bytes, slot: Slot) -> bytes:
    salt = _bytes(slot, "salt", _SALT_BYTES)
    return _scrypt(pass_phrase, salt, slot["log_n"], slot["r"], slot["p"])


# Changing slots tries the same pass phrase on the same slot several times.
@functools.lru_cache(maxsize=MOST_SLOTS)
def _scrypt(pass_phrase: bytes, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    n = 1 << log_n
    # What the algorithm needs, and its small change.
    memory = 128 * n * r + 128 * r * p + (1 << 20)
    return hashlib.scrypt(pass_phrase, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=KEY_BYTES)


def _secret_of(private: X25519PrivateKey, slot: Slot) -> bytes | None:
    """What the slot is wrapped under, if it is meant for this key."""
    theirs = private.public_key().public_bytes_raw()
    if _bytes(slot, "recipient", KEY_BYTES) != theirs:
        return None
    ephemeral = _bytes(slot, "ephemeral", KEY_BYTES)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    except ValueError:
        raise Damaged("a key slot has a public key that agrees on nothing") from None
    return _agreed(shared, ephemeral, theirs)


def _agreed(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return derived(shared, salt=ephemeral + recipient, info=_LABEL + b"x25519")


def _wrap(key: bytes, data_key: bytes, kind: str, place: str) -> bytes:
    return AESGCM(key).encrypt(_NONCE, data_key, _bound(kind, place))


def _unwrap(key: bytes, wrapped: bytes, kind: str, place: str) -> bytes | None:
    try:
        return AESGCM(key).decrypt(_NONCE, wrapped, _bound(kind, place))
    except InvalidTag:
        return None


def _bound(kind: str, place: str) -> bytes:
    return _LABEL + kind.encode() + b"\0" + place.encode("utf-8", "surrogateescape")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _bytes(slot: Slot, name: str, size_bytes: int) -> bytes:
    try:
        content = base64.b64decode(slot.get(name, ""), validate=True)
    except (TypeError, ValueError, binascii.Error):
        content = b""
    if len(content) != size_bytes:
        raise Damaged(f"a key slot has no sound {name}")
    return content
