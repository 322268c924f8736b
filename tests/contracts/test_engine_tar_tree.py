"""Chosen files of a chain of tar archives: what is listed, and what is restored."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from freezer_agent.engines.base import EngineState, SourceNotes
from freezer_agent.engines.selection import Selection
from freezer_agent.engines.tar import TarEngine, find_gnu_tar
from freezer_agent.errors import Damaged, EngineError
from tests.contracts.test_engine_tar import archive_of, directory, entry
from tests.contracts.test_engine_tar_moves import OldAgent, plain, restored, run_chain, swapped
from tests.fakes.trees import change_tree, differences, make_tree, tree_state, wait_for_a_tick

ALL = Selection(["**"])


class Chain:
    """Levels of a tree, with their listings."""

    def __init__(self, folder: Path) -> None:
        self.engine = TarEngine(find_gnu_tar())
        self.source = folder / "source"
        self.streams: list[bytes] = []
        self.listings: list[bytes] = []
        self._folder = folder

    def backup(self) -> None:
        level = len(self.streams)
        parts: list[bytes] = []
        state = EngineState(
            previous=self._folder / f"state{level - 1}" if level else None,
            next=self._folder / f"state{level}",
            listing=parts.append,
        )
        self.streams.append(b"".join(self.engine.backup(self.source, state, SourceNotes())))
        self.listings.append(b"".join(parts))
        wait_for_a_tick(self._folder)

    def names(self) -> set[bytes]:
        with self.engine.tree(self._folder) as tree:
            for listing in self.listings:
                tree.add_level([listing], has_contents=False)
            return {entry.name for entry in tree.entries(Selection([]))}


def picked(
    folder: Path, streams: Sequence[bytes], patterns: Sequence[str], target: Path
) -> tuple[int, list[int]]:
    """Restore by the streams alone; how many names, and which streams were read for it."""
    target.mkdir(exist_ok=True)
    asked: list[int] = []

    @contextlib.contextmanager
    def stream(level: int) -> Iterator[Iterator[bytes]]:
        asked.append(level)
        yield iter([streams[level]])

    notes = SourceNotes()
    with TarEngine(find_gnu_tar()).tree(folder) as tree:
        for content in streams:
            tree.add_level([content], has_contents=True)
        count = tree.restore(Selection(patterns), stream, target, notes)
    assert notes.names == []
    assert not list(target.glob(".freezer-*"))
    return count, asked


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    chain = Chain(tmp_path)
    make_tree(chain.source)
    chain.backup()
    for step in (1, 2):
        change_tree(chain.source, step)
        chain.backup()
    return chain


def test_the_listings_name_every_file_of_the_newest_level(chain: Chain) -> None:
    assert chain.names() == {*tree_state(chain.source)} - {b"."}


def test_all_that_is_chosen_comes_back_with_everything_it_has(chain: Chain, tmp_path: Path) -> None:
    count, _ = picked(tmp_path, chain.streams, ["**"], tmp_path / "out")
    states = [tree_state(root) for root in (chain.source, tmp_path / "out")]
    for state in states:
        # The target itself is nobody's choice.
        del state[b"."]
    assert differences(*states) == []
    assert count == len(states[0])


def test_only_the_chosen_is_touched(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "plain").mkdir(parents=True)
    (out / "plain" / "changed").write_text("local change")
    (out / "plain" / "mine").write_text("mine")
    (out / "moved away").mkdir()
    (out / "moved away" / "extra").write_text("goes: all in a chosen directory is chosen")
    before = tree_state(out)
    picked(tmp_path, chain.streams, ["/plain/changed", "moved away", "*.none"], out)
    after, source = tree_state(out), tree_state(chain.source)
    for name in (b"plain/changed", b"moved away", b"moved away/inside", b"moved away/inside/file"):
        assert after.pop(name) == source[name]
    assert after.pop(b"plain/mine") == before[b"plain/mine"]
    assert {*after} == {b".", b"plain"}
    assert after[b"plain"].mode == before[b"plain"].mode


def test_what_a_later_level_lost_is_not_there(chain: Chain, tmp_path: Path) -> None:
    count, asked = picked(tmp_path, chain.streams, ["plain/removed", "/moved"], tmp_path / "out")
    assert (count, asked) == (0, [])
    assert list((tmp_path / "out").iterdir()) == []


def test_only_the_levels_that_have_something_are_read(chain: Chain, tmp_path: Path) -> None:
    _, asked = picked(tmp_path, chain.streams, ["plain/same"], tmp_path / "out")
    assert asked == [0]
    assert (tmp_path / "out" / "plain" / "same").read_bytes() == bytes(range(256)) * 300


def test_a_hard_link_brings_its_content(chain: Chain, tmp_path: Path) -> None:
    picked(tmp_path, chain.streams, ["three, elsewhere"], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["three, elsewhere"]
    assert (tmp_path / "out" / "three, elsewhere").read_text() == "one file, several names\n"


def test_directories_made_for_the_chosen_have_their_attributes(
    chain: Chain, tmp_path: Path
) -> None:
    picked(tmp_path, chain.streams, ["file becomes directory/inside"], tmp_path / "out")
    after, source = tree_state(tmp_path / "out"), tree_state(chain.source)
    assert after[b"file becomes directory"] == source[b"file becomes directory"]


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_chains_of_19_0_0_with_moves(tmp_path: Path, seed: int) -> None:
    _, archives, _ = run_chain(tmp_path, seed)
    check_same_as_full(tmp_path, archives)


def test_a_swap_of_19_0_0(tmp_path: Path) -> None:
    agent = OldAgent(tmp_path)
    for name in ("old/deep/file", "zz/content"):
        (agent.source / name).parent.mkdir(parents=True)
        (agent.source / name).write_text(name)
    archives = [agent.archive()]
    swapped(agent.source)
    archives.append(agent.archive())
    check_same_as_full(tmp_path, archives)
    picked(tmp_path, archives, ["zz/deep"], tmp_path / "one")
    assert (tmp_path / "one" / "zz" / "deep" / "file").read_text() == "old/deep/file"


def check_same_as_full(folder: Path, archives: list[bytes]) -> None:
    full = restored(folder / "full", archives)[-1]
    picked(folder, archives, ["**"], folder / "out")
    found = plain(folder / "out")
    del full[b"."], found[b"."]
    assert found == full


@pytest.mark.parametrize("pattern", ["link/victim", "link", "**"])
def test_a_link_of_the_target_is_not_followed(tmp_path: Path, pattern: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    out.mkdir()
    (out / "link").symlink_to(outside)
    streams = [
        archive_of(
            directory("./", "Dlink"),
            directory("./link/", "Yvictim"),
            (entry("./link/victim"), b"evil"),
        )
    ]
    if pattern == "link/victim":
        with pytest.raises(EngineError, match="something else in the target"):
            picked(tmp_path, streams, [pattern], out)
        assert (out / "link").is_symlink()
    else:
        picked(tmp_path, streams, [pattern], out)
        assert (out / "link" / "victim").read_bytes() == b"evil"
    assert (outside / "victim").read_text() == "untouched"
    assert [path.name for path in outside.iterdir()] == ["victim"]


def test_a_full_restore_does_not_follow_a_link_of_the_target(tmp_path: Path) -> None:
    """With --overwrite the user's links are replaced where the backup has directories."""
    outside, out = tmp_path / "outside", tmp_path / "out"
    (outside / "deep").mkdir(parents=True)
    (outside / "victim").write_text("untouched")
    before = tree_state(outside)
    (out / "a").mkdir(parents=True)
    (out / "a" / "link").symlink_to(outside)
    (out / "file").symlink_to(outside / "victim")
    os.link(outside / "victim", out / "hard")
    first = archive_of(
        directory("./", "Da", "Yfile", "Yhard"),
        directory("./a/", "Dlink"),
        directory("./a/link/", "Yvictim", "Ddeep"),
        directory("./a/link/deep/", "Yx"),
        (entry("./file"), b"evil"),
        (entry("./hard"), b"evil"),
        (entry("./a/link/victim"), b"evil"),
        (entry("./a/link/deep/x"), b"evil"),
    )
    engine = TarEngine(find_gnu_tar())
    engine.restore(out, [first], SourceNotes())
    moves = archive_of(
        directory("./", "Da", "Yfile", "R./a/link", "T./b"), directory("./a/"), entry("./file")
    )
    engine.restore(out, [moves], SourceNotes())
    for name in ("file", "hard", "a/link/victim"):
        assert not (out / name).is_symlink()
    after = tree_state(outside)
    assert {name: node.digest for name, node in before.items()} == {
        name: node.digest for name, node in after.items()
    }


