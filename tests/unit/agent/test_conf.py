"""Options: names, files, precedence and the sample."""

from pathlib import Path

import pytest
from oslo_config import cfg

from freezer_agent.conf import GROUPS, all_options, former, list_opts
from freezer_agent.conf.jobfile import read_job_file
from freezer_agent.conf.kinds import FlagOrText, Rate
from freezer_agent.conf.options import Options, gather
from freezer_agent.conf.parser import Parser, UnknownOption
from freezer_agent.errors import RequestInvalid


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def parser() -> Parser:
    return Parser("freezer-agent")


def given(parser: Parser, tmp_path: Path, *words: str) -> Options:
    return gather(parser.parse(words), tmp_path)


def job(tmp_path: Path, text: str) -> str:
    (tmp_path / "job.ini").write_text(text)
    return "--config=job.ini"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--compress", "xz"], "compression", "xz"),
        (["--restore-abs-pat", "/x"], "restore_abs_path", "/x"),
        (["--file-to-backup", "/x"], "path_to_backup", "/x"),
        (["-F", "/x"], "path_to_backup", "/x"),
        (["-F/x"], "path_to_backup", "/x"),
        (["--remove-older-then", "1.5"], "remove_older_than", 1.5),
        (["--remove-older", "2"], "remove_older_than", 2.0),
        (["-R", "0"], "remove_older_than", 0.0),
        (["--restore-from-host", "h"], "hostname", "h"),
        (["--restore_from_host", "h"], "hostname", "h"),
        (["--restore_from_host=h"], "hostname", "h"),
        (["--max-backup-level", "4"], "max_level", 4),
        (["--max-seg-size", "7"], "max_segment_size", 7),
        (["-M", "7"], "max_segment_size", 7),
        (["--os_auth_ver", "2.0"], "os_identity_api_version", "2.0"),
        (["--os-auth-ver=3"], "os_identity_api_version", "3"),
        (["--cinder-inst-id", "v"], "cinder_vol_id", "v"),
        (["--logfile", "/l"], "log_file", "/l"),
        (["--log_config", "/l"], "log_config_append", "/l"),
        (["--engine", "tar"], "engine_name", "tar"),
        (["-e", "tar"], "engine_name", "tar"),
        (["-m", "fs"], "mode", "fs"),
        (["--incremental"], "incremental", True),
        (["--noincremental"], "incremental", False),
        (["--no-incremental"], "no_incremental", True),
        (["--no-incremental", "True"], "no_incremental", True),
        (["--no-incremental", "false"], "no_incremental", False),
        (["--nosync"], "sync", False),
        (["--nodry-run", "--dry-run"], "dry_run", True),
        (["--dry-run", "--nodry-run"], "dry_run", False),
        (["--consistency_check"], "consistency_check", True),
        (["--noconsistency-check"], "consistency_check", False),
        (["--nocindernative-freezer-only"], "cindernative_freezer_only", False),
        (["-s"], "snapshot", True),
        (["--snapshot", "no"], "snapshot", False),
        (["--max-priority"], "max_priority", True),
        (["--exclude", "a", "--exclude=*.b"], "exclude", ["a", "*.b"]),
        (["--upload-limit", "10K"], "upload_limit", 10240),
        (["--download-limit", "-1"], "download_limit", -1),
        (["--always-level", "3"], "always_level", 3),
        (["--restart-always-level", "0.5"], "restart_always_level", 0.5),
        (["-l"], "list", True),
        (["-q"], "quiet", True),
        (["-d"], "debug", True),
        (["--log-level", "warn"], "log_level", "warn"),
        (["--dereference-symlink", "soft"], "dereference_symlink", "soft"),
        (["-N", "100%"], "backup_name", "100%"),
        (["-N", "co$t"], "backup_name", "co$t"),
    ],
)
def test_every_spelling_of_an_option(
    parser: Parser, tmp_path: Path, words: list[str], name: str, value: object
) -> None:
    options = given(parser, tmp_path, *words)
    assert options[name] == value
    assert options.is_given(name)


@pytest.mark.parametrize(
    "words",
    [["--bogus"], ["--max-level"], ["--re", "x"], ["word"], ["--no"], ["--nocompression"]],
)
def test_what_cannot_be_taken_apart(parser: Parser, words: list[str]) -> None:
    with pytest.raises(UnknownOption):
        parser.parse(words)


def test_a_name_that_fits_two_options_is_ambiguous(parser: Parser) -> None:
    with pytest.raises(UnknownOption, match="--restore-abs-path, --restore-from-date"):
        parser.parse(["--restore", "x"])


def test_defaults_are_the_documented_ones(parser: Parser, tmp_path: Path) -> None:
    options = given(parser, tmp_path)
    expected = {
        "action": "backup",
        "mode": "fs",
        "engine_name": "tar",
        "storage": "swift",
        "container": "freezer_backups",
        "backup_name": "freezer_{mode}_{resource_id}",
        "compression": "gzip",
        "max_segment_size": 33554432,
        "sync": True,
        "timeout": 120,
        "upload_limit": -1,
        "ssh_port": 22,
    }
    assert {name: options[name] for name in expected} == expected
    assert options.given == frozenset()


