"""Key slots of a sealed backup: which come, which go, and what a run that dies leaves."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from freezer_agent.actions.rekey import RekeyAction
from freezer_agent.catalog.backup import Backup, BackupId, BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.errors import RequestInvalid, StorageUnavailable, WrongKey
from freezer_agent.pipeline.key_slots import MOST_SLOTS, PassPhraseSlots, RecipientSlots
from freezer_agent.pipeline.keys import Keys
from freezer_agent.pipeline.rekeying import Openers, Rekeying
from freezer_agent.pipeline.sealed_coding import SealedCoding, open_metadata
from freezer_agent.pipeline.sealing import Cipher
from freezer_agent.requests import Encryption, RekeyRequest, SetName
from freezer_agent.storage_choices import LocalStorage
from freezer_agent.storages.memory import Memory
from freezer_model.clock import utc_now
from freezer_model.instants import from_epoch

PLACE = "tar/host_name/1/0_1"
DATA_KEY = bytes(range(32))
NAME = BackupName(host="host", name="name")
OWNER, HEIR = (X25519PrivateKey.from_private_bytes(bytes([n] * 32)) for n in (1, 2))


def document(*makers: Any, place: str = PLACE) -> dict[str, Any]:
    """The metadata of a backup that the makers' keys open."""
    return SealedCoding(
        data_key=DATA_KEY,
        place=place,
        compressors=list,
        cipher=Cipher.AES_256_GCM,
        random_bytes=os.urandom,
        slots=lambda: [maker.make(DATA_KEY, place) for maker in makers],
    ).completed({"engine_name": "tar"})


def phrase(text: bytes) -> PassPhraseSlots:
    return PassPhraseSlots(text, os.urandom)


def recipient(key: X25519PrivateKey) -> RecipientSlots:
    return RecipientSlots(key.public_key(), os.urandom)


def rekeying(keys: Keys, added: Openers | None = None, removed: Openers | None = None) -> Rekeying:
    return Rekeying(
        keys=keys, added=added or Openers(), removed=removed or Openers(), random_bytes=os.urandom
    )


def of(*keys: X25519PrivateKey) -> Openers:
    return Openers(recipients=tuple(key.public_key() for key in keys))


def private(*keys: X25519PrivateKey) -> Keys:
    return Keys(private_keys=keys)


def test_a_key_is_added_and_opens() -> None:
    changed = rekeying(private(OWNER), added=of(HEIR)).rekeyed(PLACE, document(recipient(OWNER)))
    assert changed is not None
    assert open_metadata(changed, PLACE, private(HEIR)) == DATA_KEY
    assert open_metadata(changed, PLACE, private(OWNER)) == DATA_KEY


def test_a_key_is_removed_and_opens_no_more() -> None:
    before = document(recipient(OWNER), recipient(HEIR), phrase(b"old"))
    removed = Openers(pass_phrases=(b"old",), recipients=(HEIR.public_key(),))
    changed = rekeying(private(OWNER), removed=removed).rekeyed(PLACE, before)
    assert changed is not None
    assert len(changed["key_slots"]) == 1
    for keys in (private(HEIR), Keys(pass_phrases=(b"old",))):
        with pytest.raises(WrongKey):
            open_metadata(changed, PLACE, keys)


def test_what_is_there_already_is_not_added_again() -> None:
    before = document(recipient(OWNER), phrase(b"old"))
    added = Openers(pass_phrases=(b"old",), recipients=(OWNER.public_key(),))
    assert rekeying(private(OWNER), added=added).rekeyed(PLACE, before) is None


def test_the_other_words_of_the_metadata_stay() -> None:
    before = document(recipient(OWNER))
    changed = rekeying(private(OWNER), added=of(HEIR)).rekeyed(PLACE, before)
    assert changed is not None
    ours = {"key_slots", "metadata_tag", "metadata_sha256"}
    assert {key: changed[key] for key in before if key not in ours} == {
        key: before[key] for key in before if key not in ours
    }


def test_the_last_slot_cannot_be_removed() -> None:
    with pytest.raises(RequestInvalid, match="needs one"):
        rekeying(private(OWNER), removed=of(OWNER)).rekeyed(PLACE, document(recipient(OWNER)))


