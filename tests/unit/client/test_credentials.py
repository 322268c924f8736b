"""Credentials: read from options and environments of every age, complete or refused by name."""

from typing import Any

import pytest

from freezer_client.credentials import Credentials
from freezer_client.errors import CredentialsMissing

PASSWORD = {
    "OS_AUTH_URL": "http://keystone/v3",
    "OS_USERNAME": "u",
    "OS_PASSWORD": "hunter2",
    "OS_PROJECT_NAME": "p",
}


@pytest.mark.parametrize("spell", [str.upper, str.lower, lambda n: n.lower().removeprefix("os_")])
def test_every_spelling_of_the_options_is_one(spell: Any) -> None:
    credentials = Credentials.from_mapping({spell(name): v for name, v in PASSWORD.items()})
    assert (credentials.auth_type, credentials.username) == ("password", "u")
    assert credentials.project_name == "p"


def test_dashes_are_underscores() -> None:
    assert Credentials.from_mapping({**PASSWORD, "os-region-name": "R"}).region_name == "R"


@pytest.mark.parametrize(("old", "new"), [("NAME", "project_name"), ("ID", "project_id")])
def test_tenants_are_projects(old: Any, new: Any) -> None:
    values = {k: v for k, v in PASSWORD.items() if "PROJECT" not in k}
    credentials = Credentials.from_mapping({**values, f"OS_TENANT_{old}": "t"})
    assert getattr(credentials, new) == "t"


@pytest.mark.parametrize("order", [1, -1])
def test_todays_name_counts_more_than_the_old_one(order: int) -> None:
    values = {**PASSWORD, "OS_TENANT_NAME": "t"}
    assert Credentials.from_mapping(dict([*values.items()][::order])).project_name == "p"


def test_absent_null_and_empty_are_the_same() -> None:
    values = {**PASSWORD, "OS_TRUST_ID": None, "OS_CACERT": "", "HOME": "/root", "OS_X": "y"}
    assert Credentials.from_mapping(values) == Credentials.from_mapping(PASSWORD)


@pytest.mark.parametrize(
    ("text", "interface"),
    [("internalURL", "internal"), ("publicURL", "public"), ("admin", "admin"), ("", "public")],
)
def test_endpoint_types_of_both_spellings(text: str, interface: Any) -> None:
    for name in ("OS_ENDPOINT_TYPE", "OS_INTERFACE"):
        assert Credentials.from_mapping({**PASSWORD, name: text}).endpoint_type == interface


@pytest.mark.parametrize(
    ("value", "insecure"),
    [(True, True), ("true", True), ("1", True), ("Yes", True), (False, False), ("0", False)],
)
def test_insecure_is_a_word_or_a_truth(value: Any, insecure: Any) -> None:
    assert Credentials.from_mapping({**PASSWORD, "OS_INSECURE": value}).insecure is insecure


def test_nothing_at_all_names_all_that_is_needed() -> None:
    with pytest.raises(CredentialsMissing) as caught:
        Credentials.from_mapping({})
    assert caught.value.missing == (
        "OS_AUTH_URL",
        "OS_USERNAME",
        "OS_PASSWORD",
        "OS_PROJECT_NAME or OS_PROJECT_ID",
    )
    assert "OS_AUTH_URL" in str(caught.value)


@pytest.mark.parametrize("absent", PASSWORD)
def test_what_is_missing_is_named_and_no_secret(absent: Any) -> None:
    with pytest.raises(CredentialsMissing) as caught:
        Credentials.from_mapping({k: v for k, v in PASSWORD.items() if k != absent})
    assert len(caught.value.missing) == 1
    assert absent in caught.value.missing[0]
    assert "hunter2" not in str(caught.value)


def test_without_keystone_the_address_and_the_project_are_needed() -> None:
    with pytest.raises(CredentialsMissing) as caught:
        Credentials.from_mapping({"OS_AUTH_TYPE": "none"})
    assert caught.value.missing == ("OS_BACKUP_URL", "OS_PROJECT_ID")


@pytest.mark.parametrize(
    ("values", "auth_type"),
    [
        ({"OS_AUTH_URL": "k", "OS_TOKEN": "t", "OS_PROJECT_ID": "p"}, "token"),
        (
            {
                "OS_AUTH_URL": "k",
                "OS_APPLICATION_CREDENTIAL_ID": "i",
                "OS_APPLICATION_CREDENTIAL_SECRET": "s",
            },
            "application_credential",
        ),
        ({**PASSWORD, "OS_AUTH_TYPE": "v3password"}, "password"),
    ],
)
def test_the_way_to_log_in_follows_from_what_is_there(values: Any, auth_type: Any) -> None:
    assert Credentials.from_mapping(values).auth_type == auth_type


def test_an_application_credential_by_name_needs_its_user() -> None:
    values = {
        "OS_AUTH_URL": "k",
        "OS_APPLICATION_CREDENTIAL_NAME": "n",
        "OS_APPLICATION_CREDENTIAL_SECRET": "s",
    }
    with pytest.raises(CredentialsMissing):
        Credentials.from_mapping(values)
    Credentials.from_mapping({**values, "OS_USERNAME": "u"})


def test_an_unknown_way_to_log_in_is_refused() -> None:
    with pytest.raises(CredentialsMissing, match="v3kerberos"):
        Credentials.from_mapping({**PASSWORD, "OS_AUTH_TYPE": "v3kerberos"})


def test_secrets_are_not_shown() -> None:
    secrets = {"token": "s1", "password": "s2", "application_credential_secret": "s3"}
    credentials = Credentials.from_mapping({**PASSWORD, **secrets, "OS_AUTH_TYPE": "password"})
    assert not any(secret in repr(credentials) for secret in secrets.values())