def test_every_wrong_value_is_told_at_once(parser: Parser, tmp_path: Path) -> None:
    words = ["--max-level", "x", "--action", "fly", "--ssh-port", "99999", "--remove-older", "-1"]
    with pytest.raises(RequestInvalid) as caught:
        given(parser, tmp_path, *words, job(tmp_path, "[a]\nalways_level = y\n"))
    named = ("--max-level", "--action", "--ssh-port", "--remove-older-than", "always_level")
    assert all(any(name in reason for reason in caught.value.reasons) for name in named)
    assert len(caught.value.reasons) == len(named)


def test_the_command_line_wins_over_the_job_file_and_that_over_oslo_files(
    parser: Parser, tmp_path: Path
) -> None:
    (tmp_path / ".freezer").mkdir()
    (tmp_path / ".freezer" / "freezer.conf").write_text(
        "[DEFAULT]\ncontainer = oslo\nbackup_name = oslo\nhostname = oslo\nexclude = a\n"
        "exclude = b\nunknown = x\n",
    )
    text = "[job]\ncontainer = job\nbackup_name = job\n"
    options = given(parser, tmp_path, job(tmp_path, text), "--container", "line")
    assert (options["container"], options["backup_name"], options["hostname"]) == (
        "line",
        "job",
        "oslo",
    )
    assert options["exclude"] == ["a", "b"]
    assert options["storage"] == "swift"


def test_named_oslo_files_are_read(parser: Parser, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[DEFAULT]\nos_auth_ver = 2\n")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.conf").write_text("[DEFAULT]\ncontainer = b\n")
    options = given(parser, tmp_path, "--config-file", "a.conf", "--config-dir", "d")
    assert (options["os_identity_api_version"], options["container"]) == ("2", "b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[DEFAULT]\nmax_level = x\n", "max_level"),
        ("[DEFAULT]\nbackup_name = a$b\n", "backup_name"),
        ("no section\n", "cannot be read"),
    ],
)
def test_a_wrong_oslo_file_is_refused(
    parser: Parser, tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "a.conf").write_text(text)
    with pytest.raises(RequestInvalid, match=reason):
        given(parser, tmp_path, "--config-file", "a.conf")


def test_a_missing_oslo_file_is_refused(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="missing"):
        given(parser, tmp_path, "--config-file", "missing")


@pytest.mark.parametrize("header", ["[default]", "[DEFAULT]", "[job:var-log]", "[action]"])
def test_any_section_of_a_job_file_counts(parser: Parser, tmp_path: Path, header: str) -> None:
    options = given(parser, tmp_path, job(tmp_path, f"{header}\nbackup-name = n\n"))
    assert options["backup_name"] == "n"


def test_the_last_of_equal_keys_counts(parser: Parser, tmp_path: Path) -> None:
    text = "[a]\ncontainer=1\nmode=fs\n[b]\ncontainer = 2\n"
    assert given(parser, tmp_path, job(tmp_path, text))["container"] == "2"


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("max_level = False", "max_level", None),
        ("max_level = None", "max_level", None),
        ("compression = None", "compression", "gzip"),
        ("compression = none", "compression", "none"),
        ("mysql_conf = False", "mysql_conf", None),
        ("sync = False", "sync", False),
        ("sync = None", "sync", True),
        ("dry_run = True", "dry_run", True),
        ("dry_run = true", "dry_run", True),
        ("overwrite", "overwrite", True),
        ("no_incremental = True", "no_incremental", True),
        ("no_incremental = False", "no_incremental", False),
        ("snapshot = None", "snapshot", None),
        ("lvm_snapsize = 80%FREE", "lvm_snapsize", "80%FREE"),
        ("lvm_snapsize = 80%%FREE", "lvm_snapsize", "80%FREE"),
        ("backup_name = co$t", "backup_name", "co$t"),
        ("engine = tar", "engine_name", "tar"),
        ("engine_name = tar", "engine_name", "tar"),
        ("restore_from_host = h", "hostname", "h"),
        ("remove_older_then = 3", "remove_older_than", 3.0),
        ("max_backup_level = 3", "max_level", 3),
        ("os_auth_ver = 2", "os_identity_api_version", "2"),
        ("lvm_snapperm = rw", "lvm_snapperm", "rw"),
        ("lvm_snap_perm = rw", "lvm_snapperm", "rw"),
        ("exclude = *.log", "exclude", ["*.log"]),
        ("exclude = *.log\n  *.tmp", "exclude", ["*.log", "*.tmp"]),
        ("upload_limit = -1", "upload_limit", -1),
        ("path_to_backup = /a b/ü", "path_to_backup", "/a b/ü"),
    ],
)
def test_values_of_job_files(
    parser: Parser, tmp_path: Path, line: str, name: str, value: object
) -> None:
    assert given(parser, tmp_path, job(tmp_path, f"[job]\n{line}\n"))[name] == value