def test_there_is_room_for_so_many_slots_only() -> None:
    before = document(*(recipient(OWNER) for _ in range(MOST_SLOTS)))
    with pytest.raises(RequestInvalid, match="takes up to"):
        rekeying(private(OWNER), added=of(HEIR)).rekeyed(PLACE, before)


def test_a_full_metadata_is_changed_in_one_step() -> None:
    before = document(*(recipient(OWNER) for _ in range(MOST_SLOTS)))
    adding, whole = rekeying(private(OWNER), added=of(HEIR), removed=of(OWNER)).steps()
    assert adding(PLACE, before) is None
    changed = whole(PLACE, before)
    assert changed is not None
    assert open_metadata(changed, PLACE, private(HEIR)) == DATA_KEY


def test_without_a_key_nothing_is_changed() -> None:
    with pytest.raises(WrongKey):
        rekeying(private(HEIR), removed=of(OWNER)).rekeyed(PLACE, document(recipient(OWNER)))


def test_a_run_that_took_its_own_key_away_can_be_done_again() -> None:
    change = rekeying(private(OWNER), added=of(HEIR), removed=of(OWNER))
    changed = change.rekeyed(PLACE, document(recipient(OWNER)))
    assert changed is not None
    assert change.rekeyed(PLACE, changed) is None
    with pytest.raises(WrongKey):
        rekeying(private(OWNER), added=of(HEIR, OWNER)).rekeyed(PLACE, changed)
    added = Openers(pass_phrases=(b"new",))
    with pytest.raises(WrongKey):
        rekeying(private(OWNER), added=added).rekeyed(PLACE, changed)


class Failing(Memory):
    """Takes so many metadata objects, then no more."""

    room = 0

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        if key.startswith("metadata/"):
            if self.room == 0:
                raise StorageUnavailable("gone")
            self.room -= 1
        return super().write(key, chunks)


@pytest.mark.parametrize("written", range(7))
def test_a_run_that_dies_leaves_backups_that_open_and_can_be_done_again(
    written: int, tmp_path: Path
) -> None:
    storage = Failing()
    catalog = Catalog(storage, "tar")
    storage.room = 3
    backups = []
    for moment in (1, 2, 3):
        at = from_epoch(moment)
        backup = Backup(name=NAME, id=BackupId(level_zero_at=at, taken_at=at, level=0))
        catalog.publish(backup, document(recipient(OWNER), place=catalog.place(backup)))
        backups.append(backup)
    change = rekeying(private(OWNER), added=of(HEIR), removed=of(OWNER))
    storage.room = written
    if written < 6:
        with pytest.raises(StorageUnavailable) as raised:
            run(storage, change, tmp_path)
        assert f"{written} of 6" in raised.value.__notes__[0]
    else:
        run(storage, change, tmp_path)
    for key in [OWNER] * (written <= 3) + [HEIR] * (written >= 3):
        for backup in backups:
            metadata = catalog.metadata(backup)
            assert open_metadata(metadata, catalog.place(backup), private(key)) == DATA_KEY
    storage.room = 6
    cleaned = run(storage, change, tmp_path)
    assert cleaned == backups[max(0, written - 3) :]
    for backup in backups:
        open_metadata(catalog.metadata(backup), catalog.place(backup), private(HEIR))


def run(storage: Memory, change: Rekeying, folder: Path) -> list[Backup]:
    cleaned: list[Backup] = []
    request = RekeyRequest(
        storage=LocalStorage(container=folder),
        set_name=SetName(host="host", name="name"),
        encryption=Encryption(),
    )
    lock = SetLock(
        storage=storage,
        name=NAME,
        place="memory",
        folder=folder / "locks",
        owner=Owner.this_process("here"),
        clock=utc_now,
    )
    RekeyAction(
        request=request,
        storage=storage,
        catalog=Catalog(storage, "tar"),
        names=[NAME],
        lock=lock,
        steps=change.steps(),
        clean=cleaned.append,
    ).run()
    return cleaned
