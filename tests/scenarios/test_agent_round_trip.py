"""Backup and restore of whole trees with the real agent over local storage."""

import stat
from datetime import datetime
from pathlib import Path

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.trees import change_tree, differences, make_tree, tree_state


def restored_state(agent: AgentCommand, target: Path, *words: str) -> dict[bytes, object]:
    ended = agent.restore(target, *words)
    assert ended.status == 0, ended.stderr
    return tree_state(target)


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "xz", "zstd", "none"])
def test_every_level_comes_back_by_its_date(
    agent: AgentCommand, tmp_path: Path, compression: str
) -> None:
    source = tmp_path / "source"
    make_tree(source)
    states, dates = [], []
    for level in range(3):
        if level:
            change_tree(source, level)
        report = agent.backup(source, "--max-level", "5", "--compression", compression)
        assert report["level"] == report["curr_backup_level"] == level
        states.append(tree_state(source))
        dates.append(datetime.fromtimestamp(report["time_stamp"]).isoformat())  # noqa: DTZ006
    for level, (state, date) in enumerate(zip(states, dates, strict=True)):
        target = tmp_path / f"restored {level}"
        found = restored_state(agent, target, "--restore-from-date", date)
        assert differences(state, found) == []


def test_an_encrypted_chain_comes_back(agent: AgentCommand, tmp_path: Path) -> None:
    source, key = tmp_path / "source", tmp_path / "key"
    key.write_text("correct horse\nsecond line\n")
    make_tree(source)
    report = agent.backup(source, "--max-level", "1", "--encrypt-pass-file", key)
    change_tree(source, 1)
    agent.backup(source, "--max-level", "1", "--encrypt-pass-file", key)
    assert report["encrypted"] is True
    found = restored_state(agent, tmp_path / "out", "--encrypt-pass-file", str(key))
    assert differences(tree_state(source), found) == []