def test_empty_values_of_job_files_are_not_set(parser: Parser, tmp_path: Path) -> None:
    job = tmp_path / "job"
    names = (
        "compression engine_name dereference_symlink max_segment_size ssh_port dry_run upload_limit"
    )
    job.write_text("[job]\n" + "".join(f"{name} =\n" for name in names.split()))
    options = given(parser, tmp_path, "--config", str(job))
    defaults = given(parser, tmp_path)
    assert {name: options[name] for name in names.split()} == {
        name: defaults[name] for name in names.split()
    }
    assert not options.is_given("compression")


def test_an_empty_number_on_the_command_line_is_refused(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="wrong value for --max-segment-size: it is empty"):
        given(parser, tmp_path, "--max-segment-size", "")


def test_a_missing_folder_of_files_is_refused(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match=r"--config-dir .* is no directory"):
        given(parser, tmp_path, "--config-dir", "missing")


def test_false_in_a_job_file_stands_above_an_oslo_file(parser: Parser, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[DEFAULT]\nmax_level = 3\n")
    text = job(tmp_path, "[job]\nmax_level = False\n")
    options = given(parser, tmp_path, "--config-file=a.conf", text)
    assert options["max_level"] is None
    assert not options.is_given("max_level")


def test_unknown_keys_are_named_once_and_passed_over(parser: Parser, tmp_path: Path) -> None:
    text = "[job]\nupload = x\nlist_objects = y\nvssadmin = True\ncontainer = c\n"
    options = given(parser, tmp_path, job(tmp_path, text))
    assert options["container"] == "c"
    assert [remark for remark in options.remarks if "list_objects, upload" in remark]
    assert [remark for remark in options.remarks if "vssadmin" in remark]
    assert len(options.remarks) == 2


def test_names_that_are_no_text_survive_a_job_file(tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(b"[job]\npath_to_backup = /a\xff\n")
    assert read_job_file(tmp_path / "job").values["path_to_backup"] == "/a\udcff"


def test_sections_of_further_storages_are_kept_apart(parser: Parser, tmp_path: Path) -> None:
    text = "[job]\ncontainer = a\n[storage:one]\nstorage = local\ncontainer = b\n"
    options = given(parser, tmp_path, job(tmp_path, text))
    assert options["container"] == "a"
    (one,) = options.storages.values()
    assert (one["storage"], one["container"], one.is_given("storage")) == ("local", "b", True)


@pytest.mark.parametrize("text", ["no section\n", "[job]\n = x\n", "\0"])
def test_what_is_no_ini_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "job").write_text(text)
    with pytest.raises(RequestInvalid, match="no ini file"):
        read_job_file(tmp_path / "job")


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_job_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestInvalid, match="cannot be read"):
        read_job_file(tmp_path / name)


def test_the_shown_command_line_has_no_secrets(parser: Parser, tmp_path: Path) -> None:
    words = ["--ssh-password", "geheim", "--proxy", "http://user:geheim@proxy:1", "-N", "a b"]
    shown = given(parser, tmp_path, *words).command_line
    assert "geheim" not in shown
    assert "'--backup-name=a b'" in shown
    assert "--proxy=http://proxy:1" in shown


def test_secrets_are_text_so_that_no_error_repeats_them() -> None:
    assert all(isinstance(option, cfg.StrOpt) for option in all_options() if option.secret)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("10", 10), ("1k", 1024), ("10K", 10240), ("2Mi", 2 << 20), ("10G", 10 << 30)],
)
def test_rates(text: str, value: int) -> None:
    assert Rate()(text) == value


@pytest.mark.parametrize("text", ["", "x", "-2", "1.5K", "10T", "K"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="no rate"):
        Rate()(text)


@pytest.mark.parametrize("text", ["true", "yes", "1", "anything"])
def test_a_flag_with_a_value_says_yes(text: str) -> None:
    assert FlagOrText()(text)


def test_help_names_every_option_and_its_group(parser: Parser) -> None:
    text = parser.help()
    assert all(f"--{option.name}" in text for option in all_options())
    assert all(group.title in text for group in GROUPS)
    assert max(len(line) for line in text.splitlines()) <= 100


def test_every_option_is_explained_in_sentences() -> None:
    for option in all_options():
        assert str(option.help).endswith("."), option.name
        assert str(option.help)[0].isupper(), option.name


def test_options_are_declared_once() -> None:
    names = [option.dest for option in all_options()]
    assert len(names) == len(set(names))


def test_the_sample_has_every_option_that_oslo_log_does_not_bring() -> None:
    ((group, options),) = list_opts()
    assert group is None
    names = {option.dest for option in options}
    assert "log_level" in names
    assert "log_file" not in names
    conf = cfg.ConfigOpts()
    conf.register_opts(options)


def test_what_was_unique_among_the_options_of_19_0_0_still_is(parser: Parser) -> None:
    names = sorted(former.NAMES)
    for name in names:
        assert parser._spelled_out(f"--{name}") == f"--{name}"
        for length in range(1, len(name)):
            cut = name[:length]
            if [other for other in names if other.startswith(cut)] == [name]:
                whole = parser._spelled_out(f"--{cut}=x").partition("=")[0]
                # Some parts are names of their own, of the same option.
                assert parser._names[whole] == parser._names[f"--{name}"]
