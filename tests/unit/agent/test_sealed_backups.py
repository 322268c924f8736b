"""Sealed backups in a storage in memory: every byte of them counts, and so does its place."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freezer_agent.actions.backup import BackupAction
from freezer_agent.actions.base import Report, Unwatched
from freezer_agent.actions.reading import Reader
from freezer_agent.actions.restore import RestoreAction
from freezer_agent.catalog.backup import BackupName
from freezer_agent.catalog.catalog import Catalog
from freezer_agent.catalog.copies import Copies
from freezer_agent.catalog.lock import Owner, SetLock
from freezer_agent.catalog.unfinished import Unfinished, UnfinishedCopies
from freezer_agent.codings import CodingChoice
from freezer_agent.engines.base import EngineState, SourceNotes
from freezer_agent.engines.tar import TarEngine
from freezer_agent.errors import Damaged, StreamError
from freezer_agent.modes.fs import Fs
from freezer_agent.pipeline import sealed_coding
from freezer_agent.pipeline.self_digest import DIGEST, digest_of
from freezer_agent.requests import (
    BackupRequest,
    Compression,
    Encryption,
    LevelRules,
    RestoreRequest,
    SetName,
)
from freezer_agent.storage_choices import LocalStorage
from freezer_agent.storages.memory import Memory

START = datetime(2026, 1, 1, tzinfo=UTC)


class Engine:
    """Its stream and state tell which run made them; restoring collects the streams."""

    name = "tar"

    def __init__(self) -> None:
        self.runs = 0
        self.previous: list[bytes | None] = []
        self.restored: list[bytes] = []

    def backup(self, source: Path, state: EngineState, notes: SourceNotes) -> Iterator[bytes]:
        assert source.is_dir()
        self.runs += 1
        notes.files += 1
        self.previous.append(state.previous.read_bytes() if state.previous else None)
        yield b"stream %d" % self.runs
        if state.listing is not None:
            state.listing(b"index %d" % self.runs)
        state.next.write_bytes(b"state %d" % self.runs)

    def restore(self, target: Path, chunks: Iterable[bytes], notes: SourceNotes) -> None:
        assert target.is_dir()
        self.restored.append(b"".join(chunks))
        notes.files += 1


class World:
    """A node with a pass phrase and a storage that others can write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = Memory()
        self.engine = Engine()
        self.now = START
        pass_file = folder / "pass"
        pass_file.touch(mode=0o600)
        pass_file.write_text("secret\n")
        self.encryption = Encryption(pass_file=pass_file)

    def backup(
        self, host: str = "host", *, full: bool = False, levels: LevelRules | None = None
    ) -> Report:
        self.now += timedelta(days=1)
        name = BackupName(host=host, name="name")
        return BackupAction(
            request=BackupRequest(
                storage=LocalStorage(container=self.folder),
                set_name=SetName(host=host, name="name"),
                source=self.folder,
                compression=Compression.NONE,
                levels=levels or LevelRules(incremental=not full),
                encryption=self.encryption,
            ),
            copies=Copies([Catalog(self.storage, "tar")]),
            lock=self.lock(name),
            unfinished=UnfinishedCopies([self.unfinished()]),
            engine=self.engine,
            mode=Fs(sync=False),
            version="1",
            metadata={"engine_name": "tar", "compression": "none"},
            **self.common(name),
        ).run()

    def restore(self, host: str = "host", **changes: Any) -> list[bytes]:
        name = BackupName(host=host, name="name")
        self.engine.restored = []
        common = self.common(name)
        RestoreAction(
            request=RestoreRequest(
                storage=LocalStorage(container=self.folder),
                set_name=SetName(host=host, name="name"),
                target=self.folder / "target",
                encryption=self.encryption,
                **changes,
            ),
            lock=self.lock(name),
            unfinished=self.unfinished(),
            engine=self.engine,
            browsable=TarEngine("tar"),
            reader=Reader(common["catalog"], common["codings"], Unwatched()),
            **common,
        ).run()
        return self.engine.restored

    def common(self, name: BackupName) -> dict[str, Any]:
        return {
            "storage": self.storage,
            "catalog": Catalog(self.storage, "tar"),
            "names": [name],
            "codings": CodingChoice(
                Compression.NONE, self.encryption, os.urandom, self.folder / "state-keys"
            ),
            "clock": lambda: self.now,
            "progress": Unwatched(),
        }

    def unfinished(self) -> Unfinished:
        return Unfinished(storage=self.storage, engine="tar", remove_pieces=lambda _: [])

    def lock(self, name: BackupName) -> SetLock:
        return SetLock(
            storage=self.storage,
            name=name,
            place="memory",
            folder=self.folder / "locks",
            owner=Owner.this_process("here"),
            clock=lambda: self.now,
        )

    def keys(self, ending: str) -> list[str]:
        """The keys of one kind of object, in the order of their backups."""
        found = [one.key for one in self.storage.list("") if one.key.endswith(f"/{ending}")]
        return sorted(found, key=lambda key: key.split("/")[-2].split("_")[1])

    def read(self, key: str) -> bytes:
        return b"".join(self.storage.read(key))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def assert_refused(world: World, host: str = "host") -> None:
    """No stream that is not one of those written comes out whole, and the error says so."""
    with pytest.raises(StreamError):
        world.restore(host)


