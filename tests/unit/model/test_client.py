"""Clients: their ids, and what they are able to run."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freezer_model.client import (
    CAPABILITIES,
    CLIENT_ID_PATTERN,
    MOST_CLIENT_ID_CHARACTERS,
    Unsupported,
    find_unsupported,
)

ALL = {name: list(words) for name, words in CAPABILITIES.items()}


@pytest.mark.parametrize(
    "client_id",
    [
        "node12",
        "a",
        "node-1.example.org",
        "5b16ad3a9ad44d77a5f9a2c2b2b34a1b_node12",
        "project-with_under_scores_host.example",
        "a" * 63,
        "1.2.3.4",
    ],
)
def test_host_names_with_and_without_a_prefix_are_ids(client_id: str) -> None:
    assert re.search(CLIENT_ID_PATTERN, client_id)


@pytest.mark.parametrize(
    "client_id",
    [
        "",
        "_",
        "p_",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "a b",
        "a/b",
        "a\n",
        "x\na",
        "a" * 64,
        "node12;id",
        "p:x_host",
        "a'b",
    ],
)
def test_other_text_is_no_id(client_id: str) -> None:
    assert not re.search(CLIENT_ID_PATTERN, client_id)


@given(st.text(alphabet="aZ0-_.", max_size=MOST_CLIENT_ID_CHARACTERS))
def test_the_longest_text_is_decided_at_once(text: str) -> None:
    re.search(CLIENT_ID_PATTERN, text + "!")


@pytest.mark.parametrize("name", CAPABILITIES)
def test_a_list_that_is_absent_or_null_allows_everything(name: str) -> None:
    for capabilities in ({}, {name: None}):
        assert find_unsupported(capabilities, {"action": "x", "mode": "x", "storage": "x"}) is None


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("action", "exec", "action"),
        ("mode", "nova", "mode"),
        ("storage", "swift", "storage"),
        ("engine", "rsync", "engine"),
        ("engine_name", "rsync", "engine"),
    ],
)
def test_what_is_not_in_the_list_is_named(key: str, value: Any, kind: Any) -> None:
    narrow = {
        "supported_actions": ["backup"],
        "supported_modes": ["fs"],
        "supported_storages": ["local"],
        "supported_engines": ["tar"],
    }
    assert find_unsupported(narrow, {key: value}) == Unsupported(kind=kind, value=value)


def test_both_names_of_the_engine_are_looked_at() -> None:
    tar_only = {"supported_engines": ["tar"]}
    assert find_unsupported(tar_only, {"engine": "tar", "engine_name": "nova"})
    assert find_unsupported(tar_only, {"engine": "nova", "engine_name": "tar"})
    assert find_unsupported(tar_only, {"engine": "tar", "engine_name": "tar"}) is None


def test_an_empty_list_allows_nothing() -> None:
    assert find_unsupported({"supported_modes": []}, {"mode": "fs"})


@pytest.mark.parametrize("absent", [{}, {"mode": None}])
def test_what_the_action_leaves_out_passes(absent: Any) -> None:
    assert find_unsupported({"supported_modes": []}, absent) is None


@pytest.mark.parametrize("odd", [False, 0, [], {}, ["fs"]])
def test_values_of_odd_types_are_not_in_a_list(odd: Any) -> None:
    assert find_unsupported(ALL, {"mode": odd}) == Unsupported(kind="mode", value=str(odd))
