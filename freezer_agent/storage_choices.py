"""Which storage a run is asked to use: one small frozen value per kind of storage.

Secrets are in no representation of these values, so that none of them ends in a log.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar


class StorageKind(StrEnum):
    """The words of the --storage option."""

    LOCAL = "local"
    SWIFT = "swift"
    SSH = "ssh"
    S3 = "s3"
    FTP = "ftp"
    FTPS = "ftps"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStorage:
    """A directory, which may be a mounted file server."""

    kind: ClassVar[StorageKind] = StorageKind.LOCAL
    container: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SshStorage:
    """A folder on a host that is reached by SFTP. Without a password keys are used."""

    kind: ClassVar[StorageKind] = StorageKind.SSH
    container: str
    host: str
    username: str
    known_hosts_file: Path
    port: int = 22
    password: str = field(default="", repr=False)
    key_file: Path | None = None
    accept_new_host_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FtpStorage:
    """A folder on an FTP server; with `tls` both channels are secured."""

    container: str
    host: str
    username: str
    tls: bool
    port: int = 21
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def kind(self) -> StorageKind:
        """The word of the --storage option."""
        return StorageKind.FTPS if self.tls else StorageKind.FTP


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoneAccount:
    """A Swift account by Keystone: the OS_* values, which the client knows to read."""

    values: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Account:
    """A Swift account by its own authentication, version 1."""

    auth_url: str
    username: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccount:
    """A Swift account whose URL and token somebody else has got."""

    url: str
    token: str = field(repr=False)


SwiftAccountChoice = KeystoneAccount | V1Account | TokenAccount


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftStorage:
    """A container of Swift, with a prefix behind a slash if wanted."""

    kind: ClassVar[StorageKind] = StorageKind.SWIFT
    container: str
    account: SwiftAccountChoice
    segment_bytes: int
    storage_url: str | None = None
    ca_file: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Storage:
    """A bucket, with a prefix behind a slash if wanted, at an endpoint."""

    kind: ClassVar[StorageKind] = StorageKind.S3
    container: str
    access_key: str
    secret_key: str = field(repr=False)
    segment_bytes: int
    endpoint: str
    region: str = "us-east-1"
    addressing: str = "path"
    ca_file: Path | None = None
    insecure: bool = False


StorageChoice = LocalStorage | SshStorage | FtpStorage | SwiftStorage | S3Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedStorage:
    """One of several storages, under the name that the operator gave it."""

    name: str
    choice: StorageChoice


def local_directories(storages: Iterable[StorageChoice]) -> list[Path]:
    """The directories of this host that hold backups, their links resolved."""
    return [
        Path(os.path.realpath(one.container)) for one in storages if isinstance(one, LocalStorage)
    ]
