"""Backups to several storages at once, by sections of a job file: local folders and a dead host."""

import os
import shutil
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand, Ended
from tests.services.launching import free_ports


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_text("first\n")
    (folder / "random").write_bytes(os.urandom(2_000_000))
    return folder


class Several:
    """An agent with local storages of these names below one directory."""

    def __init__(self, agent: AgentCommand, *names: str) -> None:
        self.agent = agent
        self.folder = agent.folder
        self.sections = {
            name: f"storage = local\ncontainer = {agent.folder / name}" for name in names
        }

    def add_dead_host(self, name: str) -> None:
        (port,) = free_ports(1)
        self.sections[name] = (
            f"storage = ssh\nssh_host = 127.0.0.1\nssh_port = {port}\ncontainer = x\n"
            "ssh_password = hidden"
        )

    def run(self, *words: str | Path) -> Ended:
        text = "".join(f"[storage:{name}]\n{lines}\n" for name, lines in self.sections.items())
        job = self.folder / "job.ini"
        job.write_text(f"[job]\nbackup_name = name\nsync = False\nstorage_attempts = 1\n{text}")
        ended = self.agent.run("--config", job, *words)
        assert "hidden" not in ended.stdout + ended.stderr + self.agent.log.read_text()
        return ended

    def backup(self, source: Path, *words: str) -> Ended:
        return self.run("-F", source, "--max-level", "5", "--metadata-out", "-", *words)

    def restore(self, target: Path, *words: str) -> Ended:
        return self.run(
            *("--action", "restore", "--restore-abs-path", target, "--metadata-out", "-"), *words
        )

    def levels(self, name: str) -> list[int]:
        words = ("--action", "info", "-l", "--json", "--storage", "local")
        ended = self.agent.run(*words, "--container", self.folder / name)
        return [one["level"] for one in ended.report["backups"]]


