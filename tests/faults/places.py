"""A storage on its real server, as the fault tests use it, and what really lies in it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import swiftclient.client

from tests.services.sshd import Sshd
from tests.services.swift import TEMPAUTH_PASSWORD, SwiftServer

HIDDEN = ".freezer-incomplete-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Options and environment of the agent, and every name in the storage, hidden ones too."""

    options: list[str]
    environment: Mapping[str, str]
    names: Callable[[], list[str]]
    port: int | None = None


def on_disk(container: Path) -> Place:
    """A local folder."""
    return Place(
        options=["--storage", "local", "--container", str(container)],
        environment={},
        names=lambda: _files_below(container),
    )


def on_ssh(server: Sshd, container: Path, port: int | None = None) -> Place:
    """A folder behind SFTP, which here is one that we can look into."""
    port = port or server.port
    hosts = container.parent / f"known-hosts-{port}"
    kind_and_key = server.known_hosts_file.read_text().split()[1:]
    hosts.write_text(" ".join([f"[127.0.0.1]:{port}", *kind_and_key]) + "\n")
    options = [
        *("--storage", "ssh", "--ssh-host", "127.0.0.1", "--ssh-port", str(port)),
        *("--ssh-username", server.username, "--ssh-key", str(server.key_file)),
        *("--ssh-known-hosts", str(hosts), "--container", str(container)),
    ]
    return Place(
        options=options, environment={}, names=lambda: _files_below(container), port=server.port
    )


def on_swift(server: SwiftServer, user: str, auth_url: str | None = None) -> Place:
    """A container; streams of more than a megabyte are cut."""
    environment = {
        "OS_AUTH_URL": auth_url or server.auth_url,
        "OS_USERNAME": user,
        "OS_PASSWORD": TEMPAUTH_PASSWORD,
        "OS_IDENTITY_API_VERSION": "1",
    }
    return Place(
        options=["--storage", "swift", "--container", "box", "-M", "1000000"],
        environment=environment,
        names=lambda: _objects_of(server, user),
        port=server.port,
    )


def set_quota(server: SwiftServer, user: str, limit_bytes: int | None) -> None:
    """Let the container hold so much, or anything again."""
    connection = swiftclient.client.Connection(
        authurl=server.auth_url, user=user, key=TEMPAUTH_PASSWORD, retries=1
    )
    value = "" if limit_bytes is None else str(limit_bytes)
    connection.post_container("box", {"X-Container-Meta-Quota-Bytes": value})
    connection.close()


def _files_below(container: Path) -> list[str]:
    return sorted(
        str(Path(folder, name).relative_to(container))
        for folder, _, names in os.walk(container)
        for name in names
    )


def _objects_of(server: SwiftServer, user: str) -> list[str]:
    connection = swiftclient.client.Connection(
        authurl=server.auth_url, user=user, key=TEMPAUTH_PASSWORD, retries=1
    )
    try:
        _, found = connection.get_container("box", full_listing=True)
    except swiftclient.client.ClientException:
        return []
    finally:
        connection.close()
    return sorted(entry["name"] for entry in found)
