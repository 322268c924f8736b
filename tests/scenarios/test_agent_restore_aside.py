"""A restore beside its target: all of it, or the target as it was."""

from pathlib import Path
from typing import NoReturn

import pytest

from freezer_agent.actions.restore_aside import RestoreAside
from freezer_agent.errors import AgentError
from tests.fakes.agent_command import AgentCommand


@pytest.fixture
def agent(agent: AgentCommand, tmp_path: Path) -> AgentCommand:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2):
        (source / "file").write_text(f"content {number}")
        (source / f"new{number}").touch()
        agent.backup(source, "--max-level", "3", "--compression", "none")
    return agent


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Alone in a directory, so that what is left beside it shows."""
    return tmp_path / "below/deep/target"


def damage(agent: AgentCommand) -> None:
    """Flip a bit of a name in level 1: level 0 is extracted before it is noticed."""
    (data,) = agent.container.glob("data/tar/*/*/1_*/data")
    content = bytearray(data.read_bytes())
    content[content.index(b"new1\0")] ^= 1
    data.write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", ["missing", "empty", "full"])
def test_all_of_it_takes_the_place(agent: AgentCommand, target: Path, before: str) -> None:
    if before != "missing":
        target.mkdir(parents=True)
    if before == "full":
        (target / "mine").write_text("mine")
        assert agent.restore(target, "--restore-aside").status == 1
    ended = agent.restore(target, "--restore-aside", "--overwrite", "--json")
    assert ended.status == 0, ended.stderr
    assert ended.report["restore_abs_path"] == str(target)
    assert names(target) == ["file", "new0", "new1"]
    assert (target / "file").read_text() == "content 1"
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("before", ["missing", "full"])
def test_after_an_error_the_target_is_as_it_was(
    agent: AgentCommand, target: Path, before: str
) -> None:
    target.parent.mkdir(parents=True)
    if before == "full":
        target.mkdir()
        (target / "mine").write_text("mine")
    damage(agent)
    ended = agent.restore(target, "--restore-aside", "--overwrite")
    assert ended.status == 1
    assert "is as it was" in ended.stderr
    assert names(target.parent) == (["target"] if before == "full" else [])
    if before == "full":
        assert names(target) == ["mine"]


def test_a_dry_run_makes_nothing(agent: AgentCommand, target: Path) -> None:
    target.parent.mkdir(parents=True)
    assert agent.restore(target, "--restore-aside", "--dry-run").status == 0
    assert names(target.parent) == []


def test_what_has_no_place_to_take_is_refused(agent: AgentCommand, target: Path) -> None:
    ended = agent.restore(target, "--restore-aside", "--include", "file")
    assert "leave it or --include out" in ended.stderr


def test_a_mount_point_is_refused_before_anything_is_done() -> None:
    def never(folder: Path) -> NoReturn:
        raise AssertionError(folder)

    action = RestoreAside(target=Path("/proc"), overwrite=True, restore_into=never, suffix="x")
    with pytest.raises(AgentError, match="'/proc' is a mount point"):
        action.run()


def test_the_nearest_good_copy_of_several_takes_the_place(
    agent: AgentCommand, target: Path, tmp_path: Path
) -> None:
    job = tmp_path / "job"
    job.write_text(
        "".join(
            f"[storage:{name}]\nstorage = local\ncontainer = {tmp_path / name}\n"
            for name in ("container", "other")
        )
    )
    for _ in range(2):
        words = ["--config", job, "-N", "two", "-F", tmp_path / "source", "--nosync"]
        assert agent.run(*words, "--compression", "none", "--max-level", "1").status == 0
        (tmp_path / "source/new2").touch()
    (data,) = agent.container.glob("data/tar/*_two/*/1_*/data")
    data.write_bytes(data.read_bytes().replace(b"new2\0", b"new3\0"))
    restore = ["--action", "restore", "-N", "two", "--restore-abs-path", target]
    ended = agent.run("--config", job, *restore, "--restore-aside")
    assert ended.status == 0, ended.stderr
    assert names(target) == ["file", "new0", "new1", "new2"]
    assert names(target.parent) == ["target"]
