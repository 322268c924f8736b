"""The coding of a sealed backup: one data key, a key of its own for each purpose, and the metadata.

The metadata object holds the key slots. It carries a digest of itself, which anybody can check and
which tells damage from a wrong key, and a tag (HMAC-SHA256) that only the data key makes: who can
write to the storage can replace a whole backup, but not make one metadata object out of others.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from freezer_agent.errors import Damaged, WrongKey
from freezer_agent.pipeline.chain import Pipeline, Stage
from freezer_agent.pipeline.coding import SEAL_FORMAT, Purpose
from freezer_agent.pipeline.key_slots import Slot, opens, parse_slots
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.sealing import KEY_BYTES, Cipher, Seal, derived
from freezer_agent.pipeline.self_digest import DIGEST, digest_of, written

_TAG, _SLOTS, _CIPHER = "metadata_tag", "key_slots", "cipher"
_STATE_KEY_ID = "state_key_id"


class SealedCoding:
    """The coding of the backup at `place` under `data_key`.

    `compressors` makes the stages before the seal of the stream. `slots` makes what the metadata
    gets, when that is completed. `keep_state_key`, for a run that could not open its own backup, keeps the key of the
    engine state on this node and returns the id to find it by.
    """

    format = SEAL_FORMAT
    authenticates = True

    def __init__(
        self,
        *,
        data_key: bytes,
        place: str,
        compressors: Callable[[], Sequence[Stage]],
        cipher: Cipher,
        random_bytes: Callable[[int], bytes],
        slots: Callable[[], Sequence[Slot]] = tuple,
        keep_state_key: Callable[[bytes], str] | None = None,
    ) -> None:
        self._data_key = data_key
        self._place = place
        self._compressors = compressors
        self._cipher = cipher
        self._random_bytes = random_bytes
        self._slots = slots
        self._keep_state_key = keep_state_key

    def pipeline(self, purpose: Purpose) -> Pipeline:
        """Compress the stream, and seal whatever it is."""
        seal = Seal(
            key=purpose_key(self._data_key, purpose, self._place),
            cipher=self._cipher,
            random_bytes=self._random_bytes,
            what=f"{self._place}/{purpose}",
        )
        compressors = self._compressors() if purpose is Purpose.DATA else ()
        return Pipeline([*compressors, seal])

    def completed(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The metadata with slots, tag and digest; keeps the key of the state if it is to."""
        document = {
            **metadata,
            "encryption": True,
            "encryption_format": SEAL_FORMAT,
            _CIPHER: str(self._cipher),
            _SLOTS: list(self._slots()),
        }
        if self._keep_state_key is not None:
            key = purpose_key(self._data_key, Purpose.STATE, self._place)
            document[_STATE_KEY_ID] = self._keep_state_key(key)
        return _authenticated(document, self._data_key, self._place)


def new_data_key(random_bytes: Callable[[int], bytes]) -> bytes:
    """The key of one backup, from which all its other keys are drawn."""
    return random_bytes(KEY_BYTES)


def purpose_key(data_key: bytes, purpose: str, place: str) -> bytes:
    """The key for one purpose in one backup; none tells anything of another."""
    bound = place.encode("utf-8", "surrogateescape")
    return derived(data_key, info=f"{SEAL_FORMAT} {purpose}".encode() + b"\0" + bound)


def open_metadata(metadata: Mapping[str, Any], place: str, keys: Keys) -> bytes:
    """The data key of a sealed backup, after its metadata was found to be what was written.

    Damaged if it was altered by accident (told without a key) or on purpose, or belongs to another
    backup; WrongKey if no key opens a slot.
    """
    slots = check_digest(metadata, place)
    # The slots of public keys first: trying one costs nothing, a pass phrase takes a third of a
    # second.
    for slot in sorted(slots, key=lambda one: one.get("type") == "scrypt"):
        if data_key := opens(slot, keys, place):
            break
    else:
        raise WrongKey(_no_key(slots, keys, place))
    tag = _tag(metadata, data_key, place)
    if not hmac.compare_digest(str(metadata.get(_TAG)).encode(errors="replace"), tag.encode()):
        raise Damaged(
            f"the metadata of {place} is not what the agent wrote; "
            "restore from another copy or date"
        )
    return data_key


def check_digest(metadata: Mapping[str, Any], place: str) -> Sequence[Slot]:
    """The slots of a metadata object that carries its right digest. Damaged otherwise.

    Needs no key: it finds accidents, not forgeries.
    """
    if metadata.get(DIGEST) != digest_of(metadata):
        raise Damaged(f"the metadata of {place} is damaged; restore from another copy or date")
    try:
        return parse_slots(metadata.get(_SLOTS))
    except Damaged as error:
        raise Damaged(f"the metadata of {place} is no agent's work: {error}") from error


def state_key_id(metadata: Mapping[str, Any]) -> str | None:
    """Under which id the node that made the backup keeps the key of its engine state."""
    found = metadata.get(_STATE_KEY_ID)
    return found if isinstance(found, str) else None


def sealed_state(key: bytes, place: str) -> Pipeline:
    """The pipeline that opens an engine state with the key that was kept for it."""
    cipher = Cipher.AES_256_GCM  # for opening, the object's own header tells

    def no_bytes(_size_bytes: int) -> bytes:
        raise AssertionError("a kept key opens what is stored and seals nothing")

    what = f"{place}/{Purpose.STATE}"
    return Pipeline([Seal(key=key, cipher=cipher, random_bytes=no_bytes, what=what)])


def cipher_of(metadata: Mapping[str, Any]) -> Cipher:
    """What the backup is sealed with, for what it will write. The objects themselves tell, too."""
    try:
        return Cipher(metadata.get(_CIPHER, ""))
    except ValueError as error:
        raise Damaged("the metadata names a cipher that no release uses") from error


def with_slots(
    metadata: Mapping[str, Any], slots: Iterable[Slot], data_key: bytes, place: str
) -> dict[str, Any]:
    """The same metadata with other slots, under tag and digest again."""
    return _authenticated({**metadata, _SLOTS: list(slots)}, data_key, place)


def _authenticated(document: Mapping[str, Any], data_key: bytes, place: str) -> dict[str, Any]:
    tagged = {**document, _TAG: _tag(document, data_key, place)}
    return {**tagged, DIGEST: digest_of(tagged)}


def _tag(document: Mapping[str, Any], data_key: bytes, place: str) -> str:
    content = written(document, {_TAG, DIGEST})
    return hmac.new(purpose_key(data_key, "metadata", place), content, hashlib.sha256).hexdigest()


def _no_key(slots: Sequence[Slot], keys: Keys, place: str) -> str:
    if not keys.pass_phrases and not keys.private_keys:
        return (
            f"Cannot restore encrypted backup without key: {place} needs --encrypt-pass-file or "
            "--decrypt-key-file"
        )
    kinds = {"scrypt": "a pass phrase", "x25519": "a private key"}
    openers = sorted({kinds.get(str(slot.get("type")), "another release") for slot in slots})
    return (
        f"no key that was given opens {place}: it opens with {' or '.join(openers)}; give the "
        "right --encrypt-pass-file or --decrypt-key-file"
    )
