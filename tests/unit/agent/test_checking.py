"""From options to requests, and everything that can be wrong with them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freezer_agent.conf.checking import Surroundings, expand_name, to_request
from freezer_agent.conf.options import gather
from freezer_agent.conf.parser import Parser
from freezer_agent.errors import RequestInvalid
from freezer_agent.requests import (
    BackupRequest,
    CommandRequest,
    Compression,
    Dereference,
    InfoRequest,
    LevelRules,
    PruneRequest,
    Request,
    Requirement,
    RestoreRequest,
    SessionRun,
    SetName,
    SeveralRequest,
)
from freezer_agent.storage_choices import LocalStorage, SshStorage

LOCAL = ("--storage", "local", "-C", "store")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "source").mkdir()


def request_of(start: Path, *words: str, home: Path = Path("/")) -> Request:
    options = gather(Parser("freezer-agent").parse(words), start)
    return to_request(options, Surroundings(start=start, host="node", home=home))


def reasons_of(start: Path, *words: str) -> tuple[str, ...]:
    with pytest.raises(RequestInvalid) as caught:
        request_of(start, *words)
    return caught.value.reasons


def backup_of(start: Path, *words: str) -> BackupRequest:
    request = request_of(start, *LOCAL, "-F", "source", *words)
    assert isinstance(request, BackupRequest)
    return request


def test_a_plain_backup(tmp_path: Path) -> None:
    request = backup_of(tmp_path)
    assert request.source == tmp_path / "source"
    assert request.storage.container == tmp_path / "store"
    assert request.set_name == SetName(
        host="node", name="freezer_fs_node", other_name="freezer_{mode}_{resource_id}"
    )
    assert request.compression is Compression.GZIP
    assert request.levels == LevelRules()
    assert request.sync


@pytest.mark.parametrize(
    ("words", "rules"),
    [
        ([], LevelRules()),
        (["--max-level", "0"], LevelRules()),
        (["--max-level", "3"], LevelRules(incremental=True, max_level=3)),
        (["--always-level", "3"], LevelRules(incremental=True, always_level=3)),
        (["--incremental"], LevelRules(incremental=True)),
        (["--no-incremental"], LevelRules(keep_state=False)),
        (["--noincremental"], LevelRules()),
        (
            ["--always-level", "2", "--restart-always-level", "0.5"],
            LevelRules(incremental=True, always_level=2, restart_after=timedelta(hours=12)),
        ),
    ],
)
def test_level_options_imply_increments(
    tmp_path: Path, words: list[str], rules: LevelRules
) -> None:
    assert backup_of(tmp_path, *words).levels == rules


def test_a_link_to_the_source_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("source")
    request = request_of(tmp_path, *LOCAL, "-F", "link")
    assert isinstance(request, BackupRequest)
    assert request.source == tmp_path / "source"
    assert request.facts["path_to_backup"] == "link"


def test_links_and_excludes(tmp_path: Path) -> None:
    request = backup_of(tmp_path, "--dereference-symlink", "all", "--exclude", "a")
    assert request.dereference is Dereference.ALL
    assert request.excludes == ("a",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00:00.5Z", datetime(2026, 1, 31, 12, 0, 0, 500000, tzinfo=UTC)),
        ("2026-01-31 12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12).astimezone()),
    ],
)
def test_a_date_without_a_zone_is_local_time(tmp_path: Path, text: str, expected: datetime) -> None:
    words = ("--action", "restore", "--restore-abs-path", "out", "--restore-from-date", text)
    request = request_of(tmp_path, *LOCAL, *words)
    assert isinstance(request, RestoreRequest)
    assert request.at == expected
    assert request.target == tmp_path / "out"


@pytest.mark.parametrize(
    "words",
    [
        ("--action", "restore", "--restore-abs-path", "target", "--mode", "mysql"),
        ("--action", "restore", "--restore-abs-path", "target", "--snapshot", "--lvm-srcvol=x"),
        ("--action", "admin", "-R", "1", "--mode", "mongo", "--mysql-conf", "x"),
        ("--action", "info", "--mode", "nova", "--engine", "nova"),
        ("--action", "list", "--mode", "cinder"),
    ],
)
def test_what_only_backups_need_is_passed_over_elsewhere(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    request_of(tmp_path, *LOCAL, *words)


@pytest.mark.parametrize(
    "text",
    ["20300101T000000Z", "2030-01-01T01+01:00", "2030-01-01 00:00Z", "2030-01-01T00:00:00,0Z"],
)
def test_other_forms_of_iso_8601_are_dates_too(tmp_path: Path, text: str) -> None:
    request = request_of(
        tmp_path,
        *(*LOCAL, "--action", "restore", "--restore-abs-path", "x", "--restore-from-date", text),
    )
    assert isinstance(request, RestoreRequest)
    assert request.at == datetime(2030, 1, 1, tzinfo=UTC)


def test_paths_may_begin_at_home(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "data").mkdir(parents=True)
    (folder / "key").touch()
    request = request_of(
        tmp_path, *LOCAL, "--path-to-backup=~/data", "--encrypt-pass-file=~/key", home=folder
    )
    assert isinstance(request, BackupRequest)
    assert request.source == folder / "data"
    assert request.encryption.pass_file == folder / "key"


def test_admin_takes_an_age_or_a_date(tmp_path: Path) -> None:
    words = (*LOCAL, "--action", "admin")
    by_age = request_of(tmp_path, *words, "-R", "1.5", "--force")
    assert isinstance(by_age, PruneRequest)
    assert (by_age.removal.older_than, by_age.removal.force) == (timedelta(hours=36), True)
    for name in ("--remove-before-date", "--remove-from-date"):
        by_date = request_of(tmp_path, *words, name, "2026-01-31T12:00:00Z")
        assert isinstance(by_date, PruneRequest)
        assert by_date.removal.before == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_info(tmp_path: Path) -> None:
    request = request_of(tmp_path, *LOCAL, "--action", "info", "-l")
    assert isinstance(request, InfoRequest)
    assert request.list_backups
    assert request.only_named


@pytest.mark.parametrize(
    ("command", "pipeline"),
    [
        ("ls", (("ls",),)),
        ("sh -c 'exit 3'", (("sh", "-c", "exit 3"),)),
        ("a 'b c' | d|e \"|\" x", (("a", "b c"), ("d",), ("e", "|", "x"))),
        ("echo # $HOME > x && y;", (("echo", "#", "$HOME", ">", "x", "&&", "y;"),)),
        ("echo ''", (("echo", ""),)),
        (r"echo \| 'it\' | x", (("echo", "|", "it\\"), ("x",))),
        (r"""echo "a\"|b" | x""", (("echo", 'a"|b'), ("x",))),
    ],
)
def test_a_command_is_split_like_a_shell_does(
    tmp_path: Path, command: str, pipeline: tuple[tuple[str, ...], ...]
) -> None:
    request = request_of(tmp_path, "--action", "exec", "--command", command)
    assert isinstance(request, CommandRequest)
    assert request.pipeline == pipeline
    assert request.timeout_seconds is None


def test_a_given_timeout_bounds_the_command(tmp_path: Path) -> None:
    words = ("--action", "exec", "--command", "ls", "--timeout", "7")
    request = request_of(tmp_path, *words)
    assert isinstance(request, CommandRequest)
    assert request.timeout_seconds == 7


WRONG = [
    ([], "needs --path-to-backup"),
    (["-F", "missing"], "does not exist"),
    (["-F", "source", "-C", "source"], "into itself"),
    (["-F", "source", "-C", ""], "--container is empty"),
    (["-F", "source", "-N", ""], "backup name"),
    (["-F", "source", "-N", "a//b"], "backup name"),
    (["-F", "source", "-N", "../x/.."], "backup name"),
    (["-F", "source", "--hostname", "a/b"], "no name of a host"),
    (["-F", "source", "--no-incremental", "--max-level", "1"], "--no-incremental contradicts"),
    (["-F", "source", "--noincremental", "--always-level", "1"], "--noincremental forbids"),
    (["-F", "source", "-R", "1", "--remove-from-date", "2026-01-01T00:00:00"], "same thing twice"),
    (["-F", "source", "-R", "1e9"], "0 to 36500 days"),
    (["-F", "source", "-R", "nan"], "0 to 36500 days"),
    (["-F", "source", "--encrypt-pass-file", "missing"], "no file that can be read"),
    (["-F", "source", "--encrypt-pass-file", "source"], "no file that can be read"),
    (["-F", "source", "--mode", "mysql"], "mode mysql"),
    (["-F", "source", "--engine", "rsync"], "engine rsync"),
    (["-F", "source", "--snapshot"], "--snapshot"),
    (["-F", "source", "--lvm-srcvol", "/dev/x"], "--lvm-srcvol"),
    (["-F", "source", "--lvm-volgroup", "x"], "--lvm-volgroup"),
    (["-F", "source", "--lvm-snapname", "x"], "--lvm-snapname"),
    (["-F", "source", "--lvm-dirmount", "x"], "--lvm-dirmount"),
    (["--action", "restore", "--mode", "nova"], "mode nova"),
    (["--action", "admin", "--engine", "rsync"], "engine rsync"),
    (["--action", "restore", "--nova-inst-id", "x"], "--nova-inst-id"),
    (["-F", "source", "--metadata-out", "source"], "cannot be written"),
    (["-F", "source", "--metadata-out", "missing/x"], "no such directory"),
    (["-F", "source", "-N", "x" * 251, "--hostname", "host"], "more than 255 bytes"),
    (["-F", "source", "--mysql-conf", "x"], "--mysql-conf"),
    (["-F", "source", "--upload-limit", "0"], "--upload-limit 0 would never end"),
    (["-F", "source", "--download-limit", "0"], "--download-limit 0 would never end"),
    (["--nova-inst-id", "x"], "--nova-inst-id"),
    (["--cinder-vol-id", "x"], "--cinder-vol-id"),
    (["--cindernative-vol-id", "x"], "--cindernative-vol-id"),
    (["--glance-image-id", "x"], "--glance-image-id"),
    (["-F", "source", "--storage", "swift"], "--storage local --container"),
    (["-F", "source", "--storage", "ssh"], "storage ssh needs --ssh-host"),
    (["-F", "source", "--storage", "s3"], "storage s3 needs --access-key"),
    (["-F", "source", "--storage", "ftps"], "storage ftps needs --ftp-host, --ftp-username"),
    (["--action", "restore"], "needs --restore-abs-path"),
    (["--action", "restore", "--restore-abs-path", "file"], "is no directory"),
    (["--action", "restore", "--restore-from-date", "yesterday"], "--restore-from-date takes"),
    (["--action", "restore", "--restore-from-date", "2026-02-30T00:00:00"], "--restore-from-date"),
    (["--action", "restore", "--consistency-checksum", "xyz"], "64 hexadecimal"),
    (["--action", "admin"], "needs one of --remove-older-than"),
    (["--action", "admin", "--remove-before-date", "x"], "--remove-before-date takes"),
    (["--action", "exec"], "needs --command"),
    (["--action", "exec", "--command", "  "], "needs --command"),
    (["--action", "exec", "--command", "a 'b"], "quote"),
    (["--action", "exec", "--command", "a || b"], "empty part"),
    (["--action", "exec", "--command", "a |"], "empty part"),
    (["--action", "exec", "--command", "| a"], "empty part"),
]


@pytest.mark.parametrize(("words", "reason"), WRONG)
def test_wrong_requests_are_refused_with_a_sentence(
    tmp_path: Path, words: list[str], reason: str
) -> None:
    (tmp_path / "file").touch()
    storage = () if "--storage" in words else LOCAL
    found = reasons_of(tmp_path, *storage, *words)
    assert any(reason in one for one in found), found
    assert not (tmp_path / "store").exists()


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    found = reasons_of(
        tmp_path, "--mode", "mysql", "-s", "--max-level=1", "--no-incremental", "-F", "x"
    )
    assert len(found) == 5


def test_info_on_a_directory_needs_its_name(tmp_path: Path) -> None:
    (reason,) = reasons_of(tmp_path, "--action", "info", "--storage", "local")
    assert "--container" in reason


def test_sections_are_several_storages_that_inherit_the_rest(tmp_path: Path) -> None:
    (tmp_path / "job").write_text(
        "[a]\nstorage = local\ncontainer = unused\nssh_port = 2222\nrequire_storages = any\n"
        "[storage:one]\ncontainer = one\n"
        "[storage:two]\nstorage = ssh\nssh-host = there\nssh_username = me\ncontainer = two\n"
    )
    request = request_of(tmp_path, "--config", "job", "-F", "source", "--queue-size", "7")
    assert isinstance(request, SeveralRequest)
    one, two = request.storages
    assert (one.name, one.choice) == ("one", LocalStorage(container=tmp_path / "one"))
    assert two.name == "two"
    assert isinstance(two.choice, SshStorage)
    assert (two.choice.host, two.choice.port, two.choice.container) == ("there", 2222, "two")
    assert (request.requirement, request.queue_size) == (Requirement.ANY, 7)
    assert isinstance(request.request, BackupRequest)


def test_each_section_is_checked_and_named(tmp_path: Path) -> None:
    (tmp_path / "job").write_text(
        "[storage:one]\nstorage = ssh\n[storage:two]\nstorage = s3\n[storage:three]\n"
        "storage = local\ncontainer = source\n"
    )
    found = reasons_of(tmp_path, "--config", "job", "-F", "source")
    assert any("storage:one: storage ssh needs --ssh-host" in one for one in found)
    assert any("storage:two: storage s3 needs" in one for one in found)
    assert any("into itself" in one for one in found)


def test_two_sections_of_one_place_are_refused(tmp_path: Path) -> None:
    section = "storage = local\ncontainer = one"
    (tmp_path / "job").write_text(f"[storage:a]\n{section}\n[storage:b]\n{section}/\n")
    (reason,) = reasons_of(tmp_path, "--config", "job", "-F", "source")
    assert "storage:a and storage:b are the same place" in reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("upload_limit = 10K", "no setting of a storage"),
        ("mode = fs", "no setting of a storage"),
        ("ssh_port = x", "wrong value for ssh_port in section storage:one"),
    ],
)
def test_what_a_section_cannot_settle(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "job").write_text(f"[storage:one]\nstorage = local\n{line}\n")
    found = reasons_of(tmp_path, "--config", "job", "-F", "source")
    assert any(reason in one for one in found), found


def test_unknown_keys_of_a_section_are_remarked(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("[storage:one]\nstorage = local\nwhat = x\n")
    options = gather(Parser("freezer-agent").parse(["--config", "job"]), tmp_path)
    assert any("storage:one" in one and "what" in one for one in options.remarks)


def test_exec_needs_no_storage(tmp_path: Path) -> None:
    assert request_of(tmp_path, "--action", "exec", "--command", "true", "--mode", "mysql")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("freezer_{mode}_{hostname}", "freezer_fs_node"),
        ("{mode}_{unknown}", "{mode}_{unknown}"),
        ("{}", "{}"),
        ("{mode", "{mode"),
    ],
)
def test_the_template_of_a_name(template: str, expected: str) -> None:
    assert expand_name(template, {"mode": "fs", "hostname": "node"}) == expected


def test_a_backup_keeps_its_session_and_a_restore_asks_for_one(tmp_path: Path) -> None:
    named = ("--session-id", "s", "--session-tag", "12")
    run = SessionRun(session_id="s", tag=12)
    assert backup_of(tmp_path).session is None
    assert backup_of(tmp_path, *named).session == run
    restore = ("--action", "restore", *LOCAL, "--restore-abs-path", "r")
    request = request_of(tmp_path, *restore, *named)
    assert isinstance(request, RestoreRequest)
    assert request.session == run
    assert reasons_of(tmp_path, *restore, "--session-tag", "0") == (
        "--session-id and --session-tag go together",
    )
    assert reasons_of(tmp_path, *restore, *named, "--restore-from-date", "2026-01-01T00:00:00") == (
        "--restore-from-date and --session-tag exclude each other",
    )
