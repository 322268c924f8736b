"""Archives of 19.0.0, which let tar record moves of directories, true ones and false ones."""

import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from freezer_agent.engines.base import SourceNotes
from freezer_agent.engines.tar import TarEngine, find_gnu_tar
from tests.fakes.trees import tree_state, wait_for_a_tick

NAMES = ("a", "b", "c", "old", "zz")
COMMAND = (
    "--create",
    "--warning=none",
    "--no-check-device",
    "--one-file-system",
    "--preserve-permissions",
    "--same-owner",
    "--seek",
    "--ignore-failed-read",
)


class OldAgent:
    """Makes levels of a tree with the command line of 19.0.0."""

    def __init__(self, folder: Path) -> None:
        self.tar = find_gnu_tar()
        self.source = folder / "source"
        self.source.mkdir(parents=True)
        self.state = folder / "state"

    def archive(self) -> bytes:
        """The next level."""
        wait_for_a_tick(self.source.parent)
        argv = [self.tar, *COMMAND, f"--listed-incremental={self.state}", "."]
        made = subprocess.run(argv, cwd=self.source, check=True, capture_output=True).stdout
        wait_for_a_tick(self.source.parent)
        return made


def directories(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_dir() and not path.is_symlink())


def change(tree: Path, dice: random.Random) -> None:
    """One random change. Inode numbers are used again at once on ext4 and tmpfs."""
    places = [tree, *directories(tree)]
    place = dice.choice(places) / dice.choice(NAMES)
    kind = dice.choice(["mkdir", "file", "rmtree", "move", "move", "remake"])
    victim = dice.choice(places[1:]) if places[1:] else None
    if kind == "mkdir" and not place.exists():
        place.mkdir()
        (place / "inside").write_text(f"{dice.random()}")
    elif kind == "file" and not place.is_dir():
        place.write_text(f"{dice.random()}")
    elif victim is not None and kind == "rmtree":
        shutil.rmtree(victim)
    elif victim is not None and kind == "remake":
        remake(victim, victim.with_name(dice.choice(NAMES)))
    elif kind == "move" and victim is not None and may_move(victim, place):
        victim.rename(place)


def may_move(victim: Path, place: Path) -> bool:
    return not place.exists() and not place.is_relative_to(victim)


def remake(victim: Path, other: Path) -> None:
    """Remove a directory; another gets its number, and it gets a new one."""
    shutil.rmtree(victim)
    if not other.exists():
        other.mkdir()
        (other / "fresh").write_text(str(other))
    if not victim.exists():
        victim.mkdir()


def run_chain(folder: Path, seed: int, levels: int = 3) -> tuple[Path, list[bytes], list[object]]:
    dice = random.Random(seed)  # noqa: S311  # no secret
    agent = OldAgent(folder)
    for _ in range(12):
        change(agent.source, dice)
    archives, states = [], []
    for _ in range(levels + 1):
        archives.append(agent.archive())
        states.append(plain(agent.source))
        for _ in range(dice.randint(1, 6)):
            change(agent.source, dice)
    return agent.source, archives, states


