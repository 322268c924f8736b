"""From the options and the environment to the storage that is meant."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from freezer_agent.conf.options import gather
from freezer_agent.conf.osrc import read_osrc
from freezer_agent.conf.parser import Parser
from freezer_agent.conf.places import Places
from freezer_agent.conf.storage_checking import StorageChecker
from freezer_agent.errors import RequestInvalid
from freezer_agent.storage_choices import (
    FtpStorage,
    KeystoneAccount,
    LocalStorage,
    S3Storage,
    SshStorage,
    StorageChoice,
    SwiftStorage,
    TokenAccount,
    V1Account,
)

SSH = ("--storage", "ssh", "--ssh-host", "there", "--ssh-username", "me", "-C", "folder")
FTP = ("--ftp-host", "there", "--ftp-username", "me", "-C", "folder")
S3 = ("--storage", "s3", "--access-key", "who", "-C", "bucket/prefix")
SWIFT = ("--storage", "swift", "-C", "container")
KEYSTONE = {"OS_AUTH_URL": "https://keystone/v3", "OS_USERNAME": "me", "OS_PASSWORD": "pa$s"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def found(
    start: Path, *words: str, environment: Mapping[str, str] | None = None
) -> tuple[StorageChoice, list[str]]:
    reasons: list[str] = []
    checker = StorageChecker(
        gather(Parser("freezer-agent").parse(words), start),
        places=Places(start=start, home=start / "home"),
        environment=environment or {},
        reasons=reasons,
    )
    return checker.choice(), reasons


def choice_of(
    start: Path, *words: str, environment: Mapping[str, str] | None = None
) -> StorageChoice:
    choice, reasons = found(start, *words, environment=environment)
    assert not reasons
    return choice


def secret_file(path: Path, text: str = "from the file\nmore\n") -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_local(tmp_path: Path) -> None:
    choice = choice_of(tmp_path, "--storage", "local", "-C", "store")
    assert choice == LocalStorage(container=tmp_path / "store")
    assert choice.kind == "local"


def test_ssh_has_the_paths_of_the_home_folder(tmp_path: Path) -> None:
    choice = choice_of(tmp_path, *SSH, environment={"FREEZER_SSH_PASSWORD": "from outside"})
    assert choice == SshStorage(
        container="folder",
        host="there",
        username="me",
        password="from outside",
        key_file=tmp_path / "home/.ssh/id_rsa",
        known_hosts_file=tmp_path / "home/.ssh/known_hosts",
    )


def test_ssh_options(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    words = ("--ssh-key", "key", "--ssh-port", "2222", "--ssh-accept-new-host-key")
    choice = choice_of(tmp_path, *SSH, *words, "--ssh-known-hosts", "hosts")
    assert isinstance(choice, SshStorage)
    assert (choice.key_file, choice.known_hosts_file) == (tmp_path / "key", tmp_path / "hosts")
    assert (choice.port, choice.accept_new_host_key, choice.password) == (2222, True, "")


@pytest.mark.parametrize("kind", ["ftp", "ftps"])
def test_ftp(tmp_path: Path, kind: str) -> None:
    for name in ("ca", "certificate", "key"):
        (tmp_path / name).touch()
    files = ("--ca-file", "ca", "--ftp-certfile", "certificate", "--ftp-keyfile", "key")
    password = ("--ftp-password-file", secret_file(tmp_path / "password"))
    choice = choice_of(tmp_path, "--storage", kind, *FTP, *files, *password)
    assert choice == FtpStorage(
        container="folder",
        host="there",
        username="me",
        password="from the file",
        tls=kind == "ftps",
        ca_file=tmp_path / "ca",
        certificate_file=tmp_path / "certificate",
        key_file=tmp_path / "key",
    )
    assert choice.kind == kind


@pytest.mark.parametrize(
    "environment",
    [
        {"ACCESS_KEY": "who", "SECRET_KEY": "secret", "ENDPOINT": "https://there"},
        {
            "AWS_ACCESS_KEY_ID": "who",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_ENDPOINT_URL": "https://there",
        },
    ],
)
def test_s3_from_the_environment(tmp_path: Path, environment: dict[str, str]) -> None:
    choice = choice_of(tmp_path, "--storage", "s3", "-C", "b/p", environment=environment)
    assert choice == S3Storage(
        container="b/p",
        access_key="who",
        secret_key="secret",
        endpoint="https://there",
        segment_bytes=33554432,
    )


def test_s3_options_stand_above_the_environment(tmp_path: Path) -> None:
    environment = {"SECRET_KEY": "other", "ENDPOINT": "https://other", "AWS_REGION": "eu-west-3"}
    words = ("--secret-key", "mine", "--endpoint", "http://mine", "--s3-addressing", "virtual")
    choice = choice_of(tmp_path, *S3, *words, "-M", "8000000", environment=environment)
    assert isinstance(choice, S3Storage)
    assert (choice.secret_key, choice.endpoint) == ("mine", "http://mine")
    assert (choice.region, choice.addressing) == ("eu-west-3", "virtual")
    assert choice.segment_bytes == 8_000_000


def test_swift_by_keystone(tmp_path: Path) -> None:
    choice = choice_of(tmp_path, *SWIFT, environment={**KEYSTONE, "PATH": "/bin"})
    assert isinstance(choice, SwiftStorage)
    assert isinstance(choice.account, KeystoneAccount)
    assert choice.account.values["OS_PASSWORD"] == "pa$s"
    assert "PATH" not in choice.account.values
    assert not choice.insecure


def test_swift_scope_by_options(tmp_path: Path) -> None:
    words = ("--project-id", "other", "--os-trust-id", "trusted", "--insecure")
    environment = {**KEYSTONE, "OS_PROJECT_NAME": "mine"}
    choice = choice_of(tmp_path, *SWIFT, *words, environment=environment)
    assert isinstance(choice, SwiftStorage)
    assert isinstance(choice.account, KeystoneAccount)
    values = choice.account.values
    assert (values["OS_PROJECT_ID"], values["OS_TRUST_ID"]) == ("other", "trusted")
    assert "OS_PROJECT_NAME" not in values
    assert (choice.insecure, values["OS_INSECURE"]) == (True, "true")


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--os-identity-api-version", "1"], KEYSTONE),
        (["--os-auth-ver", "1"], KEYSTONE),
        ([], {**KEYSTONE, "OS_IDENTITY_API_VERSION": "1"}),
        ([], {"ST_AUTH": "https://keystone/v3", "ST_USER": "me", "ST_KEY": "pa$s"}),
    ],
)
def test_swift_by_version_1(tmp_path: Path, words: list[str], environment: dict[str, str]) -> None:
    choice = choice_of(tmp_path, *SWIFT, *words, environment=environment)
    assert isinstance(choice, SwiftStorage)
    assert choice.account == V1Account(auth_url="https://keystone/v3", username="me", key="pa$s")


def test_swift_by_a_token_that_somebody_got(tmp_path: Path) -> None:
    environment = {"OS_AUTH_TOKEN": "token", "OS_STORAGE_URL": "https://there/v1/a"}
    choice = choice_of(tmp_path, *SWIFT, environment=environment)
    assert isinstance(choice, SwiftStorage)
    assert choice.account == TokenAccount(url="https://there/v1/a", token="token")


def test_the_prefix_of_containers_is_a_choice(tmp_path: Path) -> None:
    for words, expected in (
        ([], "container"),
        (["--prefix-container"], "freezer_container"),
        (["--prefix-container", "-C", "freezer_here"], "freezer_here"),
    ):
        choice = choice_of(tmp_path, *SWIFT, *words, environment=KEYSTONE)
        assert choice.container == expected


def test_an_osrc_file_takes_the_place_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "openrc").write_text(
        "#!/bin/sh\nunset OS_DOMAIN_NAME\nexport OS_AUTH_URL=http://url:5000/v3\n"
        "export OS_PROJECT_NAME='a project'\n  export OS_USERNAME=\"user\"\n"
        "OS_PASSWORD=not exported\nexport OS_PASSWORD=first\nexport OS_PASSWORD=a=b$c#d\n"
    )
    choice = choice_of(
        tmp_path, *SWIFT, "--osrc", "openrc", environment={"OS_REGION_NAME": "elsewhere"}
    )
    assert isinstance(choice, SwiftStorage)
    assert isinstance(choice.account, KeystoneAccount)
    values = {name: value for name, value in choice.account.values.items() if value}
    assert values == {
        "OS_AUTH_URL": "http://url:5000/v3",
        "OS_PROJECT_NAME": "a project",
        "OS_USERNAME": "user",
        "OS_PASSWORD": "a=b$c#d",
    }


@pytest.mark.parametrize("raw", ["$INPUT", '"${INPUT}"', "$(cat file)", "`cat file`"])
def test_an_osrc_file_that_needs_a_shell_is_refused(tmp_path: Path, raw: str) -> None:
    (tmp_path / "openrc").write_text(f"export OS_PASSWORD={raw}\n")
    with pytest.raises(RequestInvalid, match="OS_PASSWORD with a shell"):
        read_osrc(tmp_path / "openrc")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--storage", "ssh"], "storage ssh needs --ssh-host"),
        ([*SSH, "--ssh-key", "missing"], "--ssh-key"),
        ([*SSH, "--ssh-password", "x", "--ssh-password-file", "x"], "same thing twice"),
        ([*SSH, "--ssh-password-file", "missing"], "cannot be read: No such file"),
        ([*SSH, "--ssh-password-file", "empty"], "empty first line"),
        ([*SSH, "--ssh-password-file", "open"], "chmod 600"),
        (["--storage", "ftp", *FTP], "needs --ftp-password-file"),
        (["--storage", "ftps", *FTP, "--ftp-password=x", "--ca-file=no"], "--ca-file"),
        (["--storage", "ftps", *FTP, "--ftp-password=x", "--ftp-keyfile=open"], "--ftp-certfile"),
        ([*S3], "storage s3 needs --secret-key-file (or SECRET_KEY), --endpoint (or ENDPOINT"),
        ([*S3, "--secret-key", "x"], "storage s3 needs --endpoint (or ENDPOINT"),
        (["--storage", "local", "-C", "open"], "is no directory"),
        ([*S3, "--secret-key=x", "--endpoint=http://x", "-M", "5368709121"], "5 GiB"),
        ([*S3, "--secret-key=x", "--endpoint=http://x", "-C", "a/../b"], 'has a part "." or ".."'),
        ([*S3, "--secret-key", "x", "--endpoint", "there"], "is no URL"),
        ([*SWIFT], "the environment does not have"),
        ([*SWIFT, "--osrc", "missing"], "osrc file"),
        ([*SWIFT, "--osrc", "empty"], "the osrc file does not have"),
        (["--storage", "local", "-C", ""], "--container is empty"),
        ([*S3, "--secret-key", "x", "--endpoint", "http://x", "-C", "/"], "--container is empty"),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, words: list[str], reason: str) -> None:
    for name, text, mode in (("empty", "\n", 0o600), ("open", "secret\n", 0o644)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(stat.S_IFREG | mode)
    _, reasons = found(tmp_path, *words)
    assert len(reasons) == 1, reasons
    assert reason in reasons[0]


def test_an_address_of_keystone_that_is_no_url_is_refused(tmp_path: Path) -> None:
    _, reasons = found(tmp_path, *SWIFT, environment={**KEYSTONE, "OS_AUTH_URL": "keystone:5000"})
    (reason,) = reasons
    assert "OS_AUTH_URL 'keystone:5000' is no URL" in reason


def test_no_secret_is_in_a_representation(tmp_path: Path) -> None:
    choices = [
        choice_of(tmp_path, *SSH, "--ssh-password", "hidden"),
        choice_of(tmp_path, "--storage", "ftp", *FTP, "--ftp-password", "hidden"),
        choice_of(tmp_path, *S3, "--secret-key", "hidden", "--endpoint", "http://x"),
        choice_of(tmp_path, *SWIFT, environment={**KEYSTONE, "OS_PASSWORD": "hidden"}),
        choice_of(
            tmp_path,
            *SWIFT,
            "--os-identity-api-version=1",
            environment={**KEYSTONE, "OS_PASSWORD": "hidden"},
        ),
    ]
    assert "hidden" not in repr(choices)