def test_a_chain_comes_back(world: World) -> None:
    for _ in range(3):
        assert world.backup().warnings == []
    assert world.restore() == [b"stream 1", b"stream 2", b"stream 3"]
    assert world.engine.previous == [None, b"state 1", b"state 2"]


@pytest.mark.parametrize("kind", ["data", "metadata"])
def test_every_flipped_byte_fails_the_restore(world: World, kind: str) -> None:
    world.backup()
    world.backup()
    for key in world.keys(kind):
        content = world.read(key)
        for place in range(len(content)):
            altered = bytearray(content)
            altered[place] ^= 1 << (place % 8)
            world.storage.write(key, [bytes(altered)])
            assert_refused(world)
        world.storage.write(key, [content])
    assert world.restore() == [b"stream 1", b"stream 2"]


@pytest.mark.parametrize("other", [b"\t", b"\n", b"\r", b"  ", b""])
def test_no_second_way_to_write_the_same_metadata_passes(world: World, other: bytes) -> None:
    world.backup()
    (key,) = world.keys("metadata")
    content = world.read(key)
    for altered in (content.replace(b" ", other, 1), content[:-1] + other, other + content):
        if altered != content:
            world.storage.write(key, [altered])
            assert_refused(world)


def test_no_flipped_or_cut_state_opens(world: World) -> None:
    world.backup()
    (key,), (meta,) = world.keys("engine_metadata"), world.keys("metadata")
    content, document = world.read(key), json.loads(world.read(meta))
    place = meta.removeprefix("metadata/").removesuffix("/metadata")
    codings = world.common(BackupName(host="host", name="name"))["codings"]
    pipeline = codings.state(place, document)
    assert b"".join(pipeline.backward([content])) == b"state 1"
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << (at % 8)
        for unsound in (bytes(altered), content[:at]):
            with pytest.raises(Damaged):
                list(pipeline.backward([unsound]))


def test_no_flipped_or_cut_index_opens(world: World) -> None:
    world.backup()
    (key,) = world.keys("index")
    common, content = world.common(BackupName(host="host", name="name")), world.read(key)
    reader = Reader(common["catalog"], common["codings"], Unwatched())
    (chain,) = common["catalog"].chains(common["names"])
    (level,) = reader.levels(chain.backups)

    def listed() -> bytes:
        with reader.listing(level) as listing:
            assert not listing.has_contents
            return b"".join(listing.chunks)

    assert listed() == b"index 1"
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << (at % 8)
        for unsound in (bytes(altered), content[:at]):
            world.storage.write(key, [unsound])
            with pytest.raises(Damaged):
                listed()


def test_an_altered_state_ends_the_chain_and_is_told(world: World) -> None:
    world.backup()
    (key,) = world.keys("engine_metadata")
    content = world.read(key)
    world.storage.write(key, [content[:-1] + bytes([content[-1] ^ 1])])
    report = world.backup()
    assert report.document["level"] == 0
    assert "no sound engine state" in report.warnings[0]


@pytest.mark.parametrize("kind", ["data", "metadata"])
def test_every_cut_fails_the_restore(world: World, kind: str) -> None:
    world.backup()
    (key,) = world.keys(kind)
    content = world.read(key)
    for end in range(len(content)):
        world.storage.write(key, [content[:end]])
        assert_refused(world)
    world.storage.write(key, [content + b"\n"])
    assert_refused(world)


