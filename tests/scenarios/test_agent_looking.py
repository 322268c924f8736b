"""Look at what is stored: list, files, verify, and restore some of it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.agent_command import AgentCommand
from tests.fakes.trees import change_tree, differences, make_tree, tree_state

OLD = Path(__file__).parents[1] / "fixtures" / "freezer-19.0.0"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    make_tree(folder)
    return folder


@pytest.fixture
def chain(agent: AgentCommand, source: Path) -> AgentCommand:
    """Three levels of one chain."""
    agent.backup(source, "--max-level", "5")
    for step in (1, 2):
        change_tree(source, step)
        agent.backup(source, "--max-level", "5")
    return agent


def look(agent: AgentCommand, action: str, *words: str | Path) -> dict[str, Any]:
    ended = agent.run("--action", action, *agent.storage, "--json", *words)
    assert ended.status == 0, ended.stderr
    return ended.report


def one_object(agent: AgentCommand, pattern: str) -> Path:
    (found,) = agent.container.glob(pattern)
    return found


def flip(path: Path, at: int = -20) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_files_are_listed_without_reading_the_data(chain: AgentCommand, source: Path) -> None:
    for data in chain.container.glob("data/tar/*/*/*/data"):
        # Same size, no sense: whoever reads it finds out.
        data.write_bytes(bytes(data.stat().st_size))
    report = look(chain, "files", "-N", "name")
    names = {os.fsencode(one["name"]) for one in report["files"]}
    assert names == {*tree_state(source)} - {b"."}
    assert report["warnings"] == []
    same = next(one for one in report["files"] if one["name"] == "plain/same")
    assert (same["size"], same["level"], same["kind"]) == (76800, 0, "file")


def test_files_are_listed_though_the_data_is_gone(chain: AgentCommand, source: Path) -> None:
    one_object(chain, "data/tar/*/*/0_*/data").unlink()
    one_object(chain, "data/tar/*/*/2_*/data").write_bytes(b"cut")
    names = {os.fsencode(one["name"]) for one in look(chain, "files", "-N", "name")["files"]}
    assert names == {*tree_state(source)} - {b"."}
    assert chain.restore(source.parent / "out").status == 1


def test_files_are_searched(chain: AgentCommand) -> None:
    report = look(chain, "files", "-N", "name", "--include", "added*", "--include", "/hard/*")
    names = [one["name"] for one in report["files"]]
    expected = ["hard/one", "hard/step 1", "hard/step 2", "hard/two"]
    assert names == [*expected, "plain/added 1", "plain/added 2"]
    table = chain.run("--action", "files", *chain.storage, "-N", "name", "--include", "set-uid")
    assert "| -rwsr-xr-x |" in table.stdout


def test_files_at_a_date(chain: AgentCommand) -> None:
    first = chain.listed()[0]["date"]
    words = ("-N", "name", "--include", "plain/*", "--restore-from-date", first)
    names = [one["name"] for one in look(chain, "files", *words)["files"]]
    assert "plain/removed" in names
    assert "plain/added 1" not in names


@pytest.mark.parametrize("name", ["gzip", "encrypted", "always"])
def test_files_of_19_0_0_are_listed_by_reading_the_streams(agent: AgentCommand, name: str) -> None:
    shutil.copytree(OLD / "container", agent.container)
    words = ["-N", name, "--hostname", "node", "--encrypt-pass-file", OLD / "pass-phrase"]
    report = look(agent, "files", *words, "--allow-unencrypted")
    assert "no index" in report["warnings"][-1]
    expected = json.loads((OLD / "expected.json").read_text())
    state = expected["states"][4 if name == "always" else 2]
    assert {one["name"] for one in report["files"]} == {*state} - {"."}


def test_chosen_files_are_restored_and_nothing_else_is_touched(
    chain: AgentCommand, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "plain").mkdir(parents=True)
    (out / "plain" / "mine").write_text("mine")
    words = ["--include", "/plain/changed", "--include", "hard/two", "--metadata-out", "-"]
    refused = chain.restore(out, *words)
    assert refused.status == 1
    assert "is not empty" in refused.stderr
    ended = chain.restore(out, *words, "--overwrite")
    assert ended.status == 0, ended.stderr
    assert ended.report["chosen_files"] == 2
    after, wanted = tree_state(out), tree_state(source)
    assert {*after} == {b".", b"plain", b"plain/mine", b"plain/changed", b"hard", b"hard/two"}
    assert after[b"plain/changed"] == wanted[b"plain/changed"]
    assert after[b"hard"] == wanted[b"hard"]
    assert (out / "hard" / "two").read_text() == "one file, several names\n"


def test_a_choice_of_nothing_is_an_error(chain: AgentCommand, tmp_path: Path) -> None:
    ended = chain.restore(tmp_path / "out", "--include", "plain/removed")
    assert ended.status == 1
    assert "nothing in " in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_what_it_would_restore(chain: AgentCommand, tmp_path: Path) -> None:
    words = ["--include", "plain", "--dry-run", "--metadata-out", "-"]
    ended = chain.restore(tmp_path / "out", *words)
    assert ended.report["chosen_files"] > 5
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cipher", ["automatic", "aes-256-cfb"])
def test_chosen_files_of_an_encrypted_backup(
    agent: AgentCommand, source: Path, tmp_path: Path, cipher: str
) -> None:
    key = tmp_path / "key"
    key.write_text("pass phrase\n")
    key.chmod(0o600)
    with_key = ("--encrypt-pass-file", key)
    agent.backup(source, *with_key, "--cipher", cipher, "--compression", "none")
    index = one_object(agent, "data/tar/*/*/*/index").read_bytes()
    # In the clear it is a zstd stream, which anybody can expand.
    assert not index.startswith(b"\x28\xb5\x2f\xfd")
    assert b"set-uid" not in index
    assert agent.restore(tmp_path / "out", *with_key, "--include", "set-uid").status == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["set-uid"]
    assert len(look(agent, "files", "-N", "name", *with_key, "--include", "set-uid")["files"]) == 1
    ended = agent.run("--action", "files", *agent.storage, "-N", "name")
    assert ended.status == 1
    assert "key" in ended.stderr


def test_backups_are_listed_with_what_is_known_of_them(chain: AgentCommand, source: Path) -> None:
    chain.backup(source, "--hostname", "other_host")
    found = look(chain, "list")["backups"]
    assert [one["level"] for one in found if one["hostname"] != "other_host"] == [0, 1, 2]
    assert all(one["files"] > 0 and one["size"] > 0 and not one["encrypted"] for one in found)
    (one,) = look(chain, "list", "--hostname", "other_host", "-N", "name")["backups"]
    assert (one["hostname"], one["backup_name"]) == ("other_host", "name")
    assert look(chain, "list", "-N", "nobody")["backups"] == []
    second = sorted(one["date"] for one in found)[1]
    expected = [one["backup"] for one in found if one["date"] >= second]
    since = look(chain, "list", "--since", second)["backups"]
    assert [one["backup"] for one in since] == expected
    assert [one["hostname"] for one in since].count("other_host") <= 1
    assert len(look(chain, "list", "--until", "2020-01-01T00:00:00")["backups"]) == 0
    table = chain.run("--action", "list", *chain.storage).stdout
    assert "| Host" in table
    assert "| never" in table


def test_verify_checks_and_the_list_remembers(chain: AgentCommand) -> None:
    report = look(chain, "verify")
    assert [one["checked"] for one in report["backups"]] == ["structure"] * 3
    assert "structure 20" in chain.run("--action", "list", *chain.storage).stdout
    report = look(chain, "verify", "-N", "name", "--read-data")
    assert [one["checked"] for one in report["backups"]] == ["data"] * 3
    assert [one["verified"]["good"] for one in look(chain, "list")["backups"]] == [True] * 3
    assert all(one["verified"]["data_at"] for one in look(chain, "list")["backups"])


def test_a_share_comes_round_to_everything(chain: AgentCommand) -> None:
    read: list[str] = []
    for _ in range(10):
        report = look(chain, "verify", "--read-data", "10%")
        read += [one["backup"] for one in report["backups"] if one["checked"] == "data"]
    assert {*read} == {one["backup"] for one in look(chain, "list")["backups"]}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("data/tar/*/*/1_*/data", "its data is missing"),
        ("data/tar/*/*/1_*/engine_metadata", "its engine state is missing"),
        ("data/tar/*/*/1_*/index", "its index of files is missing"),
        ("metadata/tar/*/*/1_*/metadata", "level 1, which it builds on, is missing"),
    ],
)
def test_what_is_missing_is_found_by_structure(
    chain: AgentCommand, pattern: str, problem: str
) -> None:
    one_object(chain, pattern).unlink()
    ended = chain.run("--action", "verify", *chain.storage, "--json")
    assert ended.status == 1
    bad = [one for one in ended.report["backups"] if not one["good"]]
    assert len(bad) == 1
    assert bad[0]["problems"] == [problem]
    assert "1 of " in ended.stderr
    assert "BAD" in chain.run("--action", "list", *chain.storage).stdout


@pytest.mark.parametrize("name", ["data", "engine_metadata", "index"])
def test_what_is_cut_is_found_by_structure(chain: AgentCommand, name: str) -> None:
    path = one_object(chain, f"data/tar/*/*/1_*/{name}")
    path.write_bytes(path.read_bytes()[:-1])
    ended = chain.run("--action", "verify", *chain.storage, "--json")
    assert ended.status == 1
    (problem,) = [one for each in ended.report["backups"] for one in each["problems"]]
    assert f" has {path.stat().st_size} bytes, {path.stat().st_size + 1} were written" in problem


def test_verify_of_a_name_that_is_not_there_fails(chain: AgentCommand) -> None:
    ended = chain.run("--action", "verify", *chain.storage, "-N", "nmae", "--json")
    assert ended.status == 1
    assert ended.report["checked"] == 0
    assert "'nmae'" in ended.stderr
    later = ("--since", "2099-01-01T00:00:00")
    assert look(chain, "verify", "-N", "name", *later)["checked"] == 0


def test_a_level_in_the_place_of_another_is_found_and_not_restored(
    chain: AgentCommand, tmp_path: Path
) -> None:
    path = one_object(chain, "metadata/tar/*/*/1_*/metadata")
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, "base_sha256": "0" * 64}) + "\n")
    ended = chain.run("--action", "verify", *chain.storage, "--json")
    assert ended.status == 1
    (bad,) = [one for one in ended.report["backups"] if not one["good"]]
    (problem,) = bad["problems"]
    assert "was built on another" in problem
    for words in ([], ["--include", "plain"]):
        restored = chain.restore(tmp_path / "out", *words)
        assert restored.status == 1
        assert "was built on another" in restored.stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["data", "engine_metadata", "index"])
def test_a_flipped_byte_is_found_by_reading(chain: AgentCommand, name: str) -> None:
    flip(one_object(chain, f"data/tar/*/*/1_*/{name}"))
    assert chain.run("--action", "verify", *chain.storage).status == 0
    ended = chain.run("--action", "verify", *chain.storage, "--read-data", "--json")
    assert ended.status == 1
    assert [one["level"] for one in ended.report["backups"] if not one["good"]] == [1]


def test_broken_metadata_is_told(chain: AgentCommand) -> None:
    one_object(chain, "metadata/tar/*/*/2_*/metadata").write_text("{")
    ended = chain.run("--action", "verify", *chain.storage, "--json")
    assert ended.status == 1
    assert "is no JSON" in ended.report["backups"][-1]["problems"][0]
    assert chain.run("--action", "list", *chain.storage).status == 0


def test_digests_are_checked_without_a_key(
    agent: AgentCommand, source: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("pass phrase\n")
    key.chmod(0o600)
    agent.backup(source, "--encrypt-pass-file", key)
    report = look(agent, "verify", "--read-data")
    assert [one["checked"] for one in report["backups"]] == ["digest"]
    report = look(agent, "verify", "--read-data", "--encrypt-pass-file", key)
    assert [one["checked"] for one in report["backups"]] == ["data"]
    flip(one_object(agent, "data/tar/*/*/*/data"))
    assert agent.run("--action", "verify", *agent.storage, "--read-data").status == 1


def test_verify_of_19_0_0(agent: AgentCommand) -> None:
    shutil.copytree(OLD / "container", agent.container)
    words = ["--encrypt-pass-file", OLD / "pass-phrase", "--allow-unencrypted", "--read-data"]
    report = look(agent, "verify", "--hostname", "node", *words)
    assert {one["checked"] for one in report["backups"]} == {"data"}
    assert report["good"] is True


def test_a_dry_run_of_verify_remembers_nothing(chain: AgentCommand) -> None:
    look(chain, "verify", "--dry-run")
    assert not (chain.container / "checks").exists()


def test_checks_that_cannot_be_read_count_as_none(chain: AgentCommand) -> None:
    look(chain, "verify")
    one_object(chain, "checks/*/checks").write_text('{"backups": {"x": 1}}')
    assert {one["verified"] for one in look(chain, "list")["backups"]} == {None}
    look(chain, "verify")
    assert all(one["verified"]["good"] for one in look(chain, "list")["backups"])


@pytest.mark.parametrize("share", ["0", "101%", "much"])
def test_a_wrong_share_is_refused(agent: AgentCommand, share: str) -> None:
    ended = agent.run("--action", "verify", *agent.storage, "--read-data", share)
    assert ended.status == 1
    assert "is no share" in ended.stderr


def test_everything_chosen_is_everything(chain: AgentCommand, source: Path, tmp_path: Path) -> None:
    assert chain.restore(tmp_path / "out", "--include", "**").status == 0
    before, after = tree_state(source), tree_state(tmp_path / "out")
    del before[b"."], after[b"."]
    assert differences(before, after) == []
