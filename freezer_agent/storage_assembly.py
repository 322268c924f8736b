"""From a chosen storage to the objects that carry it out: kind, retries and bandwidth limits.

The libraries of the kinds are imported only when one of them is chosen: some take half a second.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from freezer_agent.errors import RequestInvalid
from freezer_agent.requests import SeveralRequest
from freezer_agent.storage_choices import (
    FtpStorage,
    KeystoneAccount,
    LocalStorage,
    NamedStorage,
    S3Storage,
    SshStorage,
    StorageChoice,
    StorageKind,
    SwiftStorage,
    TokenAccount,
    V1Account,
)
from freezer_agent.storages.base import Storage
from freezer_agent.storages.claims import ANYBODY, Claimant
from freezer_agent.storages.lanes import LaneLimits
from freezer_agent.storages.local import Local
from freezer_agent.storages.retrying import Attempts, Retrying
from freezer_agent.storages.throttled import Bucket, Throttled

if TYPE_CHECKING:
    from freezer_agent.storages.swift_account import Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How a run uses its storages: attempts, and the buckets that limit its bandwidth, if any.

    Segments are in a file where several storages may be at different places of the stream: each
    then has one of its own.
    """

    attempts: Attempts
    upload: Bucket | None = None
    download: Bucket | None = None
    claimant: Claimant = ANYBODY
    segments_in_file: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltStorage:
    """A storage, where it is in one line, and what cleans up behind runs that were killed.

    `remove_leftovers` looks everywhere and spares what a living run may be writing;
    `remove_pieces` looks below one folder, which the caller knows that nobody writes to.
    """

    storage: Storage
    place: str
    remove_leftovers: Callable[[], Sequence[object]]
    remove_pieces: Callable[[str], Sequence[object]]


def make_network(
    *,
    attempts: int,
    upload_limit: int,
    download_limit: int,
    monotonic: Callable[[], float],
    sleep: Callable[[float], None],
    chance: Callable[[], float],
    claimant: Claimant = ANYBODY,
) -> Network:
    """One bucket for each direction that has a limit; -1 is none."""

    def bucket(limit: int) -> Bucket | None:
        return Bucket(limit, monotonic, sleep) if limit > 0 else None

    return Network(
        attempts=Attempts(attempts, sleep, chance),
        upload=bucket(upload_limit),
        download=bucket(download_limit),
        claimant=claimant,
    )


def build_storage(choice: StorageChoice, network: Network) -> BuiltStorage:
    """The storage that is meant. Nothing is opened yet. RequestInvalid if it lacks credentials."""
    match choice:
        case LocalStorage():
            return _local(choice, network)
        case SshStorage():
            return _ssh(choice, network)
        case FtpStorage():
            return _ftp(choice, network)
        case S3Storage():
            return _s3(choice, network)
        case SwiftStorage():
            return _swift(choice, network)
        case _:
            assert_never(choice)


def nearest_first(storages: Sequence[NamedStorage]) -> list[NamedStorage]:
    """Local directories before all others; else the operator's own order, which is a preference."""
    return sorted(storages, key=lambda one: one.choice.kind is not StorageKind.LOCAL)


def lane_limits(several: SeveralRequest, network: Network) -> LaneLimits:
    """The queues of several storages, and a patience that a limited bandwidth cannot wear out."""
    segments = sum(getattr(one.choice, "segment_bytes", 0) for one in several.storages)
    longest = network.upload.seconds_for(2 * segments) if network.upload else 0.0
    return LaneLimits(
        queue_size=several.queue_size,
        spool_bytes=several.spool_bytes,
        stalled_seconds=several.stalled_seconds + longest,
    )


def _local(choice: LocalStorage, network: Network) -> BuiltStorage:
    local = Local(choice.container)
    return BuiltStorage(
        storage=_throttled(local, network),
        place=f"local:{os.path.realpath(choice.container)}",
        remove_leftovers=local.remove_leftovers,
        remove_pieces=local.remove_pieces,
    )


def _ssh(choice: SshStorage, network: Network) -> BuiltStorage:
    from freezer_agent.storages.ssh import Ssh  # noqa: PLC0415  # see above
    from freezer_agent.storages.ssh_connection import SshConnection  # noqa: PLC0415  # see above

    connection = SshConnection(
        host=choice.host,
        port=choice.port,
        username=choice.username,
        password=choice.password or None,
        key_file=choice.key_file,
        known_hosts_file=choice.known_hosts_file,
        accept_new_host_key=choice.accept_new_host_key,
    )
    ssh = Ssh(connection=connection, root=choice.container, attempts=network.attempts)
    return BuiltStorage(
        storage=_throttled(Retrying(ssh, network.attempts), network),
        place=f"{connection}/{choice.container}",
        remove_leftovers=ssh.remove_leftovers,
        remove_pieces=ssh.remove_pieces,
    )