def plain(tree: Path) -> dict[bytes, object]:
    """What GNU tar's own format keeps: no fractions of seconds."""
    return {
        name: (node.mode, node.digest, node.mtime_ns and node.mtime_ns // 10**9)
        for name, node in tree_state(tree, xattrs=False).items()
    }


def restored(target: Path, archives: Sequence[bytes]) -> list[dict[bytes, object]]:
    target.mkdir()
    engine = TarEngine(find_gnu_tar())
    states = []
    for archive in archives:
        engine.restore(target, [archive], SourceNotes())
        states.append(plain(target))
    return states


def restored_by_tar(target: Path, archives: Sequence[bytes]) -> list[dict[bytes, object]]:
    """What the restore command of 19.0.0 makes of the chain, up to its first failure."""
    target.mkdir()
    argv = [find_gnu_tar(), "--incremental", "--extract", "--ignore-zeros", "--warning=none"]
    states = []
    for archive in archives:
        ended = subprocess.run(
            [*argv, "--overwrite", "--directory", target],
            input=archive,
            capture_output=True,
            check=False,
        )
        if ended.returncode:
            break
        states.append(plain(target))
    return states


def test_random_chains_come_back_and_always_where_plain_tar_brings_them_back(
    tmp_path: Path,
) -> None:
    """The order of a file system's directories decides what tar records, so not every one can.

    Of some changes tar records nothing, or what means two things; that is one chain of 250.
    """
    by_us, by_tar = set(), set()
    for seed in range(25):
        folder = tmp_path / f"{seed}"
        _, archives, states = run_chain(folder, seed)
        by_us |= {seed} if restored(folder / "ours", archives) == states else set()
        by_tar |= {seed} if restored_by_tar(folder / "plain", archives) == states else set()
    assert by_tar <= by_us
    assert len(by_us) >= 23


def swapped(source: Path) -> None:
    (source / "old").rename(source / "aside")
    (source / "zz").rename(source / "old")
    (source / "aside").rename(source / "zz")


def pushed_along(source: Path) -> None:
    (source / "old").rename(source / "away")
    (source / "zz").rename(source / "old")


def taken_out_of_what_moved(source: Path) -> None:
    (source / "old").rename(source / "z last")
    (source / "z last" / "deep").rename(source / "a first")


def put_into_a_new_directory(source: Path) -> None:
    (source / "old").rename(source / "aside")
    (source / "old").mkdir()
    (source / "aside").rename(source / "old" / "older")


def numbers_used_again(source: Path) -> None:
    """On ext4 the next new directory gets the number of the last one removed."""
    shutil.rmtree(source / "old")
    (source / "new").mkdir()
    (source / "new" / "fresh").write_text("fresh")
    shutil.rmtree(source / "zz")
    (source / "old").mkdir()
    (source / "was a file").unlink()
    (source / "was a file").mkdir()


@pytest.mark.parametrize(
    "change_once",
    [
        swapped,
        pushed_along,
        taken_out_of_what_moved,
        put_into_a_new_directory,
        numbers_used_again,
    ],
)
def test_a_move_comes_back(tmp_path: Path, change_once: Callable[[Path], None]) -> None:
    agent = OldAgent(tmp_path)
    for name in ("old/deep/er/file", "old/file", "zz/content", "zz/empty/x", "was a file"):
        (agent.source / name).parent.mkdir(parents=True, exist_ok=True)
        (agent.source / name).write_text(name)
    archives, states = [agent.archive()], [plain(agent.source)]
    change_once(agent.source)
    archives.append(agent.archive())
    states.append(plain(agent.source))
    notes = SourceNotes()
    assert restored(tmp_path / "target", archives) == states
    assert notes.names == []


def test_a_record_without_its_source_is_a_false_move(tmp_path: Path) -> None:
    """Tar would say "Cannot rename" and end with status 2, although all data is there."""
    agent = OldAgent(tmp_path)
    (agent.source / "was a file").mkdir()
    (agent.source / "was a file" / "now").write_text("content")
    archive = agent.archive()
    (header, records) = (b"Dwas a file\0", b"R./old/deep\0T./was a file\0")
    assert header in archive
    changed = with_records(archive, header + records)
    assert restored(tmp_path / "target", [changed])[-1] == plain(agent.source)


def test_what_is_missing_after_a_move_is_told(tmp_path: Path) -> None:
    agent = OldAgent(tmp_path)
    (agent.source / "new").mkdir()
    archive = with_records(agent.archive(), b"Dnew\0R./old\0T./new\0")
    position = archive.index(b"./new/\0") // 512 * 512
    records = b"Ngone\0\0"
    head = bytearray(archive[position : position + 512])
    assert head[156:157] == b"D"
    head[124:136] = b"%011o\0" % len(records)
    archive = archive[:position] + summed(head) + records.ljust(512, b"\0") + bytes(10240)
    (tmp_path / "target").mkdir()
    notes = SourceNotes()
    TarEngine(find_gnu_tar()).restore(tmp_path / "target", [archive], notes)
    assert notes.changed == 1
    assert notes.names[0].startswith("new: files in it are in no level")


def with_records(archive: bytes, records: bytes) -> bytes:
    """The archive with other records in its first member, as 19.0.0 stores them."""
    head = bytearray(archive[:512])
    assert head[156:157] == b"D"
    old_size = int(head[124:135], 8)
    records += b"\0"
    head[124:136] = b"%011o\0" % len(records)
    body = records + bytes(-len(records) % 512)
    return summed(head) + body + archive[512 + old_size + -old_size % 512 :]


def summed(head: bytearray) -> bytes:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)