def test_each_storage_gets_a_chain_that_restores_by_itself(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two", "three")
    first = several.backup(source)
    assert first.status == 0, first.stderr
    (source / "file").write_text("second\n")
    second = several.backup(source)
    assert second.status == 0, second.stderr
    assert second.report["level"] == 1
    assert [one["complete"] for one in second.report["storages"]] == [True] * 3
    assert second.report["storage"] == "local"
    assert second.report["container"].split(",") == [
        str(tmp_path / one) for one in several.sections
    ]
    for name in several.sections:
        assert several.levels(name) == [0, 1]
        target = tmp_path / f"from {name}"
        ended = agent.run(
            *("--action", "restore", "--storage", "local", "--container", tmp_path / name),
            *("-N", "name", "--restore-abs-path", target),
        )
        assert ended.status == 0, ended.stderr
        assert (target / "file").read_text() == "second\n"
        assert (target / "random").read_bytes() == (source / "random").read_bytes()
    assert not list(tmp_path.glob("*/locks/*"))


def test_a_storage_that_is_away_is_named_and_the_good_copy_stays(
    agent: AgentCommand, source: Path
) -> None:
    several = Several(agent, "good")
    several.add_dead_host("away")
    ended = several.backup(source)
    assert ended.status == 1
    assert "storage away: cannot connect to ssh://" in ended.stderr
    assert "a complete copy is in good" in ended.stderr
    assert {one["storage"]: one["complete"] for one in ended.report["storages"]} == {
        "good": True,
        "away": False,
    }
    assert several.levels("good") == [0]


def test_a_file_in_the_place_of_a_container_stops_only_that_storage(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "good", "file")
    (tmp_path / "file").touch()
    ended = several.backup(source)
    assert ended.status == 1
    assert "storage file: " in ended.stderr
    assert several.levels("good") == [0]
    assert several.restore(tmp_path / "out").status == 0


def test_any_storage_is_enough_if_the_operator_says_so(agent: AgentCommand, source: Path) -> None:
    several = Several(agent, "good")
    several.add_dead_host("away")
    ended = several.backup(source, "--require-storages", "any")
    assert ended.status == 0
    assert "warning: storage away" in ended.stderr


def test_no_storage_at_all_is_a_failure(agent: AgentCommand, source: Path) -> None:
    several = Several(agent)
    several.add_dead_host("one")
    several.add_dead_host("two")
    ended = several.backup(source, "--require-storages", "any")
    assert ended.status == 1
    assert "no storage is left: storage one" in ended.stderr
    assert "storage two" in ended.stderr


def test_storages_that_are_not_in_step_all_get_a_full_backup(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    shutil.move(tmp_path / "two", tmp_path / "away")
    del several.sections["two"]
    assert several.backup(source).report["level"] == 1
    shutil.move(tmp_path / "away", tmp_path / "two")
    again = Several(agent, "one", "two")
    third = again.backup(source)
    assert third.status == 0
    assert third.report["level"] == 0
    assert "not every storage" in third.stderr
    assert again.backup(source).report["level"] == 1
    assert again.levels("one") == [0, 1, 0, 1]
    assert again.levels("two") == [0, 0, 1]


def test_data_lost_in_one_storage_is_a_reason_for_a_full_backup(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    (data,) = (tmp_path / "two").glob("data/tar/*/*/0_*/data")
    data.unlink()
    ended = several.backup(source)
    assert ended.report["level"] == 0
    assert "has lost its data" in ended.stderr


def test_a_lock_in_one_storage_keeps_the_whole_run_away(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    (chain,) = (tmp_path / "two/metadata/tar").iterdir()
    lock = tmp_path / "two/locks" / chain.name / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(
        '{"host": "other", "pid": 1, "life": "x", "taken_at": "2026-01-01T00:00:00+00:00", '
        '"expires_at": "2999-01-01T00:00:00+00:00"}'
    )
    ended = several.backup(source)
    assert ended.status == 1
    assert "being worked on by process 1 of host other" in ended.stderr
    assert several.levels("one") == [0]
    assert not list(tmp_path.glob("one/locks/*/*"))


@pytest.mark.parametrize("ruin", ["byte", "cut", "gone", "away"])
def test_restore_falls_over_to_another_copy(
    agent: AgentCommand, source: Path, tmp_path: Path, ruin: str
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    (source / "file").write_text("second\n")
    several.backup(source)
    (data,) = (tmp_path / "one").glob("data/tar/*/*/0_*/data")
    content = bytearray(data.read_bytes())
    if ruin == "byte":
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif ruin == "cut":
        data.write_bytes(content[:-1])
    elif ruin == "gone":
        data.unlink()
    else:
        several.add_dead_host("one")
    ended = several.restore(tmp_path / "target")
    assert ended.status == 0, ended.stderr
    assert ended.report["storage"] == "two"
    assert "warning: storage one was passed over" in ended.stderr
    assert (tmp_path / "target/file").read_text() == "second\n"
    assert (tmp_path / "target/random").read_bytes() == (source / "random").read_bytes()


def test_restore_takes_the_newest_backup_wherever_it_is(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    (source / "file").write_text("newer\n")
    only_two = Several(agent, "two")
    only_two.backup(source)
    ended = several.restore(tmp_path / "target")
    assert ended.status == 0
    assert ended.report["storage"] == "two"
    assert (tmp_path / "target/file").read_text() == "newer\n"


def test_restore_without_any_good_copy_fails_with_every_reason(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    for data in tmp_path.glob("*/data/tar/*/*/0_*/data"):
        data.write_bytes(data.read_bytes()[:-1])
    ended = several.restore(tmp_path / "target")
    assert ended.status == 1
    assert "no storage has a good copy" in ended.stderr
    assert "storage one:" in ended.stderr
    assert "storage two:" in ended.stderr


def test_a_full_target_is_not_touched_by_a_second_copy(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    shutil.rmtree(tmp_path / "one/data")
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").write_text("mine\n")
    ended = several.restore(tmp_path / "target")
    assert ended.status == 1
    assert "is not empty" in ended.stderr
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["mine"]


def test_nothing_was_ever_stored(agent: AgentCommand, tmp_path: Path) -> None:
    ended = Several(agent, "one", "two").restore(tmp_path / "target")
    assert ended.status == 1
    assert "No matching backup name" in ended.stderr


def test_looking_and_removing_go_over_all_storages(agent: AgentCommand, source: Path) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    several.add_dead_host("away")
    listed = several.run("--action", "info", "-l", "--json")
    assert listed.status == 1
    assert "storage away" in listed.stderr
    assert [one["storage"] for one in listed.report["storages"]] == ["one", "two"]
    table = several.run("--action", "info", "-l", "--require-storages", "any")
    assert table.status == 0
    assert "| one " in table.stdout
    assert "| two " in table.stdout
    removed = several.run(
        *("--action", "admin", "--remove-before-date", "2100-01-01T00:00:00", "--force", "--json"),
    )
    assert removed.status == 1
    assert [len(one["removed_backups"]) for one in removed.report["storages"]] == [1, 1]
    assert several.levels("one") == several.levels("two") == []


def test_files_are_listed_once_from_the_first_storage_that_can(
    agent: AgentCommand, source: Path
) -> None:
    several = Several(agent, "one", "two")
    several.backup(source)
    shutil.rmtree(agent.folder / "one")
    listed = several.run("--action", "files", "--metadata-out", "-")
    assert listed.status == 0, listed.stderr
    assert listed.report["storage"] == "two"
    assert "warning: storage one:" in listed.stderr
    shutil.rmtree(agent.folder / "two")
    nowhere = several.run("--action", "files")
    assert nowhere.status == 1
    assert "storage two: No matching backup" in nowhere.stderr


def test_removal_with_a_backup_and_with_a_restore_is_done_in_each_storage(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    several = Several(agent, "one", "two")
    words = ("-F", source, "--metadata-out", "-")
    several.run(*words)
    second = several.run(*words, "--remove-before-date", "2100-01-01T00:00:00")
    assert len(second.report["removed_backups"]) == 1
    assert several.levels("one") == several.levels("two") == [0]
    several.run(*words)
    ended = several.restore(tmp_path / "target", "--remove-before-date", "2100-01-01T00:00:00")
    assert ended.status == 0, ended.stderr
    assert several.levels("one") == several.levels("two") == [0]


def test_a_container_inside_the_source_is_left_out(agent: AgentCommand, source: Path) -> None:
    several = Several(agent, "source/kept", "two")
    several.sections["inside"] = several.sections.pop("source/kept")
    assert several.backup(source).status == 0
    second = several.run("-F", source, "--metadata-out", "-")
    assert second.report["total_fs_files"] == 2


def test_a_dry_run_stores_nothing(agent: AgentCommand, source: Path, tmp_path: Path) -> None:
    several = Several(agent, "one", "two")
    ended = several.backup(source, "--dry-run")
    assert ended.status == 0
    assert not (tmp_path / "one").exists()