def forged(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    """Alter the metadata as somebody who knows the format but no key, with a right digest."""
    (key,) = world.keys("metadata")
    document = json.loads(world.read(key))
    change(document)
    document[DIGEST] = digest_of(document)
    world.storage.write(key, [json.dumps(document, sort_keys=True).encode() + b"\n"])


@pytest.mark.parametrize(
    "change",
    [
        {"compression": "gzip"},
        {"files": 99},
        {"started_at": "2030-01-01T00:00:00+00:00"},
        {"sha256": "0" * 64},
        {"added": "by somebody"},
        {"metadata_tag": "0" * 64},
        {"metadata_tag": None},
        {"metadata_tag": "é"},
        {"metadata_tag": ["\ud800"]},
        {"key_slots": []},
        {"key_slots": [5]},
        {"key_slots": "none"},
        {"encryption": False},
        {"encryption_format": "aes-256-cfb"},
    ],
)
def test_forged_metadata_is_refused(world: World, change: dict[str, Any]) -> None:
    world.backup()
    forged(world, lambda document: document.update(change))
    assert_refused(world)


@pytest.mark.parametrize(
    "cost",
    [
        {"log_n": 30},
        {"log_n": 17, "r": 16},
        {"r": 1 << 20},
        {"p": 1 << 20},
        {"log_n": -1},
        {"p": 0},
        {"log_n": "15"},
        {"r": 8.0},
        {"p": True},
        {"salt": "AAAA"},
        {"salt": 5},
        {"salt": None},
        {"wrapped_key": "no base64"},
    ],
)
def test_a_slot_that_costs_too_much_or_makes_no_sense_is_refused_at_once(
    world: World, cost: dict[str, Any]
) -> None:
    world.backup()
    forged(world, lambda document: document["key_slots"][0].update(cost))
    assert_refused(world)


def test_too_many_slots_are_refused_at_once(world: World) -> None:
    world.backup()
    forged(world, lambda document: document.update(key_slots=document["key_slots"] * 17))
    assert_refused(world)


def test_a_slot_of_a_kind_to_come_is_passed_over(world: World) -> None:
    world.backup()
    (key,) = world.keys("metadata")
    document = json.loads(world.read(key))
    place = key.removeprefix("metadata/").removesuffix("/metadata")
    keys = world.common(BackupName(host="host", name="name"))["codings"]._keys
    data_key = sealed_coding.open_metadata(document, place, keys)
    slots = [{"type": "from the future"}, *document["key_slots"]]
    changed = sealed_coding.with_slots(document, slots, data_key, place)
    world.storage.write(key, [json.dumps(changed, sort_keys=True).encode() + b"\n"])
    assert world.restore() == [b"stream 1"]


def swap(storage: Memory, one: str, other: str) -> None:
    first, second = b"".join(storage.read(one)), b"".join(storage.read(other))
    storage.write(one, [second])
    storage.write(other, [first])


@pytest.mark.parametrize("kinds", [["data"], ["metadata"], ["data", "metadata"]])
def test_levels_that_changed_places_are_refused(world: World, kinds: list[str]) -> None:
    world.backup()
    world.backup()
    for kind in kinds:
        swap(world.storage, *world.keys(kind))
    assert_refused(world)


@pytest.mark.parametrize("kinds", [["data"], ["metadata"], ["data", "metadata"]])
def test_an_old_backup_replayed_as_the_newest_is_refused(world: World, kinds: list[str]) -> None:
    world.backup(full=True)
    world.backup(full=True)
    for kind in kinds:
        old, new = world.keys(kind)
        world.storage.write(new, [world.read(old)])
    assert_refused(world)


def test_a_sibling_in_the_place_of_the_base_is_refused(world: World) -> None:
    """Two backups of level 1, the next level built on the younger, which then disappears."""
    for always_level in (1, 1, 1, 2):
        world.backup(levels=LevelRules(incremental=True, always_level=always_level))
    zero, older, younger, top = world.keys("metadata")
    assert [key.split("/")[-2][0] for key in (zero, older, younger, top)] == ["0", "1", "1", "2"]
    assert world.restore() == [b"stream 1", b"stream 3", b"stream 4"]
    world.storage.delete(younger)
    assert_refused(world)


def test_a_backup_of_another_host_or_time_is_refused(world: World) -> None:
    world.backup("host")
    for found in list(world.storage.list("")):
        content = world.read(found.key)
        later = str(int(START.timestamp()) + 86400 * 40)
        taken = found.key.split("/")[-3]
        world.storage.write(found.key.replace("host_name", "other_name"), [content])
        world.storage.write(found.key.replace(taken, later), [content])
    assert_refused(world, "other")
    assert_refused(world, "host")


def test_the_state_of_another_level_is_not_built_on(world: World) -> None:
    world.backup()
    world.backup()
    first, second = world.keys("engine_metadata")
    world.storage.write(second, [world.read(first)])
    report = world.backup()
    assert report.document["level"] == 0
    assert world.engine.previous[-1] is None


def test_the_stream_in_the_place_of_the_state_is_not_built_on(world: World) -> None:
    world.backup()
    (data,), (state,), (meta,) = map(world.keys, ("data", "engine_metadata", "metadata"))
    world.storage.write(state, [world.read(data)])
    forged(world, lambda document: document.update(state_sha256=document["sha256"]))
    assert world.read(meta)
    assert world.backup().document["level"] == 0


def test_no_key_or_pass_phrase_shows_in_a_repr_or_an_error(world: World) -> None:
    world.backup()
    codings = world.common(BackupName(host="host", name="name"))["codings"]
    assert "secret" not in repr(codings._keys)
    world.encryption = Encryption(pass_file=world.folder / "other")
    (world.folder / "other").write_text("another secret\n")
    with pytest.raises(StreamError) as raised:
        world.restore()
    told = [str(raised.value), repr(raised.value), *getattr(raised.value, "__notes__", ())]
    assert not [text for text in told if "another secret" in text]
