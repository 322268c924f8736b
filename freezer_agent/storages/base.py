"""What a storage is: objects under slash-separated keys."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object of a listing."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUsage:
    """What one container (bucket, directory) of a storage holds."""

    container: str
    size_bytes: int
    objects: int


class Storage(Protocol):
    """Put, get, list and delete objects by key.

    Keys are relative, slash-separated text: no empty part, no "." and no "..". Every name that a
    POSIX file can have works as a part of a key, so undecodable bytes travel as surrogates
    (PEP 383). Where the container itself lies, credentials and segment sizes are matters of the
    constructor, which does no I/O; entering the context connects, leaving it closes.

    Errors are those of `freezer_agent.errors` only: ObjectNotFound, ObjectExists, AccessRefused,
    StorageUnavailable (the one that may pass if tried again) and StorageFull.
    """

    kind: str
    """The word of the --storage option: local, swift, ssh, s3, ftp, ftps, memory."""

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store the whole of `chunks` under `key` and return its size in bytes.

        Replaces an existing object. Atomic and durable: a reader sees the former object (or
        none) until this returns, and the new one also after a power failure from then on. If
        `chunks` raises or the process dies, nothing of it is visible under any key; the error of
        `chunks` is passed on unchanged.
        """
        ...

    def create(self, key: str, content: bytes) -> None:
        """Store a small object only if there is none under `key`: ObjectExists otherwise.

        Of several callers at once exactly one succeeds, as far as the service behind it can
        promise that; the implementation says where it cannot.
        """
        ...

    def read(self, key: str) -> Iterator[bytes]:
        """The object's bytes, lazily, in chunks of any size.

        ObjectNotFound comes at the latest with the first chunk. An object that ends early raises
        StorageUnavailable, never a short read that looks complete.
        """
        ...

    def usage(self) -> list[ContainerUsage]:
        """The containers that the storage's account or root holds, with size and object count."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key is below the folder `prefix` ("" for all), ordered by key.

        `prefix` names a whole folder: "a/b" lists "a/b/c" but not "a/bc". Complete at any number
        and depth; objects that are half written are not in it. A folder that is not there is an
        empty listing, any other failure is an error.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove the object. One that is missing already is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
