"""What every engine of file trees promises, as tests. An engine binds them with `engine`."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from freezer_agent.engines.base import Engine, EngineState, SourceNotes
from freezer_agent.errors import EngineError, StreamError
from tests.fakes.trees import change_tree, differences, make_tree, tree_state, wait_for_a_tick


class Broke(Exception):
    """The stream that an engine is given failed."""


class Levels:
    """Backs up a tree level by level, and restores the levels."""

    def __init__(self, engine: Engine, source: Path, work: Path) -> None:
        self.engine = engine
        self.source = source
        self.work = work
        self.streams: list[bytes] = []
        self.notes: list[SourceNotes] = []
        work.mkdir(exist_ok=True)

    def state(self) -> EngineState:
        number = len(self.streams)
        previous = self.work / f"state {number - 1}" if number else None
        return EngineState(previous=previous, next=self.work / f"state {number}")

    def backup(self) -> SourceNotes:
        notes = SourceNotes()
        stream = b"".join(self.engine.backup(self.source, self.state(), notes))
        self.streams.append(stream)
        self.notes.append(notes)
        wait_for_a_tick(self.work)
        return notes

    def restore(self, target: Path, upto: int | None = None) -> None:
        target.mkdir(exist_ok=True)
        for stream in self.streams[: None if upto is None else upto + 1]:
            chunks = (stream[at : at + 70_000] for at in range(0, len(stream), 70_000))
            self.engine.restore(target, chunks, SourceNotes())


class EngineContract:
    """The promises of `freezer_agent.engines.base.Engine`."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        root = tmp_path / "source tree"
        make_tree(root)
        return root

    @pytest.fixture
    def levels(self, engine: Engine, tree: Path, tmp_path: Path) -> Levels:
        return Levels(engine, tree, tmp_path / "work")

    def test_every_level_comes_back_as_it_was(self, levels: Levels, tmp_path: Path) -> None:
        states = []
        for step in range(4):
            if step:
                change_tree(levels.source, step)
            levels.backup()
            states.append(tree_state(levels.source))
        for level, state in enumerate(states):
            target = tmp_path / f"target {level}"
            levels.restore(target, upto=level)
            assert differences(state, tree_state(target)) == []

    def test_an_unchanged_tree_makes_a_small_increment(
        self, levels: Levels, tmp_path: Path
    ) -> None:
        (levels.source / "large").write_bytes(os.urandom(3_000_000))
        levels.backup()
        notes = levels.backup()
        assert notes.files == 0
        assert notes.source_bytes == 0
        assert len(levels.streams[1]) < len(levels.streams[0]) / 10
        levels.restore(tmp_path / "target")
        assert differences(tree_state(levels.source), tree_state(tmp_path / "target")) == []

    def test_siblings_of_one_level_build_on_the_same_state(
        self, levels: Levels, tmp_path: Path
    ) -> None:
        levels.backup()
        before = (levels.work / "state 0").read_bytes()
        change_tree(levels.source, 1)
        levels.backup()
        (levels.source / "later").write_text("x")
        levels.streams.pop()
        levels.backup()
        assert (levels.work / "state 0").read_bytes() == before
        levels.restore(tmp_path / "target")
        assert differences(tree_state(levels.source), tree_state(tmp_path / "target")) == []

    def test_an_empty_directory_is_a_source(self, engine: Engine, tmp_path: Path) -> None:
        source = tmp_path / "empty"
        source.mkdir(mode=0o750)
        levels = Levels(engine, source, tmp_path / "work")
        levels.backup()
        levels.restore(tmp_path / "target")
        assert differences(tree_state(source), tree_state(tmp_path / "target")) == []

    @pytest.mark.parametrize(
        "name",
        ["plain", "f i", "-rf", "--help", "*", "new\nline", "a\\tb", "\udcff", "./x:y", "@z"],
    )
    def test_a_single_file_is_a_source(self, engine: Engine, tmp_path: Path, name: str) -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        source = folder / name
        source.write_text("content")
        (folder / "neighbour").write_text("not wanted")
        levels = Levels(engine, source, tmp_path / "work")
        assert levels.backup().files == 1
        source.write_text("changed")
        levels.backup()
        levels.restore(tmp_path / "target")
        assert [path.name for path in (tmp_path / "target").iterdir()] == [source.name]
        assert (tmp_path / "target" / source.name).read_text() == "changed"

    def test_an_unchanged_single_file_stays(self, engine: Engine, tmp_path: Path) -> None:
        source = tmp_path / "file"
        source.write_text("content")
        levels = Levels(engine, source, tmp_path / "work")
        levels.backup()
        levels.backup()
        levels.restore(tmp_path / "target")
        assert (tmp_path / "target" / "file").read_text() == "content"

    def test_a_missing_source_is_an_error_before_the_first_chunk(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        state = EngineState(previous=None, next=tmp_path / "state")
        with pytest.raises(EngineError, match="No such file"):
            next(iter(engine.backup(tmp_path / "missing", state, SourceNotes())))
        assert not state.next.exists()

    def test_nothing_happens_before_the_first_chunk(self, engine: Engine, tmp_path: Path) -> None:
        state = EngineState(previous=None, next=tmp_path / "state")
        engine.backup(tmp_path / "missing", state, SourceNotes())

    def test_leaving_early_leaves_nothing(self, levels: Levels) -> None:
        (levels.source / "large").write_bytes(os.urandom(30_000_000))
        before = children()
        stream: Iterator[bytes] = levels.engine.backup(levels.source, levels.state(), SourceNotes())
        assert next(chunk for chunk in stream if chunk)
        assert children() - before
        stream.close()  # type: ignore[attr-defined]  # a generator, which its type does not say
        assert children() <= before
        assert list(levels.work.iterdir()) == []

    def test_a_cut_stream_is_an_error(self, levels: Levels, tmp_path: Path) -> None:
        levels.backup()
        stream = levels.streams[0]
        for size in {0, 1, 511, 512, 5_000, 10_240, len(stream) // 3, len(stream) // 1024 * 512}:
            target = tmp_path / f"cut at {size}"
            target.mkdir()
            with pytest.raises(StreamError):
                levels.engine.restore(target, [stream[:size]], SourceNotes())

    def test_an_error_of_the_stream_passes_unchanged(self, levels: Levels, tmp_path: Path) -> None:
        levels.backup()
        error = Broke("storage")

        def chunks() -> Iterator[bytes]:
            yield levels.streams[0][:20_000]
            raise error

        target = tmp_path / "target"
        target.mkdir()
        before = children()
        with pytest.raises(Broke) as raised:
            levels.engine.restore(target, chunks(), SourceNotes())
        assert raised.value is error
        assert children() <= before

    def test_the_user_s_files_in_the_target_give_way(self, levels: Levels, tmp_path: Path) -> None:
        levels.backup()
        target = tmp_path / "target"
        shutil.copytree(levels.source / "plain", target / "names")
        (target / "empty").mkdir()
        (target / "plain").symlink_to("names")
        levels.restore(target)
        assert differences(tree_state(levels.source), tree_state(target)) == []

    def test_notes_count_what_is_stored(self, levels: Levels) -> None:
        notes = levels.backup()
        state = tree_state(levels.source)
        directories = [node for node in state.values() if node.mode & 0o170000 == 0o040000]
        assert notes.directories == len(directories)
        assert notes.files == len(state) - len(directories)
        assert notes.broken_links == 4
        assert notes.warnings == 0


def children() -> set[str]:
    """The processes that this one has started and that are not ended."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        # A thread that another test has left may end while it is looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.update((task / "children").read_text().split())
    return found