def test_a_link_of_the_backup_is_not_followed(tmp_path: Path) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    streams = [
        archive_of(directory("./", "Ylink"), entry("./link", b"2", str(outside))),
        archive_of(directory("./", "Nlink"), (entry("./link/x"), b"evil")),
    ]
    with pytest.raises(Damaged):
        picked(tmp_path, streams, ["**"], out)
    assert list(outside.iterdir()) == []
    assert list(out.iterdir()) == []


def test_a_listing_that_lies_is_found_out(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    lie = archive_of(directory("./", "Yplain"), entry("./promised"))
    with chain.engine.tree(tmp_path) as tree:
        tree.add_level([lie], has_contents=False)
        with pytest.raises(Damaged, match="promises"):
            tree.restore(ALL, lambda _: nullcontext(iter([chain.streams[0]])), out, SourceNotes())
    assert list(out.iterdir()) == []


def test_a_failure_midway_leaves_the_target_as_it_was(chain: Chain, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "plain").mkdir(parents=True)
    (out / "plain" / "same").write_text("old")
    before = tree_state(out)
    streams = [chain.streams[0][: len(chain.streams[0]) // 2 // 512 * 512], *chain.streams[1:]]
    with chain.engine.tree(tmp_path) as tree:
        for listing in chain.listings:
            tree.add_level([listing], has_contents=False)
        with pytest.raises(Damaged):
            tree.restore(
                Selection(["plain"]),
                lambda level: nullcontext(iter([streams[level]])),
                out,
                SourceNotes(),
            )
    after = tree_state(out)
    del before[b"."], after[b"."]
    assert differences(before, after) == []


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.txt", ["a.txt", "x/y/b.txt", "d.txt/inside"], ["a.txt.gz", "x/txt"]),
        ("/*.txt", ["a.txt"], ["x/b.txt"]),
        ("./a", ["a", "a/b"], ["b/a"]),
        ("etc/*.conf", ["etc/a.conf"], ["etc/x/a.conf", "x/etc/a.conf"]),
        ("etc/**.conf", ["etc/a.conf", "etc/x/a.conf"], ["etc/a.cfg"]),
        ("**/log", ["log", "a/log", "a/b/log/c"], ["catalog"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az"]),
        ("home/", ["home", "home/x", "a/home"], ["homes"]),
        ("f?o", ["foo", "a/fxo"], ["fo", "f/o"]),
        ("f[0-9]", ["f1"], ["fa", "f"]),
        ("f[!0-9]", ["fa"], ["f1", "f/"]),
        ("[", ["["], ["x"]),
        ("a\\*", ["a*"], ["ab"]),
        ("caf\u00e9", ["caf\u00e9"], ["cafe"]),
        ("a\nb", ["a\nb", "a\nb/c\n"], ["a b"]),
        ("[z-a]", ["[z-a]"], ["z"]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], others: list[str]) -> None:
    selection = Selection([pattern])
    assert [name for name in fitting if os.fsencode(name) not in selection] == []
    assert [name for name in others if os.fsencode(name) in selection] == []