def test_a_wrong_or_missing_key_restores_nothing(agent: AgentCommand, tmp_path: Path) -> None:
    source, key, wrong = tmp_path / "source", tmp_path / "key", tmp_path / "wrong"
    key.write_text("right\n")
    wrong.write_text("wrong\n")
    make_tree(source)
    agent.backup(source, "--encrypt-pass-file", key)
    without = agent.restore(tmp_path / "out")
    assert without.status == 1
    assert "encrypted backup without key" in without.stderr
    assert not (tmp_path / "out").exists()
    ended = agent.restore(tmp_path / "out", "--encrypt-pass-file", wrong)
    assert ended.status == 1
    assert "pass phrase" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_siblings_of_always_level_come_back_by_date(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    states = []
    for run in range(5):
        (source / "file").write_text(f"run {run}\n")
        (source / f"only in {run}").write_text("x")
        if run:
            (source / f"only in {run - 1}").unlink()
        report = agent.backup(source, "--always-level", "2")
        states.append((report["level"], report["time_stamp"], tree_state(source)))
    assert [level for level, _, _ in states] == [0, 1, 2, 2, 2]
    for run, (_, stamp, state) in enumerate(states):
        date = datetime.fromtimestamp(stamp).isoformat()  # noqa: DTZ006
        found = restored_state(agent, tmp_path / f"out {run}", "--restore-from-date", date)
        assert differences(state, found) == []
    assert differences(states[-1][2], restored_state(agent, tmp_path / "latest")) == []


def test_a_single_file_with_a_blank_comes_back(agent: AgentCommand, tmp_path: Path) -> None:
    file = tmp_path / "with blank" / "f i"
    file.parent.mkdir()
    file.write_bytes(b"content")
    agent.backup(file)
    assert agent.restore(tmp_path / "out").status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f i"]
    assert (tmp_path / "out" / "f i").read_bytes() == b"content"


def test_excluded_files_are_left_out(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a.log", "b.tmp", "c.txt"):
        (source / name).touch()
    agent.backup(source, "--exclude", "*.log", "--exclude", "*.tmp")
    assert agent.restore(tmp_path / "out").status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["c.txt"]


def test_a_container_inside_the_source_is_not_backed_up(
    agent: AgentCommand, tmp_path: Path
) -> None:
    agent.container = tmp_path / "source" / "back [ups]*"
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    agent.backup(source)
    agent.backup(source)
    assert agent.restore(tmp_path / "out").status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]


def test_what_is_stored_is_private(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source)
    agent.backup(source)
    modes = {
        stat.S_IMODE(path.stat().st_mode)
        for path in agent.container.rglob("*")
        if path.is_file() or path.is_dir()
    }
    assert modes == {0o600, 0o700}


def test_a_dry_run_writes_nothing_anywhere(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source)
    report = agent.backup(source, "--dry-run")
    assert report["dry_run"] is True
    assert report["backup_size_uncompressed"] > 0
    assert not agent.container.exists()
    assert list(agent.home.iterdir()) == []


def test_a_dry_restore_verifies_and_writes_nothing(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source)
    agent.backup(source)
    assert agent.restore(tmp_path / "out", "--dry-run").status == 0
    assert not (tmp_path / "out").exists()
    (data,) = agent.container.rglob("data/*/*/*/*/data")
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    ended = agent.restore(tmp_path / "out", "--dry-run")
    assert ended.status == 1
    assert "Nothing was written" in ended.stderr


def test_a_name_with_a_template_is_filled_in_and_found_again(
    agent: AgentCommand, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    words = [*agent.storage, "--hostname", "node"]
    assert agent.run(*words, "-F", source, "--nosync").status == 0
    assert (agent.container / "metadata" / "tar" / "node_freezer_fs_node").is_dir()
    target = tmp_path / "out"
    ended = agent.run("--action", "restore", *words, "--restore-abs-path", target)
    assert ended.status == 0, ended.stderr


def test_a_backup_under_the_unfilled_name_is_found(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    agent.backup(source)
    (name,) = (agent.container / "metadata" / "tar").iterdir()
    literal = "node_freezer_{mode}_{resource_id}"
    for root in ("metadata", "data"):
        folder = agent.container / root / "tar"
        (folder / name.name).rename(folder / literal)
    target = tmp_path / "out"
    words = [*agent.storage, "--hostname", "node", "--restore-abs-path", str(target)]
    ended = agent.run("--action", "restore", *words)
    assert ended.status == 0, ended.stderr
    assert (target / "file").read_text() == "x"


def test_names_with_dollar_percent_and_slash_work(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("co$t", "100%", "a/b", "{unknown}", "bl ank", "new\nline"):
        words = [*agent.storage, "-N", name, "--nosync"]
        assert agent.run(*words, "-F", source).status == 0
        target = tmp_path / "out"
        ended = agent.run("--action", "restore", *words, "--restore-abs-path", target)
        assert ended.status == 0, ended.stderr


def test_the_checksum_of_the_tree_is_reported_and_compared(
    agent: AgentCommand, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make_tree(source)
    report = agent.backup(source, "--consistency-check")
    good = report["consistency_checksum"]
    ended = agent.restore(tmp_path / "out", "--consistency-checksum", good)
    assert ended.status == 0, ended.stderr
    ended = agent.restore(tmp_path / "out 2", "--consistency-checksum", "0" * 64)
    assert ended.status == 1
    assert good in ended.stderr


def test_two_runs_in_one_second_get_times_of_their_own(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    stamps = [agent.backup(source)["time_stamp"] for _ in range(4)]
    assert len(set(stamps)) == 4
    assert len(agent.listed()) == 4


def test_without_incremental_every_backup_is_full_but_can_be_built_on(
    agent: AgentCommand, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    assert [agent.backup(source)["level"] for _ in range(2)] == [0, 0]
    assert agent.backup(source, "--incremental")["level"] == 1


def test_no_incremental_keeps_nothing_to_build_on(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    agent.backup(source, "--no-incremental")
    assert list(agent.container.rglob("engine_metadata")) == []
    report = agent.backup(source, "--incremental")
    assert report["level"] == 0
    assert "no sound engine state" in report["warnings"][0]


def test_an_altered_state_makes_a_full_backup(agent: AgentCommand, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source)
    agent.backup(source)
    (state,) = agent.container.rglob("engine_metadata")
    state.write_bytes(state.read_bytes()[:-10] + b"0123456789")
    assert agent.backup(source, "--incremental")["level"] == 0


def test_relative_paths_mean_the_directory_of_the_start(
    agent: AgentCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").mkdir()
    monkeypatch.chdir(tmp_path)
    ended = agent.run(
        "--storage=local", "-C", "container", "-F", "source", "--metadata-out", "report"
    )
    assert ended.status == 0, ended.stderr
    assert ended.stdout == ""
    assert (tmp_path / "report").exists()
    assert list((tmp_path / "source").iterdir()) == []
    assert Path.cwd() == tmp_path