def _ftp(choice: FtpStorage, network: Network) -> BuiltStorage:
    from freezer_agent.storages.ftp import Ftp  # noqa: PLC0415  # see above
    from freezer_agent.storages.ftp_connection import FtpConnections  # noqa: PLC0415  # see above

    connections = FtpConnections(
        host=choice.host,
        port=choice.port,
        username=choice.username,
        password=choice.password,
        tls=choice.tls,
        ca_file=choice.ca_file,
        client_certificate_file=choice.certificate_file,
        client_key_file=choice.key_file,
    )
    ftp = Ftp(connections=connections, root=choice.container, attempts=network.attempts)
    return BuiltStorage(
        storage=_throttled(Retrying(ftp, network.attempts), network),
        place=f"{connections}/{choice.container}",
        remove_leftovers=ftp.remove_leftovers,
        remove_pieces=ftp.remove_pieces,
    )


def _s3(choice: S3Storage, network: Network) -> BuiltStorage:
    from freezer_agent.storages.s3 import S3  # noqa: PLC0415  # see above
    from freezer_agent.storages.s3_client import Addressing, S3Client  # noqa: PLC0415  # see above

    client = S3Client(
        access_key=choice.access_key,
        secret_key=choice.secret_key,
        endpoint=choice.endpoint,
        region=choice.region,
        addressing=Addressing(choice.addressing),
        ca_file=choice.ca_file,
        insecure=choice.insecure,
    )
    s3 = S3(
        client=client,
        bucket=choice.container,
        segment_bytes=choice.segment_bytes,
        attempts=network.attempts,
        claimant=network.claimant,
        pace=network.upload,
        segments_in_file=network.segments_in_file,
    )
    return BuiltStorage(
        storage=_throttled(s3, replace(network, upload=None)),
        place=f"s3:{client}/{choice.container} as {choice.access_key}",
        remove_leftovers=s3.remove_leftovers,
        remove_pieces=s3.remove_pieces,
    )


def _swift(choice: SwiftStorage, network: Network) -> BuiltStorage:
    from freezer_agent.storages.swift import Swift  # noqa: PLC0415  # see above
    from freezer_agent.storages.swift_account import SwiftAccount  # noqa: PLC0415  # see above

    login, owner = _login(choice)
    account = SwiftAccount(
        login,
        storage_url=choice.storage_url,
        ca_file=str(choice.ca_file) if choice.ca_file else None,
        insecure=choice.insecure,
    )
    swift = Swift(
        account=account,
        container=choice.container,
        segment_bytes=choice.segment_bytes,
        attempts=network.attempts,
        claimant=network.claimant,
        pace=network.upload,
        segments_in_file=network.segments_in_file,
    )
    return BuiltStorage(
        storage=_throttled(swift, replace(network, upload=None)),
        place=f"swift:{owner}/{choice.container}",
        remove_leftovers=swift.remove_leftovers,
        remove_pieces=swift.remove_pieces,
    )


def _login(choice: SwiftStorage) -> "tuple[Login, str]":
    """How to log in, and whose account it is."""
    from freezer_agent.storages.swift_account import (  # noqa: PLC0415  # see above
        Access,
        GivenLogin,
        V1Login,
    )

    match choice.account:
        case TokenAccount(url=url, token=token):
            return GivenLogin(Access(url=url, token=token)), url
        case V1Account(auth_url=auth_url, username=username, key=key):
            login = V1Login(
                auth_url=auth_url,
                username=username,
                key=key,
                cacert=str(choice.ca_file) if choice.ca_file else None,
                insecure=choice.insecure,
            )
            return login, f"{username}@{auth_url}"
        case KeystoneAccount():
            return _keystone(choice.account)
        case _:
            assert_never(choice.account)


def _keystone(account: KeystoneAccount) -> "tuple[Login, str]":
    from freezer_agent.storages.swift_account import KeystoneLogin  # noqa: PLC0415  # see above
    from freezer_client.credentials import Credentials  # noqa: PLC0415  # see above
    from freezer_client.errors import CredentialsMissing  # noqa: PLC0415  # see above
    from freezer_client.session import keystone_session  # noqa: PLC0415  # see above

    try:
        credentials = Credentials.from_mapping(account.values)
    except CredentialsMissing as error:
        names = ", ".join(error.missing)
        raise RequestInvalid([f"storage swift cannot log in at Keystone: set {names}"]) from error
    login = KeystoneLogin(
        keystone_session(credentials),
        interface=credentials.endpoint_type,
        region=credentials.region_name or None,
    )
    who = credentials.username or credentials.user_id or credentials.application_credential_id
    where = credentials.project_id or credentials.project_name or credentials.trust_id
    return login, f"{who}/{where}@{credentials.auth_url}"


def _throttled(storage: Storage, network: Network) -> Storage:
    if network.upload is None and network.download is None:
        return storage
    return Throttled(storage, upload=network.upload, download=network.download)
