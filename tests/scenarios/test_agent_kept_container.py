"""A restore over a tree that holds the backups themselves leaves every one of them."""

import shutil
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand, Ended


def tree(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text("content")
    return folder


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Place:
    """A container, and runs of the agent with it."""

    def __init__(self, agent: AgentCommand, container: Path) -> None:
        self._agent = agent
        self._words = ["--storage", "local", "-C", str(container), "-N", "name", "--nosync"]

    def backup(self, source: Path) -> None:
        ended = self._agent.run(*self._words, "-F", source, "--max-level", "3")
        assert ended.status == 0, ended.stderr

    def restore(self, target: Path, *words: str) -> Ended:
        more = ["--restore-abs-path", str(target), "--overwrite", *words]
        return self._agent.run("--action", "restore", *self._words, *more)


def test_a_tree_goes_back_around_the_container_in_it(agent: AgentCommand, tmp_path: Path) -> None:
    source = tree(tmp_path / "source")
    (source / "deep").mkdir()
    place = Place(agent, source / "deep/backups")
    place.backup(source)
    (source / "later").write_text("later")
    place.backup(source)
    before = state(source)
    (source / "later").unlink()
    (source / "file").write_text("changed")
    ended = place.restore(source)
    assert ended.status == 0, ended.stderr
    assert state(source) == before


@pytest.mark.parametrize("container", ["backups", "deep/er/backups"])
def test_a_tree_that_does_not_know_the_container_stays_out(
    agent: AgentCommand, tmp_path: Path, container: str
) -> None:
    target = tree(tmp_path / "target")
    place = Place(agent, target / container)
    place.backup(tree(tmp_path / "source"))
    before = state(target / container)
    ended = place.restore(target)
    assert ended.status == 1
    assert f"'{container}'" in ended.stderr
    assert "would be removed" in ended.stderr
    assert state(target / container) == before
    ended = place.restore(target, "--include", "file")
    assert ended.status == 0, ended.stderr
    assert state(target / container) == before


def test_an_older_state_of_the_container_is_not_put_over_it(
    agent: AgentCommand, tmp_path: Path
) -> None:
    source = tree(tmp_path / "source")
    tree(source / "backups")
    place = Place(agent, tmp_path / "elsewhere")
    place.backup(source)
    shutil.rmtree(source / "backups")
    shutil.move(tmp_path / "elsewhere", source / "backups")
    before = state(source / "backups")
    ended = Place(agent, source / "backups").restore(source)
    assert ended.status == 1
    assert "is in this backup too" in ended.stderr
    assert state(source / "backups") == before


@pytest.mark.parametrize("below", ["", "data", "metadata/tar"])
def test_nothing_is_restored_among_the_backups(
    agent: AgentCommand, tmp_path: Path, below: str
) -> None:
    place = Place(agent, tmp_path / "backups")
    place.backup(tree(tmp_path / "source"))
    before = state(tmp_path / "backups")
    ended = place.restore(tmp_path / "backups" / below)
    assert ended.status == 1
    assert "where the backups are kept" in ended.stderr
    assert state(tmp_path / "backups") == before


def test_the_backups_do_not_go_with_a_tree_that_is_put_away(
    agent: AgentCommand, tmp_path: Path
) -> None:
    target = tree(tmp_path / "target")
    place = Place(agent, target / "backups")
    place.backup(tree(tmp_path / "source"))
    before = state(target)
    ended = place.restore(target, "--restore-aside")
    assert ended.status == 1
    assert "--restore-aside would put the backups" in ended.stderr
    assert state(target) == before
